"""A score by the thresholds that it exceeds."""

import torch
from torch import nn
from torch.nn import functional as F

from .bins import moments
from .seam import Distribution, Encoded, Known, ScoreHead, ScorePrediction, Sizes
from .stack import stack

_THRESHOLDS = 10
_LEAST_GAP = 1e-4


class OrdinalHead(ScoreHead):
    """Cumulative logits over ten thresholds, which lie at quantiles of the training scores.

    P(score > threshold k) = sigmoid(f - c_k), f a number for each sample and c_1 < c_2 < … learned;
    loss = -log P(bin), the bin being the one that the score lies in. Points are the expectation over the
    bins' mean training scores. A bin without a training score, where thresholds fall together, stands at its
    lower threshold.

    Source: McCullagh 1980, Regression models for ordinal data, J. R. Stat. Soc. B 42, the proportional odds
    model, f by layers.
    """

    def __init__(self, sizes: Sizes, **common: float):
        super().__init__(sizes, **common)
        self.layers = stack(sizes.pooled, 1, self.dropout)
        # Every bin starts equally likely where f is 0.
        shares = torch.arange(1, _THRESHOLDS + 1, dtype=torch.float64) / (_THRESHOLDS + 1)
        cuts = shares.logit()
        self.lowest = nn.Parameter(cuts[:1].float())
        self.gaps = nn.Parameter((cuts.diff() - _LEAST_GAP).expm1().log().float())  # softplus gives them
        self.register_buffer("thresholds", torch.zeros(_THRESHOLDS, dtype=torch.float64))
        self.register_buffer("bins", torch.zeros(_THRESHOLDS + 1, dtype=torch.float64))

    def prepare(self, encoded: Encoded, known: Known, points: torch.Tensor) -> None:
        values = points.double()
        shares = torch.arange(1, _THRESHOLDS + 1, dtype=torch.float64, device=values.device)
        self.thresholds.copy_(torch.quantile(values, shares / (_THRESHOLDS + 1)))
        bins = self._bin_of(values)
        for number in range(_THRESHOLDS + 1):
            inside = values[bins == number]
            self.bins[number] = inside.mean() if len(inside) else self.thresholds[max(number - 1, 0)]

    def _bin_of(self, points: torch.Tensor) -> torch.Tensor:
        """How many thresholds each exceeds: `(n,)` int64."""
        return (points.double().unsqueeze(1) > self.thresholds).sum(1)

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """Log-probabilities of the bins, `(batch, thresholds + 1)`."""
        gaps = F.softplus(self.gaps) + _LEAST_GAP
        # Their cumulative sum, which on a GPU has no deterministic operation of its own.
        above = torch.ones(len(gaps), len(gaps), device=gaps.device).triu()
        cuts = torch.cat([self.lowest, self.lowest + (gaps.unsqueeze(1) * above).sum(0)])
        beyond = self.layers(encoded.pooled) - cuts
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), without a difference of nearly
        # equal numbers; the outer bins have one side only.
        inner = torch.log(-torch.expm1(-gaps))
        return (
            F.pad(F.logsigmoid(beyond), (1, 0)) + F.pad(F.logsigmoid(-beyond), (0, 1)) + F.pad(inner, (1, 1))
        )

    def loss(self, encoded: Encoded, known: Known, points: torch.Tensor) -> torch.Tensor:
        bins = self._bin_of(points[known.labelled])
        return F.nll_loss(self(encoded)[known.labelled], bins, reduction="none")

    def predict(self, encoded: Encoded, known: Known) -> ScorePrediction:
        probabilities = self(encoded).double().softmax(1)
        points, variance = moments(self.bins, probabilities)
        return ScorePrediction(points, variance.sqrt(), Distribution(self.bins, probabilities))
