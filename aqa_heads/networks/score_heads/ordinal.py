"""A score by the thresholds that it exceeds."""

import math

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
    lower threshold. With a ridge path, f starts as the ridge regression and c at the thresholds, both in
    units of the logistic distribution that has the spread of what the regression leaves; else every bin
    starts equally likely.

    Source: McCullagh 1980, Regression models for ordinal data, J. R. Stat. Soc. B 42, the proportional odds
    model, f by layers.
    """

    def __init__(self, sizes: Sizes, **common: float):
        super().__init__(sizes, **common)
        self.layers = stack(sizes.pooled, 1, self.dropout)
        shares = torch.arange(1, _THRESHOLDS + 1, dtype=torch.float64) / (_THRESHOLDS + 1)
        cuts = shares.logit()
        self.lowest, self.gaps = (nn.Parameter(start) for start in _lowest_and_gaps(cuts))
        self.register_buffer("unit", torch.ones(()))
        self.register_buffer("thresholds", torch.zeros(_THRESHOLDS, dtype=torch.float64))
        self.register_buffer("bins", torch.zeros(_THRESHOLDS + 1, dtype=torch.float64))

    def prepare(self, encoded: Encoded, known: Known, points: torch.Tensor) -> None:
        values = points.double()
        shares = torch.arange(1, _THRESHOLDS + 1, dtype=torch.float64, device=values.device)
        self.thresholds.copy_(torch.quantile(values, shares / (_THRESHOLDS + 1)))
        if encoded.direct is not None:
            cuts = (self.thresholds - self.centre) / self.scale / self.unit
            with torch.no_grad():
                for parameter, start in zip((self.lowest, self.gaps), _lowest_and_gaps(cuts), strict=True):
                    parameter.copy_(start)
        bins = self._bin_of(values)
        for number in range(_THRESHOLDS + 1):
            inside = values[bins == number]
            self.bins[number] = inside.mean() if len(inside) else self.thresholds[max(number - 1, 0)]

    @torch.no_grad()
    def start_at_zero(self) -> None:
        self.layers[-1].weight.zero_()
        self.layers[-1].bias.zero_()

    def start_with_spread(self, spread: float) -> None:
        self.unit.fill_(spread * math.sqrt(3) / math.pi)

    def _bin_of(self, points: torch.Tensor) -> torch.Tensor:
        """How many thresholds each exceeds: `(n,)` int64."""
        return (points.double().unsqueeze(1) > self.thresholds).sum(1)

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """Log-probabilities of the bins, `(batch, thresholds + 1)`."""
        gaps = F.softplus(self.gaps) + _LEAST_GAP
        # Their cumulative sum, which on a GPU has no deterministic operation of its own.
        above = torch.ones(len(gaps), len(gaps), device=gaps.device).triu()
        cuts = torch.cat([self.lowest, self.lowest + (gaps.unsqueeze(1) * above).sum(0)])
        said = self.layers(encoded.pooled)
        if encoded.direct is not None:
            said = said + encoded.direct.unsqueeze(1) / self.unit
        beyond = said - cuts
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


def _lowest_and_gaps(cuts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The parameters of these cuts; those that fall together start a little apart."""
    gaps = cuts.diff().clamp(min=2 * _LEAST_GAP) - _LEAST_GAP
    # softplus gives them back; log(exp(g) - 1), of large ones too.
    return cuts[:1].float(), (gaps + torch.log(-torch.expm1(-gaps))).float()
