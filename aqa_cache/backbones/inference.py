"""A backbone ready to run: batches of one fixed shape, copied to the device and back beside the
arithmetic.
"""

import copy
import functools
import itertools
import json
import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.backends.cpu import get_cpu_capability

from ..clips.preprocess import Preprocessing, normalise
from ..errors import AqaError, first_line
from ..machine.devices import device_name
from .openvino_engine import HINTS, Converted, NotConverted, OpenVinoNetwork, openvino_version
from .precision import (
    MAX_ENGINE_ERROR,
    MAX_RELATIVE_ERROR,
    MIN_COSINE,
    TORCH_DTYPES,
    Parity,
    is_native,
    set_precision,
)
from .registry import for_inference

_log = logging.getLogger(__name__)

AUTO_BATCH_SIZES = {"cpu": (8,), "cuda": (64, 32, 16, 8, 4, 2, 1)}
"""What `--batch-size auto` tries; on a CPU larger batches are no faster."""
SLOTS = 3
# Of the check of an engine: clips in fp32 by torch, which may be many times slower.
_CLIPS_COMPARED = 2
# Of `_smooth_clips`: another number where they are made otherwise.
_NOISE = 1


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


def ready_model(
    module: torch.nn.Module,
    device: torch.device,
    precision: str,
    preprocessing: Preprocessing,
    batch_size: int | None,
    clip_len: int,
    *,
    compiled: bool = False,
    engine: str = "torch",
    converted: Callable[[], Converted] | None = None,
) -> Model:
    """Lay a backbone out for speed, and check on one batch that a lower precision or another engine gives the
    features of torch in fp32.

    Args:
        module: as published, float32, on the CPU; it is changed.
        batch_size: None: the largest of `AUTO_BATCH_SIZES` that fits into memory.
        compiled: run it through torch.compile.
        engine: `torch`; `openvino`; or `auto`, which is OpenVINO where it is installed and runs this network
            in this precision on a CPU, else torch.
        converted: makes the backbone's converted form; only asked for if OpenVINO may be used.

    Raises:
        AqaError: the device does not know the precision, its memory is too small, or OpenVINO was asked for
            and cannot be used.
    """
    if precision == "tf32" and device.type != "cuda":
        raise AqaError("precision tf32 is arithmetic of NVIDIA GPUs; on a CPU use fp32 or bf16")
    if device.type == "cpu" and not is_native(precision):
        _log.warning(
            f"Using fp32: this processor has no {precision} arithmetic of its own, which makes it many"
            " times slower."
        )
        precision = "fp32"
    if engine == "openvino" and (why := _not_for_openvino(device, precision, compiled)):
        raise AqaError(f"--engine openvino {why}; give --engine torch, or leave it out")
    if engine == "openvino" or (
        engine == "auto" and openvino_version() and not _not_for_openvino(device, precision, compiled)
    ):
        assert converted is not None
        try:
            return _by_openvino(converted(), module, precision, preprocessing, batch_size, clip_len)
        except NotConverted as error:
            if engine == "openvino":
                raise
            _log.warning(f"Using torch: {error}.")
    plain = for_inference(module, device, torch.float32)
    lower = None if precision == "fp32" else copy.deepcopy(plain).to(TORCH_DTYPES[precision])
    sizes = (batch_size,) if batch_size else AUTO_BATCH_SIZES[device.type]
    if device.type == "cpu" and lower is None and not compiled:
        return Model(plain, device, "fp32", preprocessing, sizes[0])
    clips = _smooth_clips(clip_len, preprocessing.crop)
    # The check itself needs the memory that extraction will need, so it is also how a batch size is found.
    for size in sizes:
        set_precision(device, "fp32")  # not what the size before has left
        try:
            reference = Model(plain, device, "fp32", preprocessing, size)
            expected = reference.forward(clips[:size])
            if lower is None and not compiled:
                return reference
            fast = torch.compile(lower if lower is not None else plain) if compiled else lower
            set_precision(device, precision)
            model = Model(fast, device, precision, preprocessing, size, compiled)
            parity = Parity.between(model.forward(clips[:size]), expected)
            break
        except OutOfMemory:
            torch.cuda.empty_cache()
            if size == sizes[-1]:
                raise
        except RuntimeError as error:
            raise AqaError(
                f"the backbone cannot be run in {precision}{', compiled,' if compiled else ''} on {device} "
                f"({type(error).__name__}: {first_line(error)}); use --precision fp32"
                + (" without --compile" if compiled else "")
            ) from None
    if parity.good:
        return model
    set_precision(device, "fp32")
    _log.warning(_too_far(precision, parity, compiled))
    return reference


