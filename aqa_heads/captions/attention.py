"""Attention over the clips of a sample at every word of its caption."""

import math

import torch
from torch import nn

# Of the layer that compares a query with a clip. Not the hidden size: the comparison holds one such vector
# for every word and every clip of a batch, and there may be several hundred clips.
COMPARISON_DIM = 128


class ClipAttention(nn.Module):
    """At every word, a weighted mean of the clips, added to the query through a linear layer.

    With query q and clip k, both of size `hidden`, a clip's weight is the softmax over the sample's clips of

        additive:  v . tanh(W q + U k)
        dot:       (W q) . k / sqrt(hidden)

    Args:
        kind: `additive` (Bahdanau, Cho & Bengio 2015, arXiv:1409.0473) or `dot` (Luong, Pham & Manning 2015,
            arXiv:1508.04025, its `general`, scaled as in Vaswani et al. 2017, arXiv:1706.03762).
        hidden: size of a query and of a clip.

    Shape:
        - queries: `(batch, words, hidden)`; clips: `(batch, clips, hidden)`, finite also from a sample's
          its length on, where they change nothing; lengths: `(batch,)`, at least 1.
        - Outputs: `(batch, words, hidden)`, and the weights `(batch, words, clips)`, zeros for padding,
          whose sum over clips is 1.
    """

    def __init__(self, kind: str, hidden: int):
        super().__init__()
        additive = {"additive": True, "dot": False}[kind]
        self.of_query = nn.Linear(hidden, COMPARISON_DIM if additive else hidden, bias=False)
        self.of_clip = nn.Linear(hidden, COMPARISON_DIM) if additive else None
        self.score = nn.Linear(COMPARISON_DIM, 1, bias=False) if additive else None
        self.join = nn.Linear(hidden, hidden)

    def forward(
        self, queries: torch.Tensor, clips: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        asked = self.of_query(queries)
        if self.score is None:
            scores = asked @ clips.transpose(1, 2) / math.sqrt(clips.shape[2])
        else:
            scores = self.score(torch.tanh(asked.unsqueeze(2) + self.of_clip(clips).unsqueeze(1))).squeeze(3)
        real = torch.arange(clips.shape[1], device=lengths.device) < lengths.unsqueeze(1)
        weights = scores.masked_fill(~real.unsqueeze(1), -math.inf).softmax(2)
        return queries + self.join(weights @ clips), weights
