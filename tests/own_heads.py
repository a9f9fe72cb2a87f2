"""Score heads of somebody's own, which only tests have: they show that the seam is wide enough."""

import math

import torch
from torch import nn

from aqa_heads import Distribution, ScoreHead, ScorePrediction

MARKS = torch.arange(21) / 2
SPREAD = 1.0


class JudgesHead(ScoreHead):
    """A distribution over the possible marks for each judge; points are the sum of the expected marks.

    Source: Tang et al. 2020, arXiv:2006.07665, MUSDL. Differs: all judges' marks count, expectation read-out.
    """

    needs = frozenset({"marks"})

    def __init__(self, sizes, *, judges, **common):
        super().__init__(sizes, **common)
        self.judges = judges
        self.layers = nn.Linear(sizes.pooled, judges * len(MARKS))
        self.register_buffer("marks", MARKS.clone())

    @classmethod
    def sized_by(cls, samples):
        return {"judges": max(len(sample.judges) for sample in samples)}

    def forward(self, encoded):
        """Log-probabilities, `(batch, judges, marks)`."""
        return self.layers(encoded.pooled).unflatten(1, (self.judges, -1)).log_softmax(2)

    def loss(self, encoded, known, points):
        marks = known.marks[known.labelled]
        given = marks.isfinite()
        near = (self.marks - marks.nan_to_num().unsqueeze(2)) / SPREAD
        soft = (-near.square() / 2).softmax(2)
        divergence = (soft * (soft.log() - self(encoded)[known.labelled])).sum(2)
        return (divergence * given).sum(1) / given.sum(1).clamp(min=1)

    def predict(self, encoded, known):
        assert known.marks is None and known.difficulty is None
        probabilities = self(encoded).exp()
        expected = (probabilities * self.marks).sum(2)
        variance = (probabilities * (self.marks - expected.unsqueeze(2)).square()).sum(2)
        mean_judge = Distribution(self.judges * self.marks, probabilities.mean(1))
        return ScorePrediction(expected.sum(1), variance.sum(1).sqrt(), mean_judge)


class ExemplarHead(ScoreHead):
    """The difference to exemplars of the same key, which are training samples and lie in the model's file.

    Source: Yu et al. 2021, arXiv:2108.07797, CoRe. Differs: one linear difference for the regression tree.
    """

    needs = frozenset({"key"})

    def __init__(self, sizes, **common):
        super().__init__(sizes, **common)
        self.difference = nn.Linear(2 * sizes.pooled + 1, 1)
        self.register_buffer("range", torch.ones(()))
        self.register_buffer("features", torch.empty(0, sizes.pooled))
        self.register_buffer("points", torch.empty(0))
        self.register_buffer("keys", torch.empty(0))

    def prepare(self, encoded, known, points):
        self.range.fill_(points.max() - points.min())

    def remember(self, encoded, known, points):
        having = known.keys.isfinite()
        self.features, self.points, self.keys = encoded.pooled[having], points[having], known.keys[having]

    def _to_exemplars(self, pooled):
        """Differences in points, `(batch, exemplars)`."""
        batch, count = len(pooled), len(self.points)
        pair = torch.cat(
            [
                self.features.expand(batch, -1, -1),
                pooled.unsqueeze(1).expand(-1, count, -1),
                (self.points / self.range).expand(batch, -1).unsqueeze(2),
            ],
            2,
        )
        return self.difference(pair).squeeze(2) * self.range

    def _same(self, keys):
        """Which exemplars have the nearest key, `(batch, exemplars)`; all of them where there is no key."""
        apart = (keys.unsqueeze(1) - self.keys).abs().nan_to_num(0.0)
        return (apart == apart.amin(1, keepdim=True)).to(self.points.dtype)

    def loss(self, encoded, known, points):
        rows = known.labelled
        same = self._same(known.keys[rows])
        wrong = self._to_exemplars(encoded.pooled[rows]) - (points[rows].unsqueeze(1) - self.points)
        return (same * (wrong / self.range).square()).sum(1) / same.sum(1)

    def predict(self, encoded, known):
        keys = encoded.pooled.new_full((len(encoded.pooled),), math.nan) if known.keys is None else known.keys
        same, said = self._same(keys), self.points + self._to_exemplars(encoded.pooled)
        mean = (same * said).sum(1) / same.sum(1)
        spread = ((same * (said - mean.unsqueeze(1)).square()).sum(1) / same.sum(1)).sqrt()
        return ScorePrediction(mean, spread)


class PartsHead(ScoreHead):
    """A head that asks for what no encoder that comes with the program has."""

    needs = frozenset({"parts", "marks"})
