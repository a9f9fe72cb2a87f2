"""The backbones by name. A new one is one function that builds it and one record: docs/extending.md."""

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from ..clips.preprocess import Preprocessing
from ..errors import AqaError
from ..extensions import ELSEWHERE
from ..short_repr import short_repr
from .c3d import C3D
from .cpu_layers import OneDnnConvolution, with_cpu_layers
from .i3d import I3D, i3d_over_time
from .key_layouts import LAYOUTS, KeyLayout
from .names import BACKBONE_NAMES, KNOWN_BACKBONES
from .s3d import S3D, s3d_over_time
from .time_steps import TimeSteps
from .torchvision_networks import (
    mc3_18,
    mvit_over_time,
    mvit_v1_b,
    mvit_v2_s,
    r2plus1d_18,
    r3d_18,
    resnet_over_time,
    swin3d_b,
    swin3d_s,
    swin3d_t,
    swin_over_time,
)

# Below 193 pixels the last stage of a Video Swin has fewer than 7x7 tokens, and torchvision gives its window
# other positions' biases.
_SWIN_LEAST = 193

_MEAN_OF_ALL, _MEAN_OF_PICTURES = "mean over time, height and width", "mean over height and width"
_MVIT_STEPS = TimeSteps(2, f"norm, {_MEAN_OF_PICTURES} without the class token", mvit_over_time)
_I3D_STEPS = f"mixed_5c, {_MEAN_OF_PICTURES}"


@dataclass(frozen=True)
class Backbone:
    """A network that turns a clip into one feature.

    Args:
        build: makes the module, `(batch, 3, clip_len, size, size)` to `(batch, dim)`, with parameters that
            mean nothing yet.
        layer: the layer kept and how it is pooled, for the record.
        dim: size of the feature.
        weights: name of the weights taken when none is named; None: none are published.
        clip_len, size: the only ones it admits, in frames and pixels; None: any from `min_clip_len` and
            `min_size`.
        preprocessing: the input that its weights were trained on; of those that come with this program the
            layout of the weights' file says it (`key_layouts`).
        head: prefixes of keys in its weights files that belong to layers above the feature; they are left
            out.
        openvino: whether `--engine auto` may take OpenVINO for it.
        clip_step, size_step: frames and pixels that clips and their sides must be multiples of.
        published: finds its own weights, or fetches them: their name, and their file or the index of several;
            None: they are found by name or path.
        translated: the tensors of such a file under the module's names; None: as `key_layouts` says.
        time: how it gives one vector a time step; None: one a clip is all that it leaves.
    """

    name: str
    build: Callable[[], nn.Module]
    layer: str
    dim: int
    weights: str | None = None
    clip_len: int | None = None
    size: int | None = None
    min_clip_len: int = 1
    min_size: int = 32
    preprocessing: Preprocessing | None = None
    head: tuple[str, ...] = ()
    openvino: bool = True
    clip_step: int = 1
    size_step: int = 1
    published: Callable[[], tuple[str, Path]] | None = None
    translated: Callable[[dict[str, torch.Tensor], Path], dict[str, torch.Tensor]] | None = None
    time: TimeSteps | None = None

    __repr__ = short_repr

    def check_input(self, clip_len: int, size: int | None) -> None:
        """Raise AqaError unless clips of `clip_len` frames of `size` pixels (None: not known yet) fit the
        network.
        """
        if self.clip_len is not None and clip_len != self.clip_len:
            raise AqaError(
                f"{self.name} takes clips of {self.clip_len} frames, got {clip_len}; give --clip-len"
                f" {self.clip_len}"
            )
        if clip_len < self.min_clip_len:
            raise AqaError(
                f"{self.name} needs clips of at least {self.min_clip_len} frames, got {clip_len}; give a"
                " larger --clip-len"
            )
        if clip_len % self.clip_step:
            raise AqaError(
                f"{self.name} takes clips of a multiple of {self.clip_step} frames, got {clip_len}; give"
                f" --clip-len {clip_len + self.clip_step - clip_len % self.clip_step}"
            )
        if size is None:
            return
        if self.size is not None and size != self.size:
            raise AqaError(
                f"{self.name} takes frames of {self.size}x{self.size} pixels, got {size}; give --size"
                f" {self.size}"
            )
        if size < self.min_size:
            raise AqaError(
                f"{self.name} needs frames of at least {self.min_size}x{self.min_size} pixels, got {size};"
                " give a larger --size"
            )
        if size % self.size_step:
            raise AqaError(
                f"{self.name} takes frames whose side is a multiple of {self.size_step} pixels, got {size};"
                f" give --size {size - size % self.size_step or self.size_step}"
            )


