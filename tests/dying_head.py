"""A score head that ends a process of Ray, once, where a test says so."""

import sys
from pathlib import Path

from dying import die_at
from torch import nn

from aqa_heads import ScoreHead, ScorePrediction

DIE_ONCE = "AQA_TEST_DIE_ONCE"
"""Names a file; the process of Ray that finds it removes it and dies, by its own number."""


class DyingHead(ScoreHead):
    """One linear layer."""

    def __init__(self, sizes, **common):
        super().__init__(sizes, **common)
        if Path(sys.argv[0]).name == "default_worker.py":
            die_at(DIE_ONCE)
        self.layer = nn.Linear(sizes.pooled, 1)

    def forward(self, encoded):
        return self.layer(encoded.pooled).squeeze(1)

    def loss(self, encoded, known, points):
        return (self(encoded)[known.labelled] - points).square().mean()

    def predict(self, encoded, known):
        return ScorePrediction(self(encoded))
