"""How long a report takes over the number of its rows, and how large its page is, into RESULTS.md.

    python benchmarks/bench_report.py
    python benchmarks/bench_report.py --rows 9,20 --keep runs

Runs are made up (tests/made_runs.py), 100 epochs and 50 test samples each, every one a row of its own: the
paper's Table 1, ridge, and their variants. Each report is made in a process of its own, so that the imports
count too.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import write_section

EXPERIMENTS = ("baseline", "1", "2", "3", "4", "5", "6", "7", "ridge")
EPOCHS, SAMPLES = 100, 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="9,20,50,200", help="numbers of rows, separated by commas")
    parser.add_argument("--keep", type=Path, help="folder for runs and pages; by default none is kept")
    parser.add_argument("--runs", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.runs:
        return print(json.dumps(measure(options.runs)))
    with tempfile.TemporaryDirectory() as scratch:
        found = [bench(int(rows), (options.keep or Path(scratch)) / rows) for rows in options.rows.split(",")]
    lines = [
        f"{EPOCHS} epochs and {SAMPLES} test samples a run, one run a row; from the start of the process."
        " CPU: of the process, which other work on the machine lengthens less.",
        "",
        "| rows | seconds | CPU seconds | figures | CPU ms a figure | page, MB |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {rows} | {wall:.1f} | {cpu:.1f} | {figures} | {1000 * cpu / figures:.0f} | {size / 1e6:.1f} |"
        for rows, wall, cpu, figures, size in found
    ]
    print("\n".join(lines))
    command = " ".join(["python benchmarks/bench_report.py", *sys.argv[1:]])
    write_section("report", "A report over its rows", command, lines)


def make_rows(folder: Path, count: int) -> None:
    """Run folders, each a row of its own: a variant of Table 1's rows by its learning rate."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from made_runs import make_run

    from aqa_heads.report.families import ROWS

    for number in range(count):
        experiment, variant = EXPERIMENTS[number % len(EXPERIMENTS)], number // len(EXPERIMENTS)
        label = {"label": f"{ROWS[experiment].title} (lr {variant}e-4)"} if variant else {}
        make_run(
            folder / f"run{number:03d}",
            experiment,
            n=SAMPLES,
            epochs=EPOCHS,
            rho=0.3 + 0.006 * (37 * number % 100),
            config=label | {"identity": {"run": number}},
        )


def bench(rows: int, folder: Path) -> tuple[int, float, float, int, int]:
    """Rows, seconds, CPU seconds, figures, and bytes of the page."""
    make_rows(folder / "runs", rows)
    started = time.perf_counter()
    said = subprocess.run(
        [sys.executable, __file__, "--runs", str(folder / "runs")], check=True, capture_output=True, text=True
    ).stdout
    return rows, time.perf_counter() - started, *json.loads(said)


def measure(runs: Path) -> tuple[float, int, int]:
    from aqa_heads.report.writing import files_folder, write_report

    page = write_report([runs], runs.with_name("report.html"))
    return time.process_time(), len(list(files_folder(page).glob("*.png"))), page.stat().st_size


if __name__ == "__main__":
    main()
