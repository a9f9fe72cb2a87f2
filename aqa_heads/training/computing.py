"""What a run computes with and how much of it: deterministic algorithms, memory, time."""

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from aqa_cache.machine.cores import available_cores
from aqa_cache.machine.devices import process_peak_memory

from ..errors import TrainingError

_DENORMAL = 5e-324
_GRAIN = 2**15  # elements that torch gives a thread at least
# Multiplications of a step's forward pass that one thread does, with the way back, while it would wait for
# another one that spins as briefly as the commands have it. Measured with two (LOG.md).
_WAIT = 75_000_000
_UPDATED = 1_000_000  # weights that one thread updates while it would wait for another
_NO_MEMORY = ("can't allocate memory", "size calculation overflowed")


class Clock:
    """Seconds by stage."""

    def __init__(self):
        self._began = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._laps[stage], self._last = now - self._last, now

    def record(self) -> dict[str, float]:
        return self._laps | {"total": time.perf_counter() - self._began}


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """On a GPU only algorithms that give the same bits every time; on the CPU all of ours do."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


def threads_worth(multiplications: float) -> int:
    """How many threads of the CPU, of those that torch may use, make a training step the shortest.

    n threads take work / n, and wait n times as long for each other: that is least at the root of work by
    waiting. More than there are cores only wait longer.

    Args:
        multiplications: of its forward pass.
    """
    return _there_are(math.isqrt(int(multiplications / _WAIT)))


def threads_of_update(weights: int) -> int:
    """How many threads update so many weights: it is one operation, bound by memory."""
    return _there_are(weights // _UPDATED)


def _there_are(threads: int) -> int:
    """So many, but at least one, and at most as torch may use and there are cores."""
    return min(torch.get_num_threads(), available_cores(), max(1, threads))


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Numbers below 1.2e-38 (float32) are zero in the block.

    The gradient of the first of 200 clips has come through 200 states and is often that small; processors
    take many times as long for such numbers. It holds for the calling thread and those that it starts, so all
    compute threads are there before: what they flush would hang on when they were started.
    """
    if _is_zero(_DENORMAL):  # whoever calls has it so
        yield
        return
    torch.zeros(_GRAIN * torch.get_num_threads()).add_(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _is_zero(number: float) -> bool:
    """Whether a number is 0 to the processor as it is set now."""
    return number == 0


@contextmanager
def out_of_memory_explained(
    device: torch.device, advice: str = "a smaller --batch-size or --encoder-hidden"
) -> Iterator[None]:
    """Where memory ends in the block, a TrainingError says what helps."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        said = (str(error) or "out of memory").splitlines()[0]
        raise TrainingError(
            f"{device} has not enough memory ({said}); try {advice}"
            + ("" if device.type == "cpu" else ", or --device cpu")
        ) from None


def is_out_of_memory(error: Exception) -> bool:
    # On the CPU torch raises a plain RuntimeError.
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or any(words in str(error) for words in _NO_MEMORY)


def peak_memory(device: torch.device) -> int | None:
    """Bytes: on a GPU those of its tensors since the run began, else those of the whole process since it
    began.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return process_peak_memory()
