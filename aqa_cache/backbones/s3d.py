"""S3D, pooled so that any frame size and clip length fits."""

import torch
from torch import nn

from .time_steps import mean_over_pictures


class S3D(nn.Module):
    """Separable 3D Inception, features before the classifier; 7,910,048 parameters.

    Shape:
        - Input: `(batch, 3, frames, height, width)`, at least 14 frames and 32 pixels.
        - Output: `(batch, 1024)`.

    Source: Xie et al. 2018, arXiv:1712.04851; layers, their order and parameter names are those of
    `torchvision.models.video.s3d`, which is not imported: it takes as long as torch itself. Differs:
    torchvision pools a fixed (2, 7, 7) window and so refuses frames of 112 pixels; here the window is
    (2, height, width) as in the network of Min & Corso, which gives the same feature at 224.
    """

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            _separable(3, 64, 7, stride=2),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
            _convolution(64, 64),
            _separable(64, 192, 3),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
            _Inception(192, 64, (96, 128), (16, 32), 32),
            _Inception(256, 128, (128, 192), (32, 96), 64),
            nn.MaxPool3d(3, stride=2, padding=1),
            _Inception(480, 192, (96, 208), (16, 48), 64),
            _Inception(512, 160, (112, 224), (24, 64), 64),
            _Inception(512, 128, (128, 256), (24, 64), 64),
            _Inception(512, 112, (144, 288), (32, 64), 64),
            _Inception(528, 256, (160, 320), (32, 128), 128),
            nn.MaxPool3d(2, stride=2),
            _Inception(832, 256, (160, 320), (32, 128), 128),
            _Inception(832, 384, (192, 384), (48, 128), 128),
        )

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        x = self.features(clips).mean(dim=(3, 4))
        # The head slides a window of two time steps and averages over its places, so inner steps count twice.
        return ((x[:, :, 1:] + x[:, :, :-1]) / 2).mean(dim=2)


def s3d_over_time(module: S3D, clips: torch.Tensor) -> torch.Tensor:
    """One vector a time step. Shape: as `time_steps.OverTime`, dim 1024."""
    return mean_over_pictures(module.features(clips))


class _Inception(nn.Module):
    """Four branches side by side, their channels one after another.

    Args:
        branch0, branch3: outputs of the branches of one convolution.
        branch1, branch2: inner and outer channels of the branches with a separable convolution.
    """

    def __init__(
        self, inputs: int, branch0: int, branch1: tuple[int, int], branch2: tuple[int, int], branch3: int
    ):
        super().__init__()
        self.branch0 = _convolution(inputs, branch0)
        self.branch1 = nn.Sequential(_convolution(inputs, branch1[0]), _separable(*branch1, 3))
        self.branch2 = nn.Sequential(_convolution(inputs, branch2[0]), _separable(*branch2, 3))
        self.branch3 = nn.Sequential(nn.MaxPool3d(3, stride=1, padding=1), _convolution(inputs, branch3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)], dim=1)


class _Layer(nn.Sequential):
    """Modules that are one layer of the network to whoever names its layers."""


def _separable(inputs: int, outputs: int, size: int, stride: int = 1) -> _Layer:
    """A convolution over height and width, then one over time."""
    return _Layer(
        _convolution(inputs, outputs, (1, size, size), (1, stride, stride)),
        _convolution(outputs, outputs, (size, 1, 1), (stride, 1, 1)),
    )


def _convolution(
    inputs: int,
    outputs: int,
    size: tuple[int, int, int] = (1, 1, 1),
    stride: tuple[int, int, int] = (1, 1, 1),
) -> _Layer:
    """A convolution that keeps the size but for its stride, batch norm, ReLU."""
    padding = tuple(length // 2 for length in size)
    return _Layer(
        nn.Conv3d(inputs, outputs, size, stride, padding, bias=False),
        nn.BatchNorm3d(outputs, eps=0.001, momentum=0.001),
        nn.ReLU(inplace=True),
    )
