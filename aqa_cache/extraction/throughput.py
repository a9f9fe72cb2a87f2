"""How fast extraction is on this machine, beside the machine's own matrix-product rate measured in the same
run.
"""

import math
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..backbones.openvino_engine import openvino_version
from ..clips.preprocess import FramePreparer, Preprocessing, normalise
from ..errors import missing
from ..machine.cores import available_cores
from ..machine.devices import device_name, process_peak_memory
from ..video.decoding import decode
from ..video.threads import default_workers
from .configuration import ExtractionConfig
from .loading import load_backbone, load_model
from .run import Extraction, extract

# A whole number of clips of 16 frames, about as long as a dive: few videos make whole batches, also of a slow
# backbone.
VIDEO_SIZE, VIDEO_RATE, VIDEO_FRAMES = (640, 360), 25, 96
_GEMM_SIZES = (1024, 2048, 4096, 8192)
_REPETITIONS = 3
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
        decode_core_seconds = _decoding_seconds(video, preprocessing, 1, seconds) / clips_per_video
        progress(f"decoding, {workers} thread{'s' * (workers > 1)}")
        videos_per_second = workers / _decoding_seconds(video, preprocessing, workers, seconds)
        decode_clips = videos_per_second * clips_per_video

        shape = (config.clip_rule.clip_len, preprocessing.crop, preprocessing.crop, 3)
        clips = list(np.random.default_rng(0).integers(0, 256, (model.batch_size, *shape), dtype=np.uint8))
        progress("compute, ours, before")
        before = _seconds_each(lambda: model.forward(clips), seconds / 2)
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
        after = _seconds_each(lambda: model.forward(clips), seconds / 2)
        compute, compute_before, compute_after = (
            model.batch_size / statistics.fmean(times) for times in (before + after, before, after)
        )

        progress("compute, eager reference")
        eager, *_ = load_backbone(config, random_path)
        work = _gflop_of_a_clip(eager.eval(), shape)
        eager.to(device, dtype)
        batch = np.stack(clips)

        def forward_as_published() -> None:
            with torch.inference_mode():
                inputs = normalise(torch.from_numpy(batch).to(device), preprocessing, dtype)
                eager(inputs.contiguous()).float().cpu()

        eager_seconds = statistics.median(_seconds_each(forward_as_published, seconds))
        progress("matrix products")
        gemm, gemm_size = gemm_rate(device, dtype, seconds)
    versions = _versions(on_gpu)
    if model.engine == "openvino":
        versions["openvino"] = openvino_version()
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


def bound(
    compute_clips: float,
    decode_clips: float,
    decode_core_seconds: float,
    on_gpu: bool,
    *,
    threads: int | None = None,
    cores: int | None = None,
) -> float:
    """Clips per second that decoding and backbone together cannot exceed.

    On a GPU they run side by side: the smaller of the two rates. On a CPU they share its cores, so that a
    clip takes the core-seconds of both: 1 / (compute seconds a clip + decode core-seconds a clip / cores)
    where the arithmetic uses every core.

    Args:
        threads: of the arithmetic; None: as torch is set. cores: they share; None: those of this process.

    >>> round(bound(10, 100, 0.02, on_gpu=False, threads=2, cores=2), 2)
    9.09
    """
    if on_gpu:
        return min(compute_clips, decode_clips)
    cores = cores or available_cores()
    threads = min(threads or torch.get_num_threads(), cores)
    return min(compute_clips, decode_clips, cores / (threads / compute_clips + decode_core_seconds))


def extraction_rate(videos: Path, output: Path, config: ExtractionConfig) -> tuple[float, Extraction]:
    """Clips per second of an extraction, from the first frame to the published cache."""
    result = extract(videos, output, config)
    return result.clips / (result.seconds - result.loading_seconds), result


def gemm_rate(device: torch.device, dtype: torch.dtype, seconds: float = 5.0) -> tuple[float, int]:
    """The machine's matrix-product rate in GFLOP/s, and its size: the best of square sizes 1024 to 8192.

    A size whose repetitions would take longer than `seconds`, by the rate of the smaller ones, is left out.
    """
    best, best_size = 0.0, 0
    for size in _GEMM_SIZES:
        gflop = 2 * size**3 / 1e9
        if best and (_REPETITIONS + 1) * gflop / best > seconds:
            break
        a, b = (torch.rand(size, size, device=device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)

        def product(a=a, b=b, out=out):
            torch.mm(a, b, out=out)
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        rate = gflop / statistics.median(_seconds_each(product, seconds / len(_GEMM_SIZES)))
        if rate > best:
            best, best_size = rate, size
    return best, best_size


def write_video(path: Path, frames: int = VIDEO_FRAMES, size: tuple[int, int] = VIDEO_SIZE) -> None:
    """An H.264 video at 25 fps of moving stripes, discs and grain: work for a decoder as real footage is.

    Args:
        size: width and height in pixels.
    """
    try:
        import av
    except Exception as error:
        raise missing("av", "measuring decoding", error) from None
    width, height = size
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=VIDEO_RATE, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            x, y = width * (0.5 + 0.4 * np.sin(number / 20)), height * (0.5 + 0.33 * np.cos(number / 15))
            stripes = 100 + 50 * np.sin((columns + 2 * number) / 25 + rows / 40)
            disc = ((columns - x) ** 2 + (rows - y) ** 2 < (height / 7) ** 2) * 80
            grain = rng.integers(0, 12, (height, width))
            grey = (stripes + disc + grain).astype(np.uint8)
            picture = np.stack([grey, np.roll(grey, 40, axis=1), 255 - grey], axis=-1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


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


def _seconds_each(run: Callable[[], None], seconds: float) -> list[float]:
    """Times of repetitions after a warm-up, within about `seconds` but at least three; only the first if it
    takes longer.
    """
    started = time.perf_counter()
    run()
    first = time.perf_counter() - started
    if first > seconds:
        return [first]
    times, deadline = [], time.perf_counter() + seconds
    while len(times) < _REPETITIONS or time.perf_counter() < deadline:
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return times


def _decoding_seconds(path: Path, preprocessing: Preprocessing, workers: int, seconds: float) -> float:
    """Seconds in which `workers` threads each decode the video and prepare its frames."""
    from concurrent.futures import ThreadPoolExecutor

    def read(_) -> None:
        prepare = FramePreparer(preprocessing)
        for frame in decode(path):
            prepare(frame.rgb())

    with ThreadPoolExecutor(workers) as pool:
        return statistics.fmean(_seconds_each(lambda: list(pool.map(read, range(workers))), seconds))


def _gflop_of_a_clip(module: torch.nn.Module, shape: tuple[int, ...]) -> float:
    """Work of one clip, counted by torch on a clip of zeros."""
    from torch.utils.flop_counter import FlopCounterMode

    length, height, width, channels = shape
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, channels, length, height, width))
    return counter.get_total_flops() / 1e9


def _versions(on_gpu: bool) -> dict[str, Any]:
    import av

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "av": av.__version__,
        "cudnn": torch.backends.cudnn.version() if on_gpu else None,
    }
