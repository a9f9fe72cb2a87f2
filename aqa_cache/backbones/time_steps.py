"""The time that a network leaves inside a clip: one vector a time step in place of one a clip."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ..errors import AqaError


@dataclass(frozen=True)
class TimeSteps:
    """How a network gives one vector for each time step of a clip (`--tokens time`).

    Args:
        frames: from one time step to the next; a clip of `clip_len` frames has `clip_len / frames` steps.
        layer: the layer kept and how a time step is pooled, for the record.
        of: from the module that `Backbone.build` makes, as it is laid out for inference, and clips to the
            vectors.

    Shape:
        - of: `(batch, 3, clip_len, size, size)` to `(batch, steps, dim)`.
    """

    frames: int
    layer: str
    of: Callable[..., torch.Tensor]

    def count(self, backbone: str, clip_len: int) -> int:
        """Time steps of a clip.

        Raises:
            AqaError: frames are left behind the last step.
        """
        if clip_len % self.frames:
            nearest = max(1, round(clip_len / self.frames)) * self.frames
            raise AqaError(
                f"{backbone} has a time step per {self.frames} frames, and clips of {clip_len} are no"
                f" multiple of that; give --clip-len {nearest}, or leave out --tokens time"
            )
        return clip_len // self.frames


class OverTime(nn.Module):
    """A network that gives its time steps.

    Shape:
        - Input: `(batch, 3, clip_len, size, size)`. Output: `(batch, steps, dim)`.
    """

    def __init__(self, network: nn.Module, steps: TimeSteps):
        super().__init__()
        self.network, self._of = network, steps.of

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self._of(self.network, clips)


def mean_over_pictures(maps: torch.Tensor) -> torch.Tensor:
    """The mean over height and width.

    Shape:
        - maps: `(batch, dim, steps, height, width)`. Output: `(batch, steps, dim)`.
    """
    return maps.mean(dim=(3, 4)).transpose(1, 2)
