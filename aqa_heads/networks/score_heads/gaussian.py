"""Mean and variance of a score: the sound form of DAE."""

import math

import torch
from torch.nn import functional as F

from .seam import Encoded, Known, ScoreHead, ScorePrediction, Sizes
from .stack import stack

# In units of the score scale: no score is known better than to a hundredth of it.
_LEAST_VARIANCE = 1e-4


class GaussianHead(ScoreHead):
    """A normal distribution of the score, by negative log-likelihood; beyond the ridge path where there is
    one.

    loss = (log(2 pi v) + (t - m)^2 / v) / 2 of the score in units of the score scale, v = 1e-4 + softplus(.).
    The variance starts at that of the training scores, or at what the ridge regression leaves of it.

    Source: Zhang et al. 2024, arXiv:2111.11029, DAE-MLP. Differs: the original is trained by two squared
    errors, one of a sample drawn from the distribution, so that its variance only shrinks; and it reports a
    random draw. Here the likelihood is the loss, and the mean is the score.
    """

    def __init__(self, sizes: Sizes, **common: float):
        super().__init__(sizes, **common)
        self.layers = stack(sizes.pooled, 2, self.dropout)
        self.start_with_spread(1.0)

    @torch.no_grad()
    def start_with_spread(self, spread: float) -> None:
        self.layers[-1].bias.copy_(torch.tensor([0.0, math.log(math.expm1(spread**2))]))

    @torch.no_grad()
    def start_at_zero(self) -> None:
        self.layers[-1].weight.zero_()

    def forward(self, encoded: Encoded) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance in units of the score scale, `(batch,)` each."""
        mean, variance = self.layers(encoded.pooled).unbind(1)
        mean = mean if encoded.direct is None else mean + encoded.direct
        return mean, F.softplus(variance) + _LEAST_VARIANCE

    def loss(self, encoded: Encoded, known: Known, points: torch.Tensor) -> torch.Tensor:
        mean, variance = (each[known.labelled] for each in self(encoded))
        true = (points[known.labelled] - self.centre) / self.scale
        return (torch.log(2 * math.pi * variance) + (true - mean).square() / variance) / 2

    def predict(self, encoded: Encoded, known: Known) -> ScorePrediction:
        mean, variance = self(encoded)
        return ScorePrediction(
            mean.double() * self.scale + self.centre, variance.double().sqrt() * self.scale
        )
