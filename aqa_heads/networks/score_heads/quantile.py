"""Three quantiles of a score."""

import torch

from .seam import Encoded, Known, ScoreHead, ScorePrediction, Sizes
from .stack import stack

_LEVELS = (0.05, 0.5, 0.95)
# How many standard deviations of a normal distribution lie between the outer two.
_DEVIATIONS = 2 * 1.6448536269514722


class QuantileHead(ScoreHead):
    """The quantiles .05, .5 and .95 of the score, by pinball loss; points are the median. Beyond the ridge
    path where there is one.

    loss = mean over the levels a of max(a (t - q), (a - 1) (t - q)), of the score in units of the score
    scale. What the layers say is sorted, so that quantiles never cross. The spread is that of the normal
    distribution whose outer quantiles lie as far apart. They start as those of the training scores, or
    of what the ridge regression leaves of these, if they were normal.

    Source: Koenker & Bassett 1978, Regression quantiles, Econometrica 46; by layers that quantiles share.
    """

    def __init__(self, sizes: Sizes, **common: float):
        super().__init__(sizes, **common)
        self.layers = stack(sizes.pooled, len(_LEVELS), self.dropout)
        self.register_buffer("levels", torch.tensor(_LEVELS))
        self.start_with_spread(1.0)

    @torch.no_grad()
    def start_with_spread(self, spread: float) -> None:
        outer = spread * _DEVIATIONS / 2
        self.layers[-1].bias.copy_(torch.tensor([-outer, 0.0, outer]))

    @torch.no_grad()
    def start_at_zero(self) -> None:
        self.layers[-1].weight.zero_()

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """`(batch, 3)` from low to high, in units of the score scale."""
        said = self.layers(encoded.pooled).sort(1).values
        return said if encoded.direct is None else said + encoded.direct.unsqueeze(1)

    def loss(self, encoded: Encoded, known: Known, points: torch.Tensor) -> torch.Tensor:
        true = (points[known.labelled] - self.centre) / self.scale
        above = true.unsqueeze(1) - self(encoded)[known.labelled]
        return torch.maximum(self.levels * above, (self.levels - 1) * above).mean(1)

    def predict(self, encoded: Encoded, known: Known) -> ScorePrediction:
        said = self(encoded).double() * self.scale + self.centre
        low, median, high = said.unbind(1)
        return ScorePrediction(median, (high - low) / _DEVIATIONS, interval=said[:, [0, 2]])
