"""Layers of a backbone on a CPU, where torch's own are slow: the same functions, without gradients.

torch leaves convolutions that are one wide to its own slow ones when one thread computes few clips, and its
3D max pooling makes indices that nobody needs: together three quarters of S3D's time on one thread.
"""

import torch
from torch import nn

from .precision import is_native

LAYOUT = 2
"""Version of how networks are laid out for a CPU, on which the last bits of features depend; 1 where nothing
is said.
"""


def with_cpu_layers(module: nn.Module) -> nn.Module:
    """Replace the 3D convolutions and max poolings of a network on a CPU; others stay.

    Returns:
        `module` itself, changed; or a layer in its place, where it is one of them.
    """
    replaced: dict[nn.Module, nn.Module] = {}  # a layer used twice stays one
    for parent in list(module.modules()):
        for name, layer in parent._modules.items():
            if layer is not None and (fast := _fast(layer)) is not None:
                parent._modules[name] = replaced.setdefault(layer, fast)
    return _fast(module) or module


def _fast(layer: nn.Module) -> nn.Module | None:
    if type(layer) is nn.Conv3d and torch.backends.mkldnn.is_available():
        plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return OneDnnConvolution(layer) if plain else None
    if type(layer) is nn.MaxPool3d:
        plain = _triple(layer.dilation) == (1, 1, 1) and not layer.ceil_mode and not layer.return_indices
        return SeparateMaxPooling(layer) if plain else None
    return None


class OneDnnConvolution(nn.Module):
    """A 3D convolution by oneDNN, whatever torch would take.

    Args:
        layer: what it computes; padded with zeros.

    Shape:
        - Input: `(batch, channels, time, height, width)`, channels last; other types than float32 and
          bfloat16 are left to torch.
    """

    def __init__(self, layer: nn.Conv3d):
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self._stride, self._padding = layer.stride, layer.padding
        self._dilation, self._groups = layer.dilation, layer.groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ours = x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and is_native("bf16"))
        if ours and not torch.compiler.is_compiling():  # torch.compile cannot trace it, and has its own
            return torch.mkldnn_convolution(
                x, self.weight, self.bias, self._padding, self._stride, self._dilation, self._groups
            )
        return nn.functional.conv3d(
            x, self.weight, self.bias, self._stride, self._padding, self._dilation, self._groups
        )


class SeparateMaxPooling(nn.Module):
    """3D max pooling as 2D max pooling and a maximum over time: the same bits.

    Args:
        layer: what it computes; without dilation, rounded down, without indices.

    Shape:
        - Input: `(batch, channels, time, height, width)`. Output: of the same order, channels last.
    """

    def __init__(self, layer: nn.MaxPool3d):
        super().__init__()
        kernel, padding = _triple(layer.kernel_size), _triple(layer.padding)
        stride = _triple(layer.stride or layer.kernel_size)
        self._time = (kernel[0], stride[0], padding[0])
        self._plane = (kernel[1:], stride[1:], padding[1:])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, channels, time = x.shape[:3]
        frames = x.transpose(1, 2).flatten(0, 1)  # a view, as channels come last
        if self._plane != ((1, 1), (1, 1), (0, 0)):
            frames = nn.functional.max_pool2d(
                frames.contiguous(memory_format=torch.channels_last), *self._plane
            )
        frames = frames.unflatten(0, (batch, time))
        kernel, stride, padding = self._time
        if self._time != (1, 1, 0):
            steps = (time + 2 * padding - kernel) // stride + 1
            pooled = frames.new_empty(batch, steps, *frames.shape[3:], channels).movedim(-1, 2)
            for step in range(steps):
                start = step * stride - padding
                torch.amax(frames[:, max(start, 0) : start + kernel], dim=1, out=pooled[:, step])
            frames = pooled
        return frames.transpose(1, 2)


def _triple(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value,) * 3 if isinstance(value, int) else tuple(value)
