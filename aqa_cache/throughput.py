"""How fast extraction is on this machine, beside the machine's own matrix-product rate measured in the same run."""

import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from .backbones import for_inference
from .devices import pick_device, process_peak_memory
from .errors import missing
from .extraction import PRECISIONS, ExtractionConfig, extract, load_backbone
from .pipeline import Model, default_workers
from .preprocess import FramePreparer, normalise
from .video import decode

VIDEO_SIZE, VIDEO_RATE, VIDEO_FRAMES = (640, 360), 25, 400
_GEMM_SIZES = (1024, 2048, 4096, 8192)


@dataclass(frozen=True)
class Throughput:
    """One run's figures; rates are the best of several repetitions within the time given.

    Args:
        gemm_gflops: best matrix product of square sizes 1024 to 8192, in 1e9 floating-point operations per second.
        clip_gflop: work of one clip, a multiplication and an addition counted as two.
        eager_clips: clips per second of the network as published: contiguous memory, batch norm separate.
        compute_clips: clips per second as `aqa-extract` runs it.
        decode_frames: frames per second decoded and prepared by `workers` threads, nothing else running.
        decode_clips: the same in clips of `clip_len` frames that do not overlap.
        end_to_end_clips: clips per second of whole extractions, from opening the videos to the published cache, without the
            loading of the model.
        bound_clips: what end to end cannot exceed: 1 / (compute seconds a clip + decode core-seconds a clip / cores) where the CPU does
            both, else the smaller of the two rates.
        peak_memory: resident bytes of the process at its largest; None where the system does not tell.
    """

    backbone: str
    device: str
    precision: str
    size: int
    batch_size: int
    workers: int
    threads: int
    gemm_gflops: float
    clip_gflop: float
    eager_clips: float
    compute_clips: float
    decode_frames: float
    decode_clips: float
    end_to_end_clips: float
    bound_clips: float
    peak_memory: int | None
    versions: dict

    @property
    def eager_of_gemm(self) -> float:
        return self.eager_clips * self.clip_gflop / self.gemm_gflops

    @property
    def compute_of_gemm(self) -> float:
        return self.compute_clips * self.clip_gflop / self.gemm_gflops

    @property
    def end_to_end_of_bound(self) -> float:
        return self.end_to_end_clips / self.bound_clips

    @property
    def limiting(self) -> str:
        return "decoding" if self.decode_clips < self.compute_clips else "the backbone"

    def record(self) -> dict:
        """For JSON: the fields and the ratios."""
        ratios = ("eager_of_gemm", "compute_of_gemm", "end_to_end_of_bound", "limiting")
        return {**asdict(self), **{name: getattr(self, name) for name in ratios}}


def measure(
    config: ExtractionConfig, seconds: float = 5.0, say: Callable[[str], None] = lambda line: None
) -> Throughput:
    """Measure matrix products, backbone, decoding and whole extractions, about `seconds` each.

    Args:
        config: as for `extract`; speed does not depend on the weights, so let them be random.
        say: told what is being measured.

    Raises:
        AqaError: the configuration cannot be run here.
    """
    device, dtype = pick_device(config.device), PRECISIONS[config.precision]
    workers = default_workers() if config.workers is None else config.workers
    with tempfile.TemporaryDirectory(prefix="aqa-bench-") as folder:
        say("matrix products")
        gemm = gemm_rate(device, dtype, seconds)
        random_path = Path(folder) / "weights.safetensors"
        eager, _, preprocessing = load_backbone(config, random_path)
        shape = (config.clip_rule.clip_len, preprocessing.crop, preprocessing.crop, 3)
        clips = [np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)] * config.batch_size
        work = _flops_of_a_clip(eager, shape)
        say("backbone, as published")
        plain = Model(eager.eval().to(device, dtype), device, dtype, preprocessing, config.batch_size)
        eager_rate = _rate(lambda: _forward_as_published(plain, clips), seconds) * config.batch_size
        say("backbone, as extracted with")
        fast = Model(for_inference(eager, device, dtype), device, dtype, preprocessing, config.batch_size)
        compute_rate = _rate(lambda: fast.forward(clips), seconds) * config.batch_size
        say("decoding")
        videos = Path(folder) / "videos"
        videos.mkdir()
        write_video(videos / "000.mp4")
        frames = _decode_rate(videos / "000.mp4", preprocessing, workers, seconds)
        say("end to end")
        clips_per_video = VIDEO_FRAMES // config.clip_rule.clip_len
        # Enough videos that filling and draining the pipeline does not count for much.
        count = max(
            2 * workers, round(seconds * min(compute_rate, frames / config.clip_rule.clip_len) / clips_per_video)
        )
        for number in range(1, count):
            (videos / f"{number:03d}.mp4").hardlink_to(videos / "000.mp4")
        first = []
        result = extract(
            videos, Path(folder) / "feats.h5", config, progress=lambda state: first or first.append(time.perf_counter())
        )  # fmt: skip
        # The first progress call comes when decoding has begun: model loading is not part of the rate.
        end_to_end = result.clips / (time.perf_counter() - first[0])
    decode_clips = frames / config.clip_rule.clip_len
    if device.type == "cpu":
        cores = torch.get_num_threads()
        bound = 1 / (1 / compute_rate + min(workers, cores) / decode_clips / cores)
    else:
        bound = min(decode_clips, compute_rate)
    return Throughput(
        config.backbone, device_name(device), config.precision, preprocessing.crop, config.batch_size, workers,
        torch.get_num_threads(), gemm, work, eager_rate, compute_rate, frames, decode_clips, end_to_end, bound,
        process_peak_memory(), _versions(),
    )  # fmt: skip