def _kinetics(network: Callable[[], nn.Module]) -> str:
    return f"{network.__name__}-kinetics400"


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        Backbone("c3d", C3D, "pool5, flattened", 8192, "c3d-sports1m", clip_len=16, size=112),
        Backbone(
            "s3d",
            S3D,
            "features, mean over (2, height, width) windows",
            1024,
            "s3d-kinetics400",
            min_clip_len=14,
            time=TimeSteps(8, f"features, {_MEAN_OF_PICTURES}", s3d_over_time),
        ),
        # Nowhere are they published with a hash; where they lie: docs/backbones.md.
        Backbone(
            "i3d",
            I3D,
            "mixed_5c, mean over (2, height, width) windows",
            1024,
            min_clip_len=9,
            time=TimeSteps(8, _I3D_STEPS, i3d_over_time),
        ),
        Backbone(
            "i3d-core",
            partial(I3D, norm_eps=1e-5),
            "mixed_5c, mean over (2, height, width) windows, batch norm eps 1e-5",
            1024,
            min_clip_len=9,
            time=TimeSteps(8, f"{_I3D_STEPS}, batch norm eps 1e-5", i3d_over_time),
        ),
        *(
            Backbone(
                network.__name__,
                network,
                f"avgpool: {_MEAN_OF_ALL}",
                512,
                _kinetics(network),
                time=TimeSteps(frames, f"layer4, {_MEAN_OF_PICTURES}", resnet_over_time),
            )
            for network, frames in ((r2plus1d_18, 8), (r3d_18, 8), (mc3_18, 1))
        ),
        Backbone(
            "mvit_v1_b",
            mvit_v1_b,
            "norm, class token",
            768,
            "mvit_v1_b-kinetics400",
            clip_len=16,
            size=224,
            time=_MVIT_STEPS,
        ),
        # In OpenVINO its relative positions become 3.8 GB of constants, worked out at every start.
        Backbone(
            "mvit_v2_s",
            mvit_v2_s,
            "norm, class token",
            768,
            "mvit_v2_s-kinetics400",
            clip_len=16,
            size=224,
            openvino=False,
            time=_MVIT_STEPS,
        ),
        *(
            Backbone(
                network.__name__,
                network,
                f"norm, {_MEAN_OF_ALL}",
                dim,
                _kinetics(network),
                min_size=_SWIN_LEAST,
                time=TimeSteps(2, f"norm, {_MEAN_OF_PICTURES}", swin_over_time),
            )
            for network, dim in ((swin3d_t, 768), (swin3d_s, 768), (swin3d_b, 1024))
        ),
    )
}


def get_backbone(name: str) -> Backbone:
    """A backbone that comes with this program, or one that is known in this process (`KNOWN_BACKBONES`).

    Raises:
        AqaError: it is neither; nothing is imported because a file names it.
    """
    if name not in BACKBONES or name.startswith(ELSEWHERE):  # which may have been given anew
        # By the name it was asked for by: that is what caches say.
        _keep(replace(KNOWN_BACKBONES.find(name), name=name))
    return BACKBONES[name]


def register(
    backbone: Backbone, preprocessing: Preprocessing | None = None, head: tuple[str, ...] = ()
) -> None:
    """Make a new backbone known by its name in this process, with weights whose keys are the module's own.

    Args:
        preprocessing, head: where the record does not say them.

    Raises:
        AqaError: the name is one of `BACKBONE_NAMES`, or there is no preprocessing.
    """
    backbone = replace(
        backbone, preprocessing=preprocessing or backbone.preprocessing, head=head or backbone.head
    )
    KNOWN_BACKBONES.register(backbone.name, backbone)
    _keep(backbone)


def _keep(backbone: Backbone) -> None:
    assert backbone.preprocessing is not None
    BACKBONES[backbone.name] = backbone
    LAYOUTS[backbone.name] = KeyLayout(
        backbone.name,
        backbone.name,
        marker="",
        rename=(),
        head=backbone.head,
        preprocessing=backbone.preprocessing,
    )


def code_of(name: str) -> str | None:
    """A digest of the code that makes and lays out a backbone of this program; None where it is not known: of
    another, whose code may lie anywhere, and of a torchvision that was not installed as a package.
    """
    if name not in BACKBONE_NAMES:
        return None
    try:
        digest = hashlib.sha256(metadata.version("torchvision").encode())
    except metadata.PackageNotFoundError:
        return None
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def for_inference(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The same function, laid out for speed: batch norm folded into the convolutions before it, channels
    last; on a CPU with the layers of `cpu_layers`.

    Returns:
        `module` itself, changed, in eval mode and without gradients; or a layer in its place, if it is one.
    """
    module.eval().requires_grad_(False)
    _fold_batch_norm(module)
    module.to(device=device, dtype=dtype)
    if device.type == "cpu":
        module = with_cpu_layers(module)
    for layer in module.modules():
        # not the whole module: a network of frames has weights of four dimensions
        if isinstance(layer, nn.Conv3d | OneDnnConvolution):
            layer.to(memory_format=torch.channels_last_3d)
    return module


def _fold_batch_norm(module: nn.Module) -> None:
    # named_children leaves out a layer used twice
    layers = list(module._modules.items()) if _in_order(module) else []  # pyright: ignore[reportPrivateUsage]
    for (name, first), (next_name, second) in zip(layers, layers[1:], strict=False):
        if isinstance(second, nn.BatchNorm3d) and isinstance(getattr(*_last_layer(module, name)), nn.Conv3d):
            # A copy: the layers may be used elsewhere, without this batch norm.
            setattr(module, name, copy.deepcopy(first))
            parent, last = _last_layer(module, name)
            setattr(parent, last, nn.utils.fusion.fuse_conv_bn_eval(getattr(parent, last), second))
            setattr(module, next_name, nn.Identity())
    for child in module.children():
        _fold_batch_norm(child)


def _in_order(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Sequential)
        and cast(Any, type(module)).forward is cast(Any, nn.Sequential).forward
    )


def _last_layer(parent: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The layer that makes the output of `parent.name`, as its own parent and name: R(2+1)D's pairs of
    convolutions are nested.
    """
    child = getattr(parent, name)
    while _in_order(child) and len(child):
        parent, name = child, next(reversed(child._modules))
        child = getattr(parent, name)
    return parent, name
