"""The original's score head: one number, by squared and absolute difference."""

import torch
from torch import nn
from torch.nn import functional as F

from .seam import Encoded, Known, ScoreHead, ScorePrediction, Sizes


class RegressionHead(ScoreHead):
    """A linear function of the layer that the classes share, plus the ridge path where there is one.

    loss = (p - t)^2, and beside it |p - t|, of the score in units of the score scale.

    Args:
        absolute: whether the absolute difference is part of the loss.

    Source: Parmar & Morris 2019, arXiv:1904.04346, C3D-AVG. Without `absolute`: Parmar & Morris 2017,
    arXiv:1611.05125, C3D-LSTM.
    """

    shares = True

    def __init__(self, sizes: Sizes, *, absolute: bool = True, **common: float):
        super().__init__(sizes, **common)
        linear = nn.Linear(sizes.shared, 1)
        # Its own, and not a layer's: so they are named in the files of all runs.
        self.weight, self.bias = linear.weight, linear.bias
        self.absolute = absolute

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """`(batch,)`, in units of the score scale above the centre."""
        score = F.linear(encoded.shared, self.weight, self.bias).squeeze(1)
        return score if encoded.direct is None else score + encoded.direct

    @torch.no_grad()
    def start_at_zero(self) -> None:
        """Say nothing beyond the ridge path, as long as nothing is learned."""
        self.weight.zero_()
        self.bias.zero_()

    def loss(self, encoded: Encoded, known: Known, points: torch.Tensor) -> tuple[torch.Tensor, ...]:
        true = (points[known.labelled] - self.centre) / self.scale
        difference = self(encoded)[known.labelled] - true
        return (difference.square(), difference.abs()) if self.absolute else (difference.square(),)

    def predict(self, encoded: Encoded, known: Known) -> ScorePrediction:
        return ScorePrediction(self(encoded).double() * self.scale + self.centre)