def gemm_rate(device: torch.device, dtype: torch.dtype, seconds: float = 5.0) -> float:
    """The machine's matrix-product rate in GFLOP/s: the best of square sizes 1024 to 8192, as far as the time allows."""
    best, deadline = 0.0, time.perf_counter() + seconds
    for size in _GEMM_SIZES:
        a, b = (torch.rand(size, size, device=device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)

        def product(a=a, b=b, out=out):
            torch.mm(a, b, out=out)
            _synchronise(device)

        best = max(best, 2 * size**3 / 1e9 * _rate(product, seconds / len(_GEMM_SIZES)))
        if time.perf_counter() > deadline:
            break
    return best


def write_video(path: Path, frames: int = VIDEO_FRAMES) -> None:
    """A 640x360 H.264 video at 25 fps of moving stripes, discs and grain: work for a decoder as real footage is."""
    try:
        import av
    except Exception as error:
        raise missing("av", "measuring decoding", error) from None
    width, height = VIDEO_SIZE
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=VIDEO_RATE, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            x, y = 320 + 250 * np.sin(number / 20), 180 + 120 * np.cos(number / 15)
            stripes = 100 + 50 * np.sin((columns + 2 * number) / 25 + rows / 40)
            disc = ((columns - x) ** 2 + (rows - y) ** 2 < 50**2) * 80
            grain = rng.integers(0, 12, (height, width))
            grey = (stripes + disc + grain).astype(np.uint8)
            picture = np.stack([grey, np.roll(grey, 40, axis=1), 255 - grey], axis=-1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _forward_as_published(model: Model, clips: list[np.ndarray]) -> None:
    with torch.inference_mode():
        inputs = normalise(torch.from_numpy(np.stack(clips)).to(model.device), model.preprocessing, model.dtype)
        model.module(inputs.contiguous()).float().cpu()


def _rate(run: Callable[[], None], seconds: float) -> float:
    """Repetitions per second: the fastest one after a warm-up, within about `seconds`, at least two."""
    run()
    best, repetitions, deadline = float("inf"), 0, time.perf_counter() + seconds
    while repetitions < 2 or time.perf_counter() < deadline:
        started = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - started)
        repetitions += 1
    return 1 / best


def _decode_rate(path: Path, preprocessing, workers: int, seconds: float) -> float:
    """Frames per second that `workers` threads decode and prepare together."""
    from concurrent.futures import ThreadPoolExecutor

    def read(_) -> int:
        prepare, count = FramePreparer(preprocessing), 0
        for frame in decode(path):
            prepare(frame.rgb())
            count += 1
        return count

    with ThreadPoolExecutor(workers) as pool:
        return _rate(lambda: list(pool.map(read, range(workers))), seconds) * workers * VIDEO_FRAMES


def _flops_of_a_clip(module: torch.nn.Module, shape: tuple[int, ...]) -> float:
    """GFLOP of one clip, counted by torch on a clip of zeros."""
    from torch.utils.flop_counter import FlopCounterMode

    length, height, width, channels = shape
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.eval()(torch.zeros(1, channels, length, height, width))
    return counter.get_total_flops() / 1e9


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def device_name(device: torch.device) -> str:
    """What a person calls the device: the GPU's or the processor's model name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _versions() -> dict:
    import av

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "av": av.__version__,
        "cudnn": torch.backends.cudnn.version() if torch.cuda.is_available() else None,
    }
