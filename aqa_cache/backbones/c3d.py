"""C3D up to pool5: the backbone of C3D-AVG-MTL."""

import torch
from torch import nn


class C3D(nn.Module):
    """Eight 3x3x3 convolutions and five poolings; 27,655,936 parameters, no batch norm, no dropout.

    Shape:
        - Input: `(batch, 3, 16, 112, 112)`.
        - Output: `(batch, 8192)`: pool5 `(512, 1, 4, 4)` flattened in the order channel, time, height, width.

    Source: Tran et al. 2015, as used by Parmar & Morris 2019 (arXiv:1904.04346); parameter names are those of
    the published Sports-1M weights. fc6 to fc8 are left out: the heads have an fc6 of their own.
    """

    def __init__(self):
        super().__init__()
        self.conv1 = _convolution(3, 64)
        self.conv2 = _convolution(64, 128)
        self.conv3a = _convolution(128, 256)
        self.conv3b = _convolution(256, 256)
        self.conv4a = _convolution(256, 512)
        self.conv4b = _convolution(512, 512)
        self.conv5a = _convolution(512, 512)
        self.conv5b = _convolution(512, 512)
        self.relu = nn.ReLU(inplace=True)
        self.pool1 = nn.MaxPool3d((1, 2, 2))
        self.pool = nn.MaxPool3d(2)
        self.pool5 = nn.MaxPool3d(2, padding=(0, 1, 1))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        x = self.pool1(self.relu(self.conv1(clips)))
        x = self.pool(self.relu(self.conv2(x)))
        x = self.pool(self.relu(self.conv3b(self.relu(self.conv3a(x)))))
        x = self.pool(self.relu(self.conv4b(self.relu(self.conv4a(x)))))
        x = self.pool5(self.relu(self.conv5b(self.relu(self.conv5a(x)))))
        return x.flatten(1)


def _convolution(inputs: int, outputs: int) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, kernel_size=3, padding=1)
