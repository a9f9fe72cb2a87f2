"""An encoder of somebody's own that has parts, which only tests have."""

import torch
from torch import nn

from aqa_heads import Encoded, Encoder


class PartsEncoder(Encoder):
    """Four linear views of the mean clip."""

    parts = 4

    def __init__(self, dim, hidden=8):
        super().__init__()
        self.out_dim = hidden
        self.layer = nn.Linear(dim, self.parts * hidden)

    def forward(self, features, count):
        parts = torch.tanh(self.layer(features.sum(1) / count.unsqueeze(1))).unflatten(1, (self.parts, -1))
        return Encoded(parts.mean(1), parts=parts)
