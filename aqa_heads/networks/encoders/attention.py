"""The clips weighted by how much each matters."""

import math

import torch
from torch import nn

from .seam import Encoder, padding_of


class AttentionEncoder(Encoder):
    """The mean over a sample's clips, weighted by how much each matters: gated attention pooling.

    weight(clip) = softmax over the sample's clips of w · (tanh(V clip) * sigmoid(U clip)). It starts with
    equal weights, as the average.

    Args:
        dim: size of one clip feature.
        hidden: rows of V and U.

    Shape:
        - features: `(batch, clips, dim)`, zeros beyond a sample's length; lengths: `(batch,)`, at least 1.
        - Output: `(batch, dim)`.

    Source: Ilse et al. 2018, arXiv:1802.04712, equation 9. Differs: no network before it, and w starts at 0.
    """

    weighs_clips = True

    def __init__(self, dim: int, hidden: int = 256):
        super().__init__()
        self.out_dim = dim
        self.content, self.gate = nn.Linear(dim, hidden), nn.Linear(dim, hidden)
        self.weight = nn.Linear(hidden, 1, bias=False)
        nn.init.zeros_(self.weight.weight)

    def contributions(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        gated = torch.tanh(self.content(features)) * torch.sigmoid(self.gate(features))
        return self.weight(gated).squeeze(2).masked_fill(padding_of(features, lengths), -math.inf).softmax(1)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return torch.bmm(self.contributions(features, lengths).unsqueeze(1), features).squeeze(1)
