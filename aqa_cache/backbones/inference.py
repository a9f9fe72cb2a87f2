"""A backbone ready to run: batches of one fixed shape, copied to the device and back beside the
arithmetic.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import torch

from ..clips.preprocess import Preprocessing, normalise
from ..errors import AqaError, first_line
from .openvino_engine import OpenVinoNetwork
from .precision import TORCH_DTYPES

SLOTS = 3


class OutOfMemory(AqaError):
    """The device has no room for a batch."""


class PendingFeatures:
    """Features of a batch that may still be on their way from the device."""

    def __init__(self, features: torch.Tensor, ready: "torch.cuda.Event | None" = None):
        self._features, self._ready = features, ready

    def wait(self) -> np.ndarray:
        """`(clips, dim)`, or `(clips, steps, dim)`, float32, the caller's own."""
        if self._ready is not None:
            self._ready.synchronize()
        return self._features.numpy().copy()


class Model:
    """A backbone ready to run, and what its batches look like.

    Args:
        module: `(batch, 3, clip_len, size, size)` to `(batch, dim)`, or to `(batch, steps, dim)`
            (`time_steps.OverTime`); or the same by another engine.
        precision: `fp32`, `tf32`, `fp16` or `bf16`.
        batch_size: clips in a batch; every batch has this shape, so that a clip's feature depends on nothing
            but the clip.
        compiled: whether `module` went through torch.compile.
    """

    def __init__(
        self,
        module: torch.nn.Module | OpenVinoNetwork,
        device: torch.device,
        precision: str,
        preprocessing: Preprocessing,
        batch_size: int,
        compiled: bool = False,
    ):
        self.module, self.device, self.precision = module, device, precision
        self.preprocessing, self.batch_size, self.compiled = preprocessing, batch_size, compiled
        self._slots: itertools.cycle | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Of the arithmetic."""
        return TORCH_DTYPES[self.precision]

    @property
    def engine(self) -> str:
        """What computes: `torch` or `openvino`."""
        return "openvino" if isinstance(self.module, OpenVinoNetwork) else "torch"

    def forward(self, clips: Sequence[Sequence[np.ndarray] | np.ndarray]) -> np.ndarray:
        """Features of at most `batch_size` clips, a row, or rows, of `dim` float32 each; the batch is filled
        up with zeros.

        Shape:
            - clips: each `clip_len` frames `(size, size, 3)` uint8 RGB.
        """
        return self.submit(clips).wait()

    def submit(self, clips: Sequence[Sequence[np.ndarray] | np.ndarray]) -> PendingFeatures:
        """As `forward`, but on a GPU without waiting: the copies to and from it run beside the arithmetic."""
        if self._slots is None:
            shape = (self.batch_size, len(clips[0]), *clips[0][0].shape)
            count = 1 if self.device.type == "cpu" else SLOTS
            self._slots = itertools.cycle([_Slot(shape, self.device) for _ in range(count)])
        slot = next(self._slots)
        batch = slot.fill(clips)
        try:
            with torch.inference_mode():
                inputs = normalise(
                    batch,
                    self.preprocessing,
                    self.dtype if self.engine == "torch" else torch.float32,
                    channels_last=self.engine == "torch",
                    memory=slot.inputs,
                )
                return slot.fetch(self.module(inputs)[: len(clips)].float())
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "ALLOC_FAILED" not in str(error):
                raise
            raise OutOfMemory(
                f"the memory of {self.device} is too small for {self.batch_size} clip(s) at once"
                f" ({first_line(error)}); free it, or use --batch-size with a smaller number, --precision"
                " fp16, or --device cpu"
            ) from None


class _Slot:
    """The memory of one batch; on a GPU pinned, so that copies need no waiting; on a CPU also that of the
    backbone's input, `inputs`, as fresh memory costs more than what is written into it.
    """

    def __init__(self, shape: tuple[int, ...], device: torch.device):
        self._device, self._on_gpu = device, device.type == "cuda"
        self._batch = torch.zeros(shape, dtype=torch.uint8, pin_memory=self._on_gpu)
        self.inputs = None if self._on_gpu else torch.empty(self._batch.numel())
        self._copying = torch.cuda.Stream(device) if self._on_gpu else None
        self._ready: torch.cuda.Event | None = None

    def fill(self, clips) -> torch.Tensor:
        if self._ready is not None:
            self._ready.synchronize()  # the batch that lay here before is through
        batch = self._batch.numpy()
        for row, clip in enumerate(clips):
            np.stack(clip, out=batch[row])
        batch[len(clips) :] = 0
        if not self._on_gpu:
            return self._batch
        with torch.cuda.stream(self._copying):
            copied = self._batch.to(self._device, non_blocking=True)
        computing = torch.cuda.current_stream(self._device)
        computing.wait_stream(self._copying)
        copied.record_stream(computing)
        return copied

    def fetch(self, features: torch.Tensor) -> PendingFeatures:
        if not self._on_gpu:
            return PendingFeatures(features)
        fetched = torch.empty(features.shape, dtype=features.dtype, pin_memory=True)
        fetched.copy_(features, non_blocking=True)
        self._ready = torch.cuda.Event()
        self._ready.record(torch.cuda.current_stream(self._device))
        return PendingFeatures(fetched, self._ready)
