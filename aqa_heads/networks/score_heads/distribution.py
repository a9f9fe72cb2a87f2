"""A score as a distribution: USDL."""

import torch

from ...settings.experiments import READOUTS
from .bins import BINS, bins_over, divergence, empty_bins, label_log_probabilities, moments, most_likely
from .seam import Distribution, Encoded, Known, ScoreHead, ScorePrediction, Sizes
from .stack import stack


class DistributionHead(ScoreHead):
    """Probabilities of evenly spaced points, learned from a normal distribution around each training score.

    loss = KL(label || said), see `bins`.

    Args:
        readout: points are the `expectation`, or the most likely point (`argmax`).

    The spread is the standard deviation of what is said; it holds that of the labels, 5 % of their range.

    Source: Tang et al. 2020, arXiv:2006.07665, USDL. Differs: the bins follow from the training scores, not
    from the largest score of all data (104.5), and go on beyond them, so that no label is cut off and drawn
    inwards; the standard deviation is in points (5 % of the range, as there); the divergence is summed over
    the bins, not averaged; the expectation is read, which has no ties, argmax only where it is asked for.
    """

    def __init__(self, sizes: Sizes, *, readout: str = READOUTS[0], **common: float):
        super().__init__(sizes, **common)
        self.readout = readout
        self.layers = stack(sizes.pooled, BINS, self.dropout)
        self.register_buffer("bins", empty_bins())

    def prepare(self, encoded: Encoded, known: Known, points: torch.Tensor) -> None:
        self.bins.copy_(bins_over(points, self.scale))

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """Log-probabilities, `(batch, BINS)`."""
        return self.layers(encoded.pooled).log_softmax(1)

    def loss(self, encoded: Encoded, known: Known, points: torch.Tensor) -> torch.Tensor:
        said = self(encoded)[known.labelled]
        return divergence(label_log_probabilities(self.bins, points[known.labelled]).to(said.dtype), said)

    def predict(self, encoded: Encoded, known: Known) -> ScorePrediction:
        probabilities = self(encoded).double().softmax(1)
        mean, variance = moments(self.bins, probabilities)
        points = mean if self.readout == READOUTS[0] else most_likely(self.bins, probabilities)
        return ScorePrediction(points, variance.sqrt(), Distribution(self.bins, probabilities))
