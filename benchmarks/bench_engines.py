"""Backbones in every engine that is installed, as `aqa-bench --peers` measures it, one process per backbone,
into RESULTS.md.

    python benchmarks/bench_engines.py
    python benchmarks/bench_engines.py --quick
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import write_section

import aqa_cli  # noqa: F401  # huge pages and how threads wait, as the commands have them
from aqa_cache.extraction.measuring.peers import CONTENDERS, OPENVINO, OURS, PeerRow, versions

# Those of convolutions, which OpenVINO runs; C3D takes frames of 112 px alone.
BACKBONES = ("s3d", "c3d", "r2plus1d_18", "r3d_18", "mc3_18", "i3d")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", default=",".join(BACKBONES))
    parser.add_argument("--size", type=int, default=112, help="side of the frames in pixels")
    parser.add_argument("--quick", action="store_true", help="the first backbone, short turns")
    parser.add_argument("--rounds", type=int, default=3, help="all engines take turns; medians count")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each turn, at least one batch")
    parser.add_argument("--limit", type=float, default=12.0, help="seconds of a batch in torch as published")
    parser.add_argument(
        "--longest", type=float, default=25.0, help="seconds after which a row ends its rounds"
    )
    parser.add_argument(
        "--minutes", type=float, default=12.0, help="after which no further backbone is begun"
    )
    parser.add_argument("--beside", default="", help="what else the machine does, for the record")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.limit, options.longest = 0.1, 3.0, 1.0
    if options.work:
        work(options)
        return
    rows: list[PeerRow] = []
    said: list[str] = []
    backbones = [name for name in options.backbones.split(",") if (name, options.size) != ("c3d", 224)]
    backbones = backbones[:1] if options.quick else backbones
    command = (
        f"python benchmarks/bench_engines.py --backbones {','.join(backbones)} --size {options.size} --rounds"
        f" {options.rounds} --seconds {options.seconds:g} --limit {options.limit:g} --longest"
        f" {options.longest:g}"
    )
    until = time.monotonic() + 60 * options.minutes
    for name in backbones:
        if time.monotonic() > until:
            said.append(f"Not measured, for want of time: {name}.")
            continue
        found, notes = measured((name, options.size), options)
        rows += found
        said += notes
        write(rows, said, command, options, unfinished=True)
    write(rows, said, command, options, unfinished=False)


def write(
    rows: list[PeerRow], said: list[str], command: str, options: argparse.Namespace, unfinished: bool
) -> None:
    lines, size = lines_of(rows, said, options), options.size
    name = "engines" if size == 112 else f"engines {size}"
    title = f"Engines on a CPU, {size} px"
    write_section(name, title, command, lines, unfinished=unfinished)


def measured(case: tuple[str, int], options: argparse.Namespace) -> tuple[list[PeerRow], list[str]]:
    """The rows of one backbone, from a process of its own, and what it said."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        words = [f"--{name}={getattr(options, name)}" for name in ("rounds", "seconds", "limit", "longest")]
        words.append(f"--work={case[0]},{case[1]},{path}")
        subprocess.run([sys.executable, __file__, *words], check=True)
        record = json.loads(path.read_text())
    return [PeerRow(**row) for row in record["rows"]], record["said"]


def work(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from aqa_cache.extraction.configuration import ExtractionConfig
    from aqa_cache.extraction.measuring.peers import measure_peers
    from aqa_cache.logs import handled
    from aqa_cache.machine.heap import keep_freed_memory

    keep_freed_memory()  # as aqa-extract
    name, size, path = options.work.split(",", 2)
    said: list[str] = []
    with handled(lambda record: said.append(f"{name}, {size} px: {record.getMessage()}")):
        rows = measure_peers(
            ExtractionConfig(name, "random", size=int(size)),
            rounds=options.rounds,
            seconds=options.seconds,
            limit=options.limit,
            longest=options.longest,
            progress=lambda stage: print(stage, flush=True),
        )
    Path(path).write_text(json.dumps({"rows": [asdict(row) for row in rows], "said": said}))


def lines_of(rows: list[PeerRow], said: list[str], options: argparse.Namespace) -> list[str]:
    beside = f" Taken beside {options.beside}: only ratios are to be read." if options.beside else ""
    installed = ", ".join(f"{package} {version}" for package, version in versions().items())
    return [
        (
            "Clips of 16 frames a second, random weights, fp32, medians of"
            f" {options.rounds} rounds in which all take turns, of fewer where these took more than"
            f" {options.longest:g} s; torch as published has one turn. Ours start from decoded frames, the"
            " others from arrays as they take them. A batch is smaller than 8 where torch as published would"
            f" take longer than {options.limit:g} s for it. {installed}.{beside}"
        ),
        "",
        f"| backbone | px | threads | batch | {' | '.join(CONTENDERS)} | {OURS['torch']}, of OpenVINO |"
        f" {OURS['openvino']}, of OpenVINO |",
        "|" + "---|" * (len(CONTENDERS) + 6),
        *map(_line, rows),
        *(f"\n{line}" for line in dict.fromkeys(said)),
    ]


def _line(row: PeerRow) -> str:
    rates = [f"{row.rates[name]:.2f}" if name in row.rates else "–" for name in CONTENDERS]
    ratios = [
        f"{row.rates[name] / row.rates[OPENVINO]:.2f}" if {name, OPENVINO} <= row.rates.keys() else "–"
        for name in OURS.values()
    ]
    return (
        f"| {row.backbone} | {row.size} | {row.threads} | {row.batch} | {' | '.join(rates)} |"
        f" {' | '.join(ratios)} |"
    )


if __name__ == "__main__":
    main()
