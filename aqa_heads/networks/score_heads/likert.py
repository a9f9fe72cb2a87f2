"""A score between grades: GDLT's."""

import torch
from torch import nn

from .seam import Encoded, Known, ScoreHead, ScorePrediction, Sizes

# Beyond the training scores on both sides, in shares of their range.
_BEYOND = 0.1


class LikertHead(ScoreHead):
    """How much of each grade a sample shows; every part of the encoder is a grade.

    g_k = sigmoid(w_k · part_k + b_k); score = sum over k of g_k v_k / sum of g, the grades' values v_k evenly
    spaced from `low` to `high`; loss = ((p - t) / (high - low))^2.

    Source: Xu et al. 2022, CVPR, GDLT. Differs: there v is 0 to 1, and the score is divided by the largest
    that there can be, which a weighted mean of the grades never reaches; here v goes on by a tenth of the
    range of the training scores on either side. The triplet loss of the grades is the encoder's.
    """

    needs = frozenset({"parts"})

    def __init__(self, sizes: Sizes, **common: float):
        super().__init__(sizes, **common)
        self.linear = nn.Linear(sizes.pooled, sizes.parts or 1)
        self.register_buffer("low", torch.zeros((), dtype=torch.float64))
        self.register_buffer("high", torch.ones((), dtype=torch.float64))

    def prepare(self, encoded: Encoded, known: Known, points: torch.Tensor) -> None:
        low, high = points.double().min(), points.double().max()
        beyond = _BEYOND * (high - low) if high > low else self.scale
        self.low.copy_(low - beyond)
        self.high.copy_(high + beyond)

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """`(batch,)`, from 0 at `low` to 1 at `high`."""
        grades = ((encoded.parts * self.linear.weight).sum(2) + self.linear.bias).sigmoid()
        values = torch.linspace(0, 1, grades.shape[1], device=grades.device)
        return (grades * values).sum(1) / grades.sum(1)

    def loss(self, encoded: Encoded, known: Known, points: torch.Tensor) -> torch.Tensor:
        true = (points[known.labelled] - self.low) / (self.high - self.low)
        return (self(encoded)[known.labelled] - true.to(encoded.pooled.dtype)).square()

    def predict(self, encoded: Encoded, known: Known) -> ScorePrediction:
        return ScorePrediction(self.low + (self.high - self.low) * self(encoded).double())
