"""Extraction throughput, as `aqa-bench` measures it, one process per backbone, into RESULTS.md.

    python benchmarks/bench_extraction.py --seconds 8
    python benchmarks/bench_extraction.py --device cuda --precision fp16 --backbones s3d --compiled --profile

--compiled: the published network through torch.compile alone, beside ours. --profile: where the time of our
batches goes, by kernel.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import write_section

USUAL_SIZE, USUAL = 112, {"c3d", "s3d"}
BATCHES, KERNELS = 10, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", default="c3d,s3d")
    parser.add_argument("--size", type=int, default=USUAL_SIZE)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each backbone, taken in turn")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return print(json.dumps(look_closer(**json.loads(options.inside))))
    backbones = options.backbones.split(",")
    command = (
        f"python benchmarks/bench_extraction.py --backbones {options.backbones} --size {options.size}"
        f" --seconds {options.seconds:g} --rounds {options.rounds} --device {options.device} --precision"
        f" {options.precision}{' --compiled' * options.compiled}{' --profile' * options.profile}"
    )
    name = f"extraction {options.device} {options.precision}"
    name += "" if options.size == USUAL_SIZE else f" {options.size}"
    name += "" if set(backbones) <= USUAL else f" {options.backbones}"
    rows, notes = [], []
    for backbone in backbones * options.rounds:
        rows.append(measure(backbone, options))
        rows.sort(key=lambda row: (backbones.index(row["backbone"]), row["end_to_end_of_bound"]))
        unfinished = len(rows) < len(backbones) * options.rounds
        write_section(name, "Extraction", command, lines_of(rows, options), unfinished=unfinished)
    if options.compiled or options.profile:
        for place, backbone in enumerate(backbones, 1):
            notes += notes_on(backbone, rows, options)
            lines = [*lines_of(rows, options), *notes]
            write_section(name, "Extraction", command, lines, unfinished=place < len(backbones))


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


def notes_on(backbone: str, rows: list[dict], options: argparse.Namespace) -> list[str]:
    """Lines on torch.compile and on the kernels, measured in a process of their own."""
    row = next(row for row in rows if row["backbone"] == backbone)
    asked = {
        **{name: getattr(options, name) for name in ("size", "device", "compiled", "profile")},
        **{name: row[name] for name in ("backbone", "precision", "batch_size")},
    }
    command = [sys.executable, __file__, "--inside", json.dumps(asked)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(said.splitlines()[-1])
    lines = []
    if options.compiled:
        lines.append(
            f"\n{backbone}: the published network through torch.compile alone {found['compiled']:.2f} clips/s"
            f" after {found['compiling']:.0f} s of compiling; ours beside it {found['ours']:.2f}, ratio"
            f" {found['ours'] / found['compiled']:.2f}."
        )
    if options.profile:
        lines += [
            f"\n{backbone}, by kernel, of the time of {BATCHES} batches:",
            "",
            *(f"- {share:.0%} `{name[:80]}`, {count} calls" for name, share, count in found["kernels"]),
        ]
    return lines


def look_closer(
    backbone: str, size: int, device: str, precision: str, batch_size: int, compiled: bool, profile: bool
) -> dict:
    """Clips a second of ours and of torch.compile alone, seconds of compiling, and where the time goes."""
    import torch

    from aqa_cache.backbones.precision import TORCH_DTYPES
    from aqa_cache.extraction.loading import load_backbone, load_model
    from aqa_cache.extraction.run import ExtractionConfig
    from aqa_cache.machine.devices import pick_device

    config = ExtractionConfig(
        backbone, "random", size=size, device=device, precision=precision, batch_size=batch_size
    )
    found = {}
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        weights = Path(folder, "weights.safetensors")
        model, _ = load_model(config, weights)
        shape = (batch_size, 3, config.clip_rule.clip_len, size, size)
        batch = torch.rand(shape, device=pick_device(device), dtype=TORCH_DTYPES[precision])
        found["ours"] = clips_per_second(model.module, batch)
        if compiled:
            published, *_ = load_backbone(config, weights)
            began = time.perf_counter()
            fast = torch.compile(published.eval().to(batch.device, batch.dtype))
            fast(batch).float().cpu()
            found["compiling"] = time.perf_counter() - began
            found["compiled"] = clips_per_second(fast, batch)
        if profile:
            found["kernels"] = kernels(model.module, batch)
    return found


def clips_per_second(module, batch) -> float:
    """Of a batch that lies on the device already; the median of `BATCHES` after one."""
    seconds = []
    for _ in range(BATCHES + 1):
        began = time.perf_counter()
        module(batch).float().cpu()
        seconds.append(time.perf_counter() - began)
    return len(batch) / statistics.median(seconds[1:])


def kernels(module, batch) -> list[tuple[str, float, int]]:
    """The longest: name, share of the time of all, calls."""
    from torch.profiler import ProfilerActivity, profile

    on_gpu = batch.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiler:
        for _ in range(BATCHES):
            module(batch).float().cpu()
    each = [
        (event.key, event.self_device_time_total if on_gpu else event.self_cpu_time_total, event.count)
        for event in profiler.key_averages()
        # On a GPU, operators repeat what their kernels took.
        if not on_gpu or event.device_type.name == "CUDA"
    ]
    total = sum(time for _, time, _ in each)
    return [
        (key, time / total, count) for key, time, count in sorted(each, key=lambda event: -event[1])[:KERNELS]
    ]


def memory(row: dict) -> str:
    text = "–" if row["peak_memory"] is None else f"{row['peak_memory'] / 2**30:.2f} GiB"
    return text if row["peak_gpu_memory"] is None else f"{text}, GPU {row['peak_gpu_memory'] / 2**30:.2f} GiB"


if __name__ == "__main__":
    main()
