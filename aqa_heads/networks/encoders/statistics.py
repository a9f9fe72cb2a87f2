"""Mean and spread of the clips, and how many there are."""

import math

import torch

from .seam import Encoder, mean_of, padding_of


class StatisticsEncoder(Encoder):
    """Mean and standard deviation over a sample's clips, and the logarithm of their number.

    Nothing in it is trained. It stands for the mean of the clips everywhere, so that the score starts from a
    ridge regression of all three. For that they must have comparable units: standard deviations are times the
    root of 2, as that of n clips is by this factor less uncertain than their mean. Brought to unit variance
    each, columns that say nothing count as much as those that do, which few samples cannot tell apart.

    Args:
        dim: size of one clip feature.

    Shape:
        - features: `(batch, clips, dim)`, zeros from a sample's `count` on; count: `(batch,)`, at least 1.
        - Output: `(batch, 2 * dim + 1)`; the standard deviations of one clip are 0.
    """

    replaces_mean = True

    def __init__(self, dim: int):
        super().__init__()
        self.out_dim = 2 * dim + 1

    def forward(self, features: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        mean = mean_of(features, count)
        padding = padding_of(features, count).unsqueeze(2)
        apart = (features - mean.unsqueeze(1)).masked_fill(padding, 0)
        variance = mean_of(apart.square(), count)
        # The root's slope at 0 is infinite.
        varies = variance > 0
        spread = torch.where(varies, variance, 1).sqrt() * varies
        number = count.unsqueeze(1).to(features.dtype).log()
        return torch.cat((mean, math.sqrt(2) * spread, number), 1)
