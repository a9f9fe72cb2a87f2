"""Extraction throughput, as `aqa-bench` measures it, one process per backbone, into RESULTS.md.

python benchmarks/bench_extraction.py --seconds 8
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from results import write_section

USUAL_SIZE = 112


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", default="c3d,s3d")
    parser.add_argument("--size", type=int, default=USUAL_SIZE)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each backbone, taken in turn")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    options = parser.parse_args()
    backbones = options.backbones.split(",")
    command = (
        f"python benchmarks/bench_extraction.py --backbones {options.backbones} --size {options.size}"
        f" --seconds {options.seconds:g} --rounds {options.rounds} --device {options.device} --precision"
        f" {options.precision}"
    )
    name = f"extraction {options.device} {options.precision}"
    name += "" if options.size == USUAL_SIZE else f" {options.size}"
    rows = []
    for backbone in backbones * options.rounds:
        rows.append(measure(backbone, options))
        rows.sort(key=lambda row: (backbones.index(row["backbone"]), row["end_to_end_of_bound"]))
        unfinished = len(rows) < len(backbones) * options.rounds
        write_section(name, "Extraction", command, lines_of(rows, options), unfinished=unfinished)


def lines_of(rows: list[dict], options: argparse.Namespace) -> list[str]:
    first = rows[0]
    lines = [
        (
            f"640x360 H.264, clips of 16 frames at {options.size} px that do not overlap, batches of"
            f" {first['batch_size']}, random weights, {first['workers']} decoding and {first['threads']}"
            f" compute threads on {first['cores']} cores. GEMM: best square matrix product of the same"
            " precision in the same process. Bound: what end to end cannot exceed, from decoding and compute"
            f" alone; compute is that before and after end to end. {options.rounds} rounds in turn; all are"
            " shown, by their last ratio, since this machine is shared."
        ),
        "",
        (
            "| backbone | decode only, clips/s | compute, eager reference, clips/s | compute, ours, clips/s |"
            " of the reference | GEMM GFLOP/s | ours of GEMM | end to end, clips/s | of the bound | limiting"
            " | drift | peak memory |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['backbone']} {row['precision']} | {row['decode_clips']:.0f} | {row['eager_clips']:.2f} |"
            f" {row['compute_clips']:.2f} | {row['compute_of_eager']:.2f} | {row['gemm_gflops']:.0f} |"
            f" {row['compute_of_gemm']:.2f} | {row['end_to_end_clips']:.2f} |"
            f" {row['end_to_end_of_bound']:.2f} | {row['limiting']} | {row['drift']:+.0%} | {memory(row)} |"
        )
    lines += [
        f"\n{warning}" for warning in dict.fromkeys(warning for row in rows for warning in row["warnings"])
    ]
    return lines


def measure(backbone: str, options: argparse.Namespace) -> dict:
    """The figures of one backbone, from a process of its own, so that peak memory is its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.json"
        arguments = {
            "backbone": backbone,
            "size": options.size,
            "seconds": options.seconds,
            "device": options.device,
            "precision": options.precision,
            "json": path,
        }
        words = [str(word) for name, value in arguments.items() for word in (f"--{name}", value)]
        subprocess.run([sys.executable, "-m", "aqa_cli.bench", *words], check=True)
        return json.loads(path.read_text())


def memory(row: dict) -> str:
    text = "–" if row["peak_memory"] is None else f"{row['peak_memory'] / 2**30:.2f} GiB"
    return text if row["peak_gpu_memory"] is None else f"{text}, GPU {row['peak_gpu_memory'] / 2**30:.2f} GiB"


if __name__ == "__main__":
    main()
