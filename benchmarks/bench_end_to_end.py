"""Training the backbone chunk by chunk: its memory, its gradient and its speed beside plain backpropagation,
into RESULTS.md.

    python benchmarks/bench_end_to_end.py
    python benchmarks/bench_end_to_end.py --only memory --chunk 2

- memory: one sample's forward and backward pass, each case in a process of its own, above what is there at
  rest.
- equality: how far the gradient is from that of plain backpropagation, parameter by parameter, in float64 and
  float32.
- speed: clips a second of the same pass, for several chunk sizes, beside the machine's matrix products.
"""

import argparse
import ctypes
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from results import write_section
from torch import nn

from aqa_cache.backbones.precision import set_precision
from aqa_cache.backbones.registry import BACKBONES
from aqa_cache.clips.preprocess import Preprocessing, normalise
from aqa_cache.disk.tensor_file import read_tensors
from aqa_cache.extraction.measuring.rates import gemm_rate
from aqa_cache.machine.devices import pick_device
from aqa_cache.weights.random_weights import make_random_weights
from aqa_heads.data.batches import Split
from aqa_heads.end_to_end.recomputation import RecomputedFeatures
from aqa_heads.end_to_end.trainable import prepare
from aqa_heads.networks.architecture import Architecture
from aqa_heads.networks.model import AqaModel
from aqa_heads.training.losses import assessment_loss

USUAL_SIZES = {"c3d": 112, "s3d": 224}
FRAMES, LIMIT, PASSED, EQUALITY_CHUNKS, SPEED_CHUNKS = 16, 1.3, 12, (1, 2), (1, 2, 4)
CLASSES = {"position": 3, "armstand": 2, "rotation_type": 4, "somersaults": 10, "twists": 8}
Keep = Callable[[list[str]], None]
# What is normalised by makes no difference here.
PREPROCESSING = Preprocessing(resize=256, crop=224, mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225))


@dataclass(frozen=True)
class Case:
    """One sample of `clips` clips, a backbone and the baseline's heads without captioner.

    Args:
        size: of the frames, in pixels.
        chunk: None: plain backpropagation.
    """

    backbone: str
    device: str
    clips: int
    size: int
    chunk: int | None = None
    dtype: str = "float32"

    def build(self, weights: Path | None = None) -> "Step":
        """Args:
        weights: None: those of the modules as constructed.
        """
        torch.manual_seed(0)
        device, dtype = pick_device(self.device), getattr(torch, self.dtype)
        set_precision(device, "fp32")
        backbone = BACKBONES[self.backbone].build()
        if weights is not None:
            backbone.load_state_dict(read_tensors(weights))
        heads = AqaModel(
            Architecture(
                BACKBONES[self.backbone].dim,
                tasks=("score", "classes"),
                score_scale=17.0,
                classes={name: [str(number) for number in range(count)] for name, count in CLASSES.items()},
            )
        )
        modules = nn.ModuleList([backbone, heads]).to(device, dtype)
        prepare(backbone, None)
        return Step(self, modules, frames_of(self.clips, self.size), device, dtype)


class Step:
    """The forward and backward pass of one sample, without the optimiser's."""

    def __init__(self, case: Case, modules: nn.ModuleList, frames: torch.Tensor, device: torch.device, dtype):
        self.case, self.modules, self.frames, self.device, self.dtype = case, modules, frames, device, dtype
        self.backbone, self.heads = modules
        # A sample of a split, its features left out.
        self._split = Split(
            [None],
            None,
            torch.tensor([60.0]),
            np.ones(1),
            {name: torch.tensor([1]) for name in CLASSES},
            [torch.tensor([])],
        )

    def load(self, start: int, stop: int) -> torch.Tensor:
        return normalise(self.frames[start:stop].to(self.device), PREPROCESSING, self.dtype)

    def backpropagate(self, chunk: int | None) -> None:
        """Add the gradient to what is there; `chunk` None: the plain way."""
        clips = len(self.frames)
        if chunk is None:
            self._loss(self.backbone(self.load(0, clips))).backward()
            return
        recomputed = RecomputedFeatures(
            self.backbone, self.load, clips, chunk, BACKBONES[self.case.backbone].dim
        )
        features = recomputed.forward()
        self._loss(features).backward()
        recomputed.backward(features.grad)

    def gradient(self, chunk: int | None) -> dict[str, torch.Tensor]:
        self.modules.zero_grad()
        self.backpropagate(chunk)
        return {
            name: p.grad.double().cpu() for name, p in self.modules.named_parameters() if p.grad is not None
        }

    def _loss(self, features: torch.Tensor) -> torch.Tensor:
        return assessment_loss(self.heads, self._split.batch_of([0], [features])).total


