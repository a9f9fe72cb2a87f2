"""Extraction throughput of both backbones, as `aqa-bench` measures it, into RESULTS.md.

python benchmarks/bench_extraction.py --seconds 8
"""

import argparse

from results import write_section

from aqa_cache.extraction import ExtractionConfig
from aqa_cache.throughput import measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    options = parser.parse_args()
    lines = [
        "640x360 H.264, clips of 16 frames at 112 px, random weights. GEMM: best square matrix product in the same run.",
        "",
        "| backbone | GEMM GFLOP/s | as published, clips/s | as extracted with, clips/s | of GEMM | decoding, clips/s | end to end, clips/s "
        "| of the bound | limiting | peak memory |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for backbone in ("c3d", "s3d"):
        config = ExtractionConfig(backbone, "random", size=112, device=options.device, precision=options.precision)
        row = measure(config, options.seconds)
        lines.append(
            f"| {backbone} {row.precision} | {row.gemm_gflops:.0f} | {row.eager_clips:.2f} | {row.compute_clips:.2f} "
            f"| {row.compute_of_gemm:.2f} | {row.decode_clips:.0f} | {row.end_to_end_clips:.2f} | {row.end_to_end_of_bound:.2f} "
            f"| {row.limiting} | {(row.peak_memory or 0) / 2**30:.2f} GiB |"
        )
    command = f"python benchmarks/bench_extraction.py --seconds {options.seconds:g} --device {options.device} --precision {options.precision}"
    write_section(f"extraction {options.device} {options.precision}", "Extraction", command, lines)


if __name__ == "__main__":
    main()