def _not_for_openvino(device: torch.device, precision: str, compiled: bool) -> str | None:
    """Why torch has to compute this; None if it does not have to."""
    if device.type != "cpu":
        return f"runs on CPUs, and the device is {device}"
    if compiled:
        return "and --compile, which is torch's, exclude each other"
    return None if precision in HINTS else f"has no precision {precision}, only {', '.join(HINTS)}"


def _by_openvino(
    converted: Converted,
    module: torch.nn.Module,
    precision: str,
    preprocessing: Preprocessing,
    batch_size: int | None,
    clip_len: int,
) -> Model:
    """The backbone in OpenVINO, if its features are those of torch in fp32 as far as the precision allows.

    Raises:
        NotConverted: OpenVINO cannot run it, or gives other features.
    """
    device, size = torch.device("cpu"), batch_size or AUTO_BATCH_SIZES["cpu"][0]
    count = min(_CLIPS_COMPARED, size)

    @functools.cache
    def test_batch() -> tuple[list[np.ndarray], np.ndarray]:
        """Clips, and torch's features of them; most starts need none."""
        clips = _smooth_clips(clip_len, preprocessing.crop)[:count]
        plain = for_inference(copy.deepcopy(module), device, torch.float32)
        return clips, Model(plain, device, "fp32", preprocessing, count).forward(clips)

    threads, processor = torch.get_num_threads(), [device_name(device), get_cpu_capability()]
    compared = [_NOISE, count, preprocessing.record(), size, threads, processor]
    used, notes = precision, []
    while True:
        model = Model(converted.network(size, used, threads), device, used, preprocessing, size)
        how = json.dumps([*compared, used])
        if not converted.agrees(how):
            clips, by_torch = test_batch()
            parity = Parity.between(model.forward(clips), by_torch)
            if not _agrees(parity, used):
                if used != "fp32":
                    used, notes = "fp32", [_too_far(used, parity)]
                elif converted.forget():  # the code of a backbone of one's own has changed, not its name
                    used, notes = precision, []
                else:
                    raise NotConverted(
                        "on a test batch, features by OpenVINO differ from torch's too much (relative error"
                        f" {parity.relative_error:.2g}; allowed {MAX_ENGINE_ERROR})"
                    )
                continue
            converted.remember_agreement(how)
        for note in notes:
            _log.warning(note)
        return model


def _agrees(parity: Parity, precision: str) -> bool:
    """Whether features by another engine are those of torch in fp32."""
    return parity.relative_error <= MAX_ENGINE_ERROR if precision == "fp32" else parity.good


def _too_far(precision: str, parity: Parity, compiled: bool = False) -> str:
    return (
        f"Using fp32{' without torch.compile' if compiled else ''}: on a test batch, features in"
        f" {precision}{', compiled,' if compiled else ''} differ from it too much (cosine"
        f" {parity.cosine:.5f}, relative error {parity.relative_error:.2g}; allowed {MIN_COSINE} and"
        f" {MAX_RELATIVE_ERROR})."
    )


def _smooth_clips(clip_len: int, size: int, count: int = 4) -> list[np.ndarray]:
    """Clips of moving coarse noise, the same always: closer to a camera's pictures than white noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 4, 6, 6, generator=generator)
    fine = torch.nn.functional.interpolate(
        coarse, (clip_len, size, size), mode="trilinear", align_corners=True
    )
    return list((fine * 255).to(torch.uint8).permute(0, 2, 3, 4, 1).numpy())
