"""Three quantiles of a score."""

import torch

from .seam import Encoded, Known, ScoreHead, ScorePrediction, Sizes
from .stack import stack

_LEVELS = (0.05, 0.5, 0.95)
# How many standard deviations of a normal distribution lie between the outer two.
_DEVIATIONS = 2 * 1.6448536269514722


class QuantileHead(ScoreHead):
    """The quantiles .05, .5 and .95 of the score, by pinball loss; points are the median.

    loss = mean over the levels a of max(a (t - q), (a - 1) (t - q)), of the score in units of the score
    scale. What the layers say is sorted, so that quantiles never cross. The spread is that of the normal
    distribution whose outer quantiles lie as far apart.

    Source: Koenker & Bassett 1978, Regression quantiles, Econometrica 46; by layers that quantiles share.
    """

    def __init__(self, sizes: Sizes, **common: float):
        super().__init__(sizes, **common)
        self.layers = stack(sizes.pooled, len(_LEVELS), self.dropout)
        self.register_buffer("levels", torch.tensor(_LEVELS))

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """`(batch, 3)` from low to high, in units of the score scale."""
        return self.layers(encoded.pooled).sort(1).values

    def loss(self, encoded: Encoded, known: Known, points: torch.Tensor) -> torch.Tensor:
        true = (points[known.labelled] - self.centre) / self.scale
        above = true.unsqueeze(1) - self(encoded)[known.labelled]
        return torch.maximum(self.levels * above, (self.levels - 1) * above).mean(1)

    def predict(self, encoded: Encoded, known: Known) -> ScorePrediction:
        said = self(encoded).double() * self.scale + self.centre
        low, median, high = said.unbind(1)
        return ScorePrediction(median, (high - low) / _DEVIATIONS, interval=said[:, [0, 2]])