def frames_of(clips: int, size: int) -> torch.Tensor:
    """Smooth noise, `(clips, frames, size, size, 3)` uint8."""
    coarse = torch.rand(clips, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    smooth = nn.functional.interpolate(coarse, (FRAMES, size, size), mode="trilinear")
    return (255 * smooth).to(torch.uint8).permute(0, 2, 3, 4, 1).contiguous()


def bench_memory(options: argparse.Namespace, keep: Keep) -> list[str]:
    """The section's lines; `keep` is given them after every row."""
    on_cpu = options.device == "cpu"
    # Tensors can be counted in one process, and every process takes seconds to start.
    measured = in_process if on_cpu else measure_memory
    lines = [
        f"One sample of 1 and of {options.clips} clips of {FRAMES} frames ({sizes(options)}), random weights,"
        f" the baseline's heads for score and classes; as many passes as take {PASSED} clips"
        + (", in a process of its own" if on_cpu else "")
        + ". Memory above the process at rest, which holds weights, gradients, AdamW's state and the frames. "
        + (
            "On the CPU: the largest resident size (VmHWM, reset) above the one at rest, with no step before,"
            " so that nothing of an earlier one lies ready; what the system's allocator keeps between tensors"
            " is in it and grows with the clips that have passed, which is why all take as many. (With two"
            " passes in every case, whatever its clips, C3D was at 1.32 x and S3D at 1.15 x.) "
            if on_cpu
            else (
                "Of the allocated tensors, after a step of one clip, with which the libraries' own workspaces"
                " come. "
            )
        )
        + f"Aim: ours with {options.clips} clips at most {LIMIT} x ours with one.",
        "",
        (
            f"| backbone | at rest | ours, 1 clip | ours, {options.clips} clips | ratio | plain, 1 clip |"
            f" plain, {options.clips} clips | ratio |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for backbone in options.backbones:
        cells, rest = [], 0
        for chunk in (options.chunk, None):
            rows = [
                measured(Case(backbone, options.device, clips, options.sizes[backbone], chunk))
                for clips in (options.chunk, options.clips)
            ]
            rest = rows[-1]["rest"]
            one, many = (row["peak"] for row in rows)
            cells += [mib(one), mib(many), f"{many / one:.2f}"]
        lines.append(f"| {backbone} | {mib(rest)} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
        keep(lines)
    return lines


def in_process(case: Case) -> dict:
    """What `measure_memory` returns in a fresh process."""
    command = [sys.executable, __file__, "--process", json.dumps(vars(case))]
    return json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
    )


def measure_memory(case: Case) -> dict:
    """Bytes `rest` and, above that, `peak`."""
    gc.collect()  # what an earlier case left
    step = case.build()
    optimiser = torch.optim.AdamW(step.modules.parameters(), lr=0.0, fused=True)
    for parameter in step.modules.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    if step.device.type == "cuda":
        all_frames, step.frames = step.frames, step.frames[:1]
        step.backpropagate(case.chunk)
        step.frames = all_frames
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        rest = torch.cuda.memory_allocated()
    else:
        ctypes.CDLL(None).malloc_trim(0)  # freed, but not given back
        Path("/proc/self/clear_refs").write_text("5")
        rest = resident("VmRSS")
    for _ in range(max(1, PASSED // case.clips)):
        step.backpropagate(case.chunk)
    peak = torch.cuda.max_memory_allocated() if step.device.type == "cuda" else resident("VmHWM")
    return {"rest": rest, "peak": peak - rest}


def resident(name: str) -> int:
    """Bytes, of Linux alone."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


def bench_equality(options: argparse.Namespace, keep: Keep) -> list[str]:
    lines = [
        (
            f"One sample of {options.clips} clips of {FRAMES} frames ({sizes(options)}), random weights as"
            " `--weights random` makes them, all parameters of"
            " backbone and heads. Largest difference: of any element, over the largest element of the"
            " parameter's plain gradient, of the worst parameter. Relative L2: ‖g - g_plain‖ / ‖g_plain‖ of"
            " a parameter. The last row of a backbone is plain backpropagation in float32 beside float64:"
            " what float32 costs anyhow."
        ),
        "",
        (
            "| backbone | | beside | largest difference | worst relative L2 | of parameter | median relative"
            " L2 |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for backbone in options.backbones:
        with tempfile.TemporaryDirectory() as folder:
            weights = Path(folder) / "weights.safetensors"
            make_random_weights(BACKBONES[backbone], weights)
            plain = {}
            for dtype in ("float64", "float32"):
                size = options.sizes[backbone]
                step = Case(backbone, options.device, options.clips, size, dtype=dtype).build(weights)
                plain[dtype] = step.gradient(None)
                for chunk in EQUALITY_CHUNKS:
                    row = deviations(step.gradient(chunk), plain[dtype])
                    lines.append(f"| {backbone} | ours, {dtype}, chunk {chunk} | plain, {dtype} | {row} |")
                    print(lines[-1], flush=True)
            row = deviations(plain["float32"], plain["float64"])
            lines.append(f"| {backbone} | plain, float32 | plain, float64 | {row} |")
            print(lines[-1], flush=True)
            keep(lines)
    return lines


def deviations(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> str:
    assert found.keys() == expected.keys()
    largest, relative = 0.0, {}
    for name, gradient in expected.items():
        difference = found[name] - gradient
        largest = max(largest, float(difference.abs().max() / gradient.abs().max()))
        relative[name] = float(difference.norm() / gradient.norm())
    worst = max(relative, key=relative.get)
    median = statistics.median(relative.values())
    return f"{largest:.1e} | {relative[worst]:.1e} | `{worst.partition('.')[2]}` | {median:.1e}"


def bench_speed(options: argparse.Namespace, keep: Keep) -> list[str]:
    from torch.utils.flop_counter import FlopCounterMode

    gemm, _ = gemm_rate(pick_device(options.device), torch.float32)
    lines = [
        (
            f"One sample of {options.clips} clips of {FRAMES} frames ({sizes(options)}), float32: forward,"
            " forward again, back, without the optimiser's step; the"
            f" median of {options.repetitions} after one before. Work: counted by torch, a multiplication and"
            f" an addition are two. Matrix products here: {gemm:.0f} GFLOP/s."
        ),
        "",
        "| backbone | | clips/s | of plain | GFLOP a clip | of matrix products |",
        "|---|---|---|---|---|---|",
    ]
    for backbone in options.backbones:
        step = Case(backbone, options.device, options.clips, options.sizes[backbone]).build()
        plain = None
        for chunk in (None, *SPEED_CHUNKS):
            with FlopCounterMode(display=False) as counter:
                step.backpropagate(chunk)
            seconds = statistics.median(seconds_of(partial(step.backpropagate, chunk), options))
            rate, work = options.clips / seconds, counter.get_total_flops() / options.clips / 1e9
            plain = plain or rate
            name = "plain" if chunk is None else f"ours, chunk {chunk}"
            lines.append(
                f"| {backbone} | {name} | {rate:.2f} | {rate / plain:.2f} | {work:.0f} |"
                f" {work * rate / gemm:.2f} |"
            )
            print(lines[-1], flush=True)
            keep(lines)
    return lines


def seconds_of(act, options: argparse.Namespace) -> list[float]:
    times = []
    for _ in range(options.repetitions):
        started = time.perf_counter()
        act()
        if options.device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return times


def sizes(options: argparse.Namespace) -> str:
    return ", ".join(f"{backbone.upper()} {size} px" for backbone, size in options.sizes.items())


def mib(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB"


SECTIONS = {
    "memory": ("Training the backbone: memory", bench_memory),
    "equality": ("Training the backbone: the gradient", bench_equality),
    "speed": ("Training the backbone: speed", bench_speed),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(SECTIONS), help="any of them, separated by commas")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--backbones", default=",".join(USUAL_SIZES), help="separated by commas")
    parser.add_argument("--size", type=int, help="of the frames in pixels; by default C3D 112, S3D 224")
    parser.add_argument("--clips", type=int, default=6, help="of the sample")
    parser.add_argument("--chunk", type=int, default=1, help="of the memory")
    parser.add_argument("--repetitions", type=int, default=3, help="of the speed")
    parser.add_argument("--process", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.process:
        return print(json.dumps(measure_memory(Case(**json.loads(options.process)))))
    asked, options.backbones = options.only.split(","), options.backbones.split(",")
    for given, known, option in (
        (asked, SECTIONS, "--only"),
        (options.backbones, USUAL_SIZES, "--backbones"),
    ):
        if unknown := set(given) - known.keys():
            parser.error(
                f"{option}: unknown {', '.join(sorted(unknown))}; expected any of {', '.join(known)}"
            )
    options.sizes = {name: options.size or USUAL_SIZES[name] for name in options.backbones}
    if options.device == "cpu" and "memory" in asked and not Path("/proc/self/clear_refs").exists():
        parser.error(
            "--only memory on the CPU reads /proc, which only Linux has; use --device cuda, or leave it out"
        )
    for name in asked:
        title, bench = SECTIONS[name]
        command = (
            f"python benchmarks/bench_end_to_end.py --only {name} --device {options.device} "
            f"--backbones {','.join(options.backbones)} --clips {options.clips}"
            + (f" --chunk {options.chunk}" if name == "memory" else "")
            + (f" --repetitions {options.repetitions}" if name == "speed" else "")
            + (f" --size {options.size}" if options.size else "")
        )
        write = partial(
            write_section, f"end to end {name} {options.device}", f"{title}, {options.device}", command
        )
        write(bench(options, partial(write, unfinished=True)))


if __name__ == "__main__":
    main()
