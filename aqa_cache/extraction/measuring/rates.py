"""Rates of what an extraction is made of, each measured alone, and of the whole."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ...clips.preprocess import FramePreparer, Preprocessing
from ...machine.cores import available_cores
from ...video.decoding import decode
from ..configuration import ExtractionConfig
from ..run import Extraction, extract

_GEMM_SIZES = (1024, 2048, 4096, 8192)
_REPETITIONS = 3


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

        rate = gflop / statistics.median(seconds_each(product, seconds / len(_GEMM_SIZES)))
        if rate > best:
            best, best_size = rate, size
    return best, best_size


def seconds_each(run: Callable[[], None], seconds: float) -> list[float]:
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


def decoding_seconds(path: Path, preprocessing: Preprocessing, workers: int, seconds: float) -> float:
    """Seconds in which `workers` threads each decode the video and prepare its frames."""
    from concurrent.futures import ThreadPoolExecutor

    def read(_) -> None:
        prepare = FramePreparer(preprocessing)
        for frame in decode(path):
            prepare(frame.rgb())

    with ThreadPoolExecutor(workers) as pool:
        return statistics.fmean(seconds_each(lambda: list(pool.map(read, range(workers))), seconds))


def gflop_of_a_clip(module: torch.nn.Module, shape: tuple[int, ...]) -> float:
    """Work of one clip, counted by torch on a clip of zeros."""
    from torch.utils.flop_counter import FlopCounterMode

    length, height, width, channels = shape
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, channels, length, height, width))
    return counter.get_total_flops() / 1e9
