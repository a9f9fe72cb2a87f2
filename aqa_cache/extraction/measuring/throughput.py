"""How fast extraction is on this machine, beside the machine's own matrix-product rate measured in the same
run.
"""

import math
import platform
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...backbones.inference import Model
from ...backbones.openvino_engine import openvino_version
from ...clips.preprocess import normalise
from ...machine.cores import available_cores
from ...machine.devices import device_name, process_peak_memory
from ...video.threads import default_workers
from ..configuration import ExtractionConfig
from ..loading import load_backbone, load_model
from .rates import bound, decoding_seconds, extraction_rate, gemm_rate, gflop_of_a_clip, seconds_each
from .video import VIDEO_FRAMES, write_video

# End to end takes so many times the seconds of the others, so that its first batches, which are slow, count
# for little.
_END_TO_END = 3
_END_TO_END_BATCHES = 4
# In between, PyTorch leaves cuDNN out for these (pytorch/pytorch issues 163539 and 166480).
_SLOW_CUDNN = range(90800, 91500)


@dataclass(frozen=True)
class Throughput:
    """One run's figures; every rate is of all repetitions within the time given together; matrix products and
    the reference: the median one.

    Args:
        precision: used, which is fp32 where the one asked for is not to be had.
        workers, threads, cores: decoding threads, threads of the arithmetic on a CPU, and what they run on.
        gemm_gflops: best matrix product, of all square sizes 1024 to 8192 that the time allowed, in the same
            precision and with the same threads, in 1e9 floating-point operations per second; gemm_size: the
            size it was.
        clip_gflop: work of one clip, a multiplication and an addition counted as two.
        eager_clips: clips per second of the network as published: contiguous memory, batch norm separate.
        compute_clips: clips per second as `aqa-extract` runs it; before, after: measured before and after
            `end_to_end_clips`, since machines drift, and this is both together.
        decode_frames: frames per second decoded and prepared by `workers` threads, nothing else running;
            decode_clips: the same in clips.
        decode_core_seconds: of one clip, by one thread alone.
        end_to_end_clips: clips per second of a whole extraction of `end_to_end_count` clips, a whole number
            of batches of several videos, from the loaded model to the published cache.
        bound_clips: what end to end cannot exceed, see `bound`.
        peak_memory: resident bytes of the process at its largest until then, before matrices of the ceiling;
            None where the system does not tell. peak_gpu_memory: of the extraction's tensors.
        warnings: what makes this machine slower than it need be.
    """

    backbone: str
    device: str
    precision: str
    size: int
    batch_size: int
    workers: int
    threads: int
    cores: int
    gemm_gflops: float
    gemm_size: int
    clip_gflop: float
    eager_clips: float
    compute_clips: float
    compute_clips_before: float
    compute_clips_after: float
    decode_frames: float
    decode_clips: float
    decode_core_seconds: float
    end_to_end_clips: float
    end_to_end_count: int
    bound_clips: float
    peak_memory: int | None
    peak_gpu_memory: int | None
    versions: dict[str, Any]
    warnings: list[str]

    @property
    def eager_of_gemm(self) -> float:
        return self.eager_clips * self.clip_gflop / self.gemm_gflops

    @property
    def compute_of_gemm(self) -> float:
        return self.compute_clips * self.clip_gflop / self.gemm_gflops

    @property
    def compute_of_eager(self) -> float:
        return self.compute_clips / self.eager_clips

    @property
    def drift(self) -> float:
        """How much faster the machine was after end to end than before, as a share."""
        return self.compute_clips_after / self.compute_clips_before - 1

    @property
    def end_to_end_of_bound(self) -> float:
        return self.end_to_end_clips / self.bound_clips

    @property
    def limiting(self) -> str:
        return "decoding" if self.decode_clips < self.compute_clips else "the backbone"

    def record(self) -> dict[str, Any]:
        """For JSON: the fields and the ratios."""
        ratios = (
            "eager_of_gemm",
            "compute_of_gemm",
            "compute_of_eager",
            "drift",
            "end_to_end_of_bound",
            "limiting",
        )
        return {**asdict(self), **{name: getattr(self, name) for name in ratios}}


