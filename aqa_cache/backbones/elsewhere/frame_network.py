"""A network of single frames as a backbone of clips: what it sees in each frame, and no motion."""

import torch
from torch import nn


class FrameNetwork(nn.Module):
    """Each frame by itself, pooled over the clip.

    Args:
        network: `(frames, 3, size, size)` to `(frames, dim)`.
        spread: whether the standard deviation over the frames of the clip follows their mean.

    Shape:
        - Input: `(batch, 3, clip_len, size, size)`.
        - Output: `(batch, dim)`, or `(batch, 2 * dim)`.
    """

    def __init__(self, network: nn.Module, spread: bool = False):
        super().__init__()
        self.network, self.spread = network, spread

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        frames = self.over_time(clips)
        mean = frames.mean(1)
        if not self.spread:
            return mean
        # The root has no gradient at zero, where all frames are the same.
        variance = (frames - mean.unsqueeze(1)).square().mean(1)
        return torch.cat([mean, (variance + 1e-12).sqrt()], 1)

    def over_time(self, clips: torch.Tensor) -> torch.Tensor:
        """One vector a frame, `(batch, clip_len, dim)`."""
        batch, _, count = clips.shape[:3]
        return self.network(clips.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, count))
