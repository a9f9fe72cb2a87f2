"""I3D for RGB as TensorFlow computes it."""

from collections import OrderedDict

import torch
from torch import nn

from .time_steps import mean_over_pictures


class I3D(nn.Module):
    """Inflated 3D Inception, features before the classifier; 12,287,264 parameters.

    Args:
        norm_eps: of the batch norms; the weights were trained with 1e-3.

    Shape:
        - Input: `(batch, 3, frames, height, width)`, at least 9 frames and 32 pixels.
        - Output: `(batch, 1024)`.

    Source: Carreira & Zisserman 2017, arXiv:1705.07750; parameter names are those of the widespread
    conversion `model_rgb.pth`. Padding is TensorFlow's SAME, which depends on the size of the input and puts
    the odd one behind. Differs: the average pooling takes (2, height, width) and not (2, 7, 7), which is the
    same at 224 pixels, and its places in time are averaged as the published network averages its logits.
    """

    def __init__(self, norm_eps: float = 1e-3):
        super().__init__()
        self.conv3d_1a_7x7 = _unit(3, 64, 7, norm_eps, stride=2)
        self.maxPool3d_2a_3x3 = _SameMaxPool((1, 3, 3), (1, 2, 2))
        self.conv3d_2b_1x1 = _unit(64, 64, 1, norm_eps)
        self.conv3d_2c_3x3 = _unit(64, 192, 3, norm_eps)
        self.maxPool3d_3a_3x3 = _SameMaxPool((1, 3, 3), (1, 2, 2))
        self.mixed_3b = _Mixed(192, 64, (96, 128), (16, 32), 32, norm_eps)
        self.mixed_3c = _Mixed(256, 128, (128, 192), (32, 96), 64, norm_eps)
        self.maxPool3d_4a_3x3 = _SameMaxPool((3, 3, 3), (2, 2, 2))
        self.mixed_4b = _Mixed(480, 192, (96, 208), (16, 48), 64, norm_eps)
        self.mixed_4c = _Mixed(512, 160, (112, 224), (24, 64), 64, norm_eps)
        self.mixed_4d = _Mixed(512, 128, (128, 256), (24, 64), 64, norm_eps)
        self.mixed_4e = _Mixed(512, 112, (144, 288), (32, 64), 64, norm_eps)
        self.mixed_4f = _Mixed(528, 256, (160, 320), (32, 128), 128, norm_eps)
        self.maxPool3d_5a_2x2 = _SameMaxPool((2, 2, 2), (2, 2, 2))
        self.mixed_5b = _Mixed(832, 256, (160, 320), (32, 128), 128, norm_eps)
        self.mixed_5c = _Mixed(832, 384, (192, 384), (48, 128), 128, norm_eps)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        for layer in self.children():
            clips = layer(clips)
        steps = clips.mean(dim=(3, 4))
        # A window of two time steps slides over them, and its places are averaged.
        return ((steps[:, :, 1:] + steps[:, :, :-1]) / 2).mean(dim=2)


def i3d_over_time(module: I3D, clips: torch.Tensor) -> torch.Tensor:
    """One vector a time step. Shape: as `time_steps.OverTime`, dim 1024."""
    for layer in module.children():
        clips = layer(clips)
    return mean_over_pictures(clips)


class _Mixed(nn.Module):
    """Four branches side by side, their channels one after another.

    Args:
        branch_0, branch_3: outputs of the branches of one convolution.
        branch_1, branch_2: inner and outer channels of the branches with a 3x3x3 convolution.
    """

    def __init__(
        self,
        inputs: int,
        branch_0: int,
        branch_1: tuple[int, int],
        branch_2: tuple[int, int],
        branch_3: int,
        eps: float,
    ):
        super().__init__()
        self.branch_0 = _unit(inputs, branch_0, 1, eps)
        self.branch_1 = nn.Sequential(_unit(inputs, branch_1[0], 1, eps), _unit(*branch_1, 3, eps))
        self.branch_2 = nn.Sequential(_unit(inputs, branch_2[0], 1, eps), _unit(*branch_2, 3, eps))
        self.branch_3 = nn.Sequential(nn.MaxPool3d(3, stride=1, padding=1), _unit(inputs, branch_3, 1, eps))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.branch_0(x), self.branch_1(x), self.branch_2(x), self.branch_3(x)], dim=1)


def _unit(inputs: int, outputs: int, kernel: int, eps: float, stride: int = 1) -> nn.Sequential:
    """A convolution, batch norm, ReLU."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if stride > 1:
        layers["padding"] = SamePadding((kernel,) * 3, (stride,) * 3)
    # With a stride of one, SAME is as much before as behind.
    padding = kernel // 2 if stride == 1 else 0
    layers["conv3d"] = nn.Conv3d(inputs, outputs, kernel, stride, padding, bias=False)
    layers["batch3d"] = nn.BatchNorm3d(outputs, eps=eps)
    layers["activation"] = nn.ReLU(inplace=True)
    return nn.Sequential(layers)


class SamePadding(nn.Module):
    """Zeros around a volume, as TensorFlow's SAME wants them: so many that a window of `kernel` at every
    `stride` gives `ceil(size / stride)` places, half of them before, the odd one behind.

    Shape:
        - Input, Output: `(batch, channels, time, height, width)`.
    """

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padding: list[int] = []
        for size, kernel, stride in reversed(list(zip(x.shape[2:], self.kernel, self.stride))):
            added = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [added // 2, added - added // 2]
        return nn.functional.pad(x, padding) if any(padding) else x


class _SameMaxPool(nn.Sequential):
    """Max pooling of values that are not negative, so that padding with zeros adds none."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]):
        super().__init__(SamePadding(kernel, stride), nn.MaxPool3d(kernel, stride))
