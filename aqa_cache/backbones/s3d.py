"""S3D: torchvision's network, pooled so that any frame size and clip length fits."""

import torch
from torch import nn

from .torchvision_networks import torchvision_network


class S3D(nn.Module):
    """Separable 3D Inception, features before the classifier; 7,910,048 parameters.

    Shape:
        - Input: `(batch, 3, frames, height, width)`, at least 14 frames and 32 pixels.
        - Output: `(batch, 1024)`.

    Source: Xie et al. 2018, arXiv:1712.04851; layers of `torchvision.models.video.s3d`. Differs: torchvision
    pools a fixed (2, 7, 7) window and so refuses frames of 112 pixels; here the window is (2, height, width)
    as in the network of Min & Corso, which gives the same feature at 224.
    """

    def __init__(self):
        super().__init__()
        self.features = torchvision_network("s3d", "S3D").features

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        x = self.features(clips).mean(dim=(3, 4))
        # The head slides a window of two time steps and averages over its places, so inner steps count twice.
        return ((x[:, :, 1:] + x[:, :, :-1]) / 2).mean(dim=2)
