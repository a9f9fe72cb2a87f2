"""The backbones by name. A new one is one record here and one module."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from .c3d import C3D
from .errors import AqaError
from .s3d import S3D


@dataclass(frozen=True)
class Backbone:
    """A network that turns a clip into one feature.

    Args:
        build: makes the module, `(batch, 3, clip_len, size, size)` to `(batch, dim)`, with parameters that mean nothing yet.
        layer: the layer kept and how it is pooled, for the record.
        dim: size of the feature.
        weights: name of the weights taken when none is named.
        clip_len, size: the only ones it admits; None: any from `min_clip_len`.
    """

    name: str
    build: Callable[[], nn.Module]
    layer: str
    dim: int
    weights: str
    clip_len: int | None = None
    size: int | None = None
    min_clip_len: int = 1

    def check_input(self, clip_len: int, size: int) -> None:
        """Raise AqaError unless clips of `clip_len` frames of `size` pixels fit the network."""
        if self.clip_len is not None and clip_len != self.clip_len:
            raise AqaError(f"{self.name} takes clips of {self.clip_len} frames, got {clip_len}; leave --clip-len out")
        if clip_len < self.min_clip_len:
            raise AqaError(f"{self.name} needs clips of at least {self.min_clip_len} frames, got {clip_len}")
        if self.size is not None and size != self.size:
            raise AqaError(f"{self.name} takes frames of {self.size}x{self.size} pixels, got {size}; leave --size out")


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        Backbone("c3d", C3D, "pool5, flattened", 8192, "c3d-sports1m", clip_len=16, size=112),
        Backbone(
            "s3d", S3D, "features, mean over (2, height, width) windows", 1024, "s3d-kinetics400", min_clip_len=14
        ),
    )
}


def get_backbone(name: str) -> Backbone:
    if name not in BACKBONES:
        raise AqaError(f"unknown backbone {name!r}; choose one of {', '.join(BACKBONES)}")
    return BACKBONES[name]


def for_inference(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The same function, laid out for speed: batch norm folded into the convolutions before it, channels last.

    Returns:
        `module` itself, changed, in eval mode and without gradients.
    """
    module.eval().requires_grad_(False)
    _fold_batch_norm(module)
    return module.to(device=device, dtype=dtype, memory_format=torch.channels_last_3d)


def _fold_batch_norm(module: nn.Module) -> None:
    children = list(module.named_children())
    for (name, first), (next_name, second) in zip(children, children[1:], strict=False):
        if isinstance(module, nn.Sequential) and isinstance(first, nn.Conv3d) and isinstance(second, nn.BatchNorm3d):
            setattr(module, name, nn.utils.fusion.fuse_conv_bn_eval(first, second))
            setattr(module, next_name, nn.Identity())
    for _, child in children:
        _fold_batch_norm(child)
