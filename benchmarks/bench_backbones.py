"""What a clip costs in each backbone on one CPU thread: as published, as we run it, and by OpenVINO, beside
matrix products, into RESULTS.md.

    python benchmarks/bench_backbones.py --backbones i3d,swin3d_b,vjepa2-l:4

Seconds are those of the process's own CPU time, which other work on the machine changes less than the
clock's. Numbers are random; `vjepa2-l`, `videomae-b` and `dinov2-s` are the architectures of the libraries'
own published configurations, which need no weights. `NAME:N` is a clip of N frames in place of 16.
"""

import argparse
import copy
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from results import write_section

from aqa_cache.backbones.inference import Model
from aqa_cache.backbones.key_layouts import layouts_of
from aqa_cache.backbones.names import BACKBONE_NAMES, KNOWN_BACKBONES
from aqa_cache.backbones.openvino_engine import Converted, NotConverted, openvino_version
from aqa_cache.backbones.registry import for_inference, get_backbone
from aqa_cache.clips.preprocess import Preprocessing, normalise

CPU = torch.device("cpu")
GEMM_SIZE = 1024
PROCESSOR = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


@dataclass(frozen=True)
class Row:
    """CPU seconds of a clip, and of a GFLOP of matrix products beside each of them."""

    name: str
    frames: int
    size: int
    gflop: float
    seconds: dict[str, float]
    gemm: float

    def line(self) -> str:
        eager = self.seconds["eager"]
        cells = [self.name, f"{self.frames} x {self.size} px", f"{self.gflop:.0f}", f"{eager:.2f}"]
        for way in ("ours, torch", "OpenVINO"):
            seconds = self.seconds.get(way)
            if seconds is None:
                cells += ["–", "–", "–"]
            else:
                of_gemm = self.gflop * self.gemm / seconds
                cells += [f"{seconds:.2f}", f"{eager / seconds:.2f}", f"{of_gemm:.2f}"]
        return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", default="i3d,swin3d_b,dinov2-s:4,videomae-b,vjepa2-l:4")
    parser.add_argument("--rounds", type=int, default=2, help="all ways in turn; medians count")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory(prefix="aqa-backbones-") as folder:
        for asked in options.backbones.split(","):
            rows.append(measured(asked, options.rounds, Path(folder)))
            print(rows[-1].line(), flush=True)
            write(rows, options, unfinished=len(rows) < len(options.backbones.split(",")))


def measured(asked: str, rounds: int, folder: Path) -> Row:
    short, _, frames = asked.partition(":")
    name = short if short in BACKBONE_NAMES else KNOWN_BACKBONES.give(published(short, folder))
    backbone, length = get_backbone(name), int(frames or 16)
    torch.manual_seed(0)
    module = backbone.build().eval().requires_grad_(False)
    # Frame networks of timm are published for larger frames than they are used with.
    preprocessing = layouts_of(name)[0].preprocessing.at_size(224 if short == "dinov2-s" else None)
    backbone.check_input(length, preprocessing.crop)
    size = preprocessing.crop
    clip = np.random.default_rng(0).integers(0, 256, (length, size, size, 3), dtype=np.uint8)
    ways = ways_of(module, preprocessing, clip)
    gflop = work(module, (1, 3, length, size, size))
    seconds, gemm = in_turn(ways, rounds)
    del ways, module
    gc.collect()
    return Row(short, length, size, gflop, seconds, gemm)


def ways_of(
    module: torch.nn.Module, preprocessing: Preprocessing, clip: np.ndarray
) -> dict[str, Callable[[], object]]:
    """Each computes the features of the clip."""
    inputs = normalise(torch.from_numpy(clip[None]), preprocessing).contiguous()

    def eager() -> torch.Tensor:
        with torch.inference_mode():
            return module(inputs)

    ways: dict[str, Callable[[], object]] = {"eager": eager}
    expected = eager()
    if openvino_version():
        try:
            network = Converted(module, tuple(inputs.shape)).network(1, "fp32", 1)
            by_openvino = Model(network, CPU, "fp32", preprocessing, 1)
            ways["OpenVINO"] = lambda: by_openvino.forward([clip])
        except NotConverted as error:
            print(error)
    own = Model(for_inference(copy.deepcopy(module), CPU, torch.float32), CPU, "fp32", preprocessing, 1)
    ways["ours, torch"] = lambda: own.forward([clip])
    for way in ways.values():
        error = np.abs(np.asarray(way()) - expected.numpy()).max() / expected.abs().max().item()
        assert error < 1e-3, error
    return ways


def in_turn(ways: dict[str, Callable[[], object]], rounds: int) -> tuple[dict[str, float], float]:
    """Median CPU seconds of each way, and of a GFLOP of matrix products."""
    a, b = torch.rand(2, GEMM_SIZE, GEMM_SIZE)
    out = torch.empty_like(a)
    everything = {**ways, "": lambda: [torch.mm(a, b, out=out) for _ in range(20)]}
    times: dict[str, list[float]] = {name: [] for name in everything}
    for _ in range(rounds):
        for name, run in everything.items():
            started = time.process_time()
            run()
            times[name].append(time.process_time() - started)
    medians = {name: statistics.median(each) for name, each in times.items()}
    return medians, medians.pop("") / (20 * 2 * GEMM_SIZE**3 / 1e9)


def work(module: torch.nn.Module, shape: tuple[int, ...]) -> float:
    """GFLOP of a clip, a multiplication and an addition counted as two."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.zeros(shape))
    return counter.get_total_flops() / 1e9


def published(name: str, folder: Path) -> str:
    """A folder with the config of a published model, and no weights."""
    path = folder / name
    if name == "dinov2-s":
        import timm

        architecture = "vit_small_patch14_dinov2"
        config = timm.get_pretrained_cfg(f"{architecture}.lvd142m").to_dict()
        path.mkdir()
        text = json.dumps({"architecture": architecture, "pretrained_cfg": config}, default=list)
        (path / "config.json").write_text(text)
        return f"timm:{path}"
    import transformers

    config, size = {
        "vjepa2-l": (transformers.VJEPA2Config, 256),
        "videomae-b": (transformers.VideoMAEConfig, 224),
    }[name]
    config().save_pretrained(path)
    (path / "preprocessor_config.json").write_text(json.dumps({"size": size, "crop_size": size} | PROCESSOR))
    return f"hf:{path}"


def write(rows: list[Row], options: argparse.Namespace, *, unfinished: bool) -> None:
    both = "CPU s | times eager | of GEMM"
    lines = [
        "One clip at a time, fp32, one thread, random numbers; CPU seconds of the process (medians of"
        f" {options.rounds} rounds, all ways in turn) and not the clock's, since the machine had other work."
        f" Of GEMM: beside a square matrix product of {GEMM_SIZE} in the same rounds. Features of all ways"
        " agree to 1e-3 of the largest. GFLOP are without the products inside attention, which torch does not"
        " count on a CPU: of VideoMAE a third of what is shown, of DINOv2 a ninth, of V-JEPA 2's 4 frames a"
        " twelfth.",
        "",
        f"| backbone | clip | GFLOP | eager, CPU s | ours, torch: {both} | OpenVINO: {both} |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(row.line() for row in rows),
    ]
    command = (
        f"python benchmarks/bench_backbones.py --backbones {options.backbones} --rounds {options.rounds}"
    )
    write_section("backbones cpu", "A clip in each backbone", command, lines, unfinished=unfinished)


if __name__ == "__main__":
    main()
