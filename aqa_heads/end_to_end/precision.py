"""The arithmetic of the backbone while it is trained."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from aqa_cache.backbones.precision import TORCH_DTYPES, is_native, set_precision

from ..errors import TrainingError

_AUTOCAST = ("fp16", "bf16")


def autocast_dtype(precision: str) -> torch.dtype | None:
    """What autocast computes in; None: it is not used."""
    return TORCH_DTYPES[precision] if precision in _AUTOCAST else None


@contextmanager
def products_in(precision: str, device: torch.device) -> Iterator[None]:
    """In the block, products of float32 on a GPU are float32, or, for `tf32`, of rounded factors; afterwards
    as before.
    """
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    set_precision(device, precision)
    try:
        yield
    finally:
        if device.type == "cuda":
            torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def check_precision(precision: str, device: torch.device, frugal: bool) -> list[str]:
    """What a person should know of it.

    Args:
        frugal: whether an encoder trains itself in its backward pass.

    Raises:
        TrainingError: the device or the encoder cannot do it.
    """
    if precision == "tf32" and device.type != "cuda":
        raise TrainingError("precision tf32 is arithmetic of NVIDIA GPUs; on a CPU use fp32 or bf16")
    if precision == "fp16" and frugal:
        raise TrainingError(
            "fp16 leaves out a step where a gradient overflows, but an encoder of this width has taken it by"
            " then; use bf16, tf32 or fp32, or a narrower --encoder-hidden"
        )
    if device.type == "cpu" and not is_native(precision):
        return [
            f"this processor has no {precision} arithmetic of its own, which makes it many times slower than"
            " fp32"
        ]
    return []
