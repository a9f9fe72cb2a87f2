"""A backbone made ready: which engine runs it, in which precision and batches, checked on one batch."""

import copy
import functools
import json
import logging
from collections.abc import Callable

import numpy as np
import torch
from torch.backends.cpu import get_cpu_capability

from ..clips.preprocess import Preprocessing
from ..errors import AqaError, first_line
from ..machine.devices import device_name
from .inference import Model, OutOfMemory
from .openvino_engine import HINTS, Converted, NotConverted, openvino_version
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
# Of the check of an engine: clips in fp32 by torch, which may be many times slower.
_CLIPS_COMPARED = 2
# Of `_smooth_clips`: another number where they are made otherwise.
_NOISE = 1


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
    precision = _arithmetic(precision, device)
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
    return _by_torch(module, device, precision, preprocessing, batch_size, clip_len, compiled)


def _arithmetic(precision: str, device: torch.device) -> str:
    """The precision that was asked for, or fp32 where the processor has no arithmetic of it."""
    if precision == "tf32" and device.type != "cuda":
        raise AqaError("precision tf32 is arithmetic of NVIDIA GPUs; on a CPU use fp32 or bf16")
    if device.type != "cpu" or is_native(precision):
        return precision
    _log.warning(
        f"Using fp32: this processor has no {precision} arithmetic of its own, which makes it many times"
        " slower."
    )
    return "fp32"


def _by_torch(
    module: torch.nn.Module,
    device: torch.device,
    precision: str,
    preprocessing: Preprocessing,
    batch_size: int | None,
    clip_len: int,
    compiled: bool,
) -> Model:
    """The backbone in torch, in fp32 where its features in another precision are too far from it."""
    plain = for_inference(module, device, torch.float32)
    sizes = (batch_size,) if batch_size else AUTO_BATCH_SIZES[device.type]
    other = precision != "fp32" or compiled  # than the plain network, which it is held against
    if device.type == "cpu" and not other:
        return Model(plain, device, "fp32", preprocessing, sizes[0])
    fast = plain if precision == "fp32" else copy.deepcopy(plain).to(TORCH_DTYPES[precision])
    clips = _smooth_clips(clip_len, preprocessing.crop)
    # The check itself needs the memory that extraction will need, so it is also how a batch size is found.
    for size in sizes:
        set_precision(device, "fp32")  # not what the size before has left
        try:
            reference = Model(plain, device, "fp32", preprocessing, size)
            expected = reference.forward(clips[:size])
            if not other:
                return reference
            network = torch.compile(fast) if compiled else fast
            set_precision(device, precision)
            model = Model(network, device, precision, preprocessing, size, compiled)
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