def measure(
    config: ExtractionConfig, seconds: float = 5.0, progress: Callable[[str], None] = lambda stage: None
) -> Throughput:
    """Measure decoding, the backbone, a whole extraction and matrix products, about `seconds` each.

    Args:
        config: as for `extract`; speed does not depend on the weights, so let them be random.
        progress: told what is being measured.

    Raises:
        AqaError: the configuration cannot be run here.
    """
    workers = default_workers() if config.workers is None else config.workers
    with tempfile.TemporaryDirectory(prefix="aqa-bench-") as temporary:
        folder = Path(temporary)
        random_path = folder / "weights.safetensors"
        progress("loading the backbone, making a video")
        model, _ = load_model(config, random_path)
        device, dtype, preprocessing = model.device, model.dtype, model.preprocessing
        on_gpu = device.type == "cuda"
        videos = folder / "videos"
        videos.mkdir()
        video = videos / "000.mp4"
        write_video(video)
        clips_per_video = len(config.clip_rule.first_frames(0, VIDEO_FRAMES))

        progress("decoding, 1 thread")
        decode_core_seconds = decoding_seconds(video, preprocessing, 1, seconds) / clips_per_video
        progress(f"decoding, {workers} thread{'s' * (workers > 1)}")
        videos_per_second = workers / decoding_seconds(video, preprocessing, workers, seconds)
        decode_clips = videos_per_second * clips_per_video

        shape = (config.clip_rule.clip_len, preprocessing.crop, preprocessing.crop, 3)
        clips = list(np.random.default_rng(0).integers(0, 256, (model.batch_size, *shape), dtype=np.uint8))
        progress("compute, ours, before")
        before = seconds_each(lambda: model.forward(clips), seconds / 2)
        expected = bound(
            model.batch_size / statistics.fmean(before), decode_clips, decode_core_seconds, on_gpu
        )
        count = _videos_needed(_END_TO_END * seconds * expected, clips_per_video, model.batch_size, workers)
        for number in range(1, count):
            (videos / f"{number:03d}.mp4").hardlink_to(video)
        progress(f"end to end, {count * clips_per_video} clips")
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(device)
        end_to_end, extraction = extraction_rate(videos, folder / "feats.h5", config)
        peak_memory = process_peak_memory()
        peak_gpu_memory = torch.cuda.max_memory_allocated(device) if on_gpu else None
        progress("compute, ours, after")
        after = seconds_each(lambda: model.forward(clips), seconds / 2)
        compute, compute_before, compute_after = (
            model.batch_size / statistics.fmean(times) for times in (before + after, before, after)
        )

        progress("compute, eager reference")
        eager_seconds, work = _as_published(config, random_path, model, clips, seconds)
        progress("matrix products")
        gemm, gemm_size = gemm_rate(device, dtype, seconds)
    versions = _versions(on_gpu, model.engine)
    warning = cudnn_warning(versions["cudnn"])
    return Throughput(
        backbone=config.backbone,
        device=device_name(device),
        precision=model.precision,
        size=preprocessing.crop,
        batch_size=model.batch_size,
        workers=workers,
        threads=torch.get_num_threads(),
        cores=available_cores(),
        gemm_gflops=gemm,
        gemm_size=gemm_size,
        clip_gflop=work,
        eager_clips=model.batch_size / eager_seconds,
        compute_clips=compute,
        compute_clips_before=compute_before,
        compute_clips_after=compute_after,
        decode_frames=videos_per_second * VIDEO_FRAMES,
        decode_clips=decode_clips,
        decode_core_seconds=decode_core_seconds,
        end_to_end_clips=end_to_end,
        end_to_end_count=extraction.clips,
        bound_clips=bound(compute, decode_clips, decode_core_seconds, on_gpu),
        peak_memory=peak_memory,
        peak_gpu_memory=peak_gpu_memory,
        versions=versions,
        warnings=[warning] if warning else [],
    )


def _as_published(
    config: ExtractionConfig, weights: Path, model: Model, clips: list[np.ndarray], seconds: float
) -> tuple[float, float]:
    """Seconds of a batch through the network as published, and the work of one clip in GFLOP."""
    eager, *_ = load_backbone(config, weights)
    work = gflop_of_a_clip(eager.eval(), clips[0].shape)
    eager.to(model.device, model.dtype)
    batch = np.stack(clips)

    def forward() -> None:
        with torch.inference_mode():
            inputs = normalise(torch.from_numpy(batch).to(model.device), model.preprocessing, model.dtype)
            eager(inputs.contiguous()).float().cpu()

    return statistics.median(seconds_each(forward, seconds)), work


def cudnn_warning(version: int | None) -> str | None:
    """What to know of a cuDNN version, as PyTorch numbers it; None if nothing."""
    if version is None or version not in _SLOW_CUDNN:
        return None
    return (
        f"cuDNN {version} lies between 9.8 and 9.15, where PyTorch does not use cuDNN for fp16 and bf16 3D"
        " convolutions of contiguous tensors: the eager reference is far slower than it would be with"
        " another version. Extraction keeps tensors in channels-last order and is not affected."
    )


def _videos_needed(clips: float, clips_per_video: int, batch_size: int, workers: int) -> int:
    """How many videos give about so many clips, in whole batches, and every decoding thread as many of
    them.
    """
    whole = math.lcm(batch_size // math.gcd(batch_size, clips_per_video), workers)
    clips = max(clips, _END_TO_END_BATCHES * batch_size)
    return whole * math.ceil(clips / clips_per_video / whole)


def _versions(on_gpu: bool, engine: str) -> dict[str, Any]:
    import av

    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "av": av.__version__,
        "cudnn": torch.backends.cudnn.version() if on_gpu else None,
    }
    if engine == "openvino":
        versions["openvino"] = openvino_version()
    return versions
