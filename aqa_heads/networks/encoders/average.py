"""The mean of the clips."""

import torch

from .seam import Encoder, mean_of


class AverageEncoder(Encoder):
    """The mean over a sample's clips.

    Args:
        dim: size of one clip feature.

    Shape:
        - features: `(batch, clips, dim)`, zeros beyond a sample's length; lengths: `(batch,)`, at least 1.
        - Output: `(batch, dim)`.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.out_dim = dim

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return mean_of(features, lengths)
