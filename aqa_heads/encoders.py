"""From the clip features of a sample to one feature: the column 'feature encoding' of Table 1."""

import math

import torch
from torch import nn


class AverageEncoder(nn.Module):
    """The mean over a sample's clips.

    Args:
        dim: size of one clip feature.

    Shape:
        - features: `(batch, clips, dim)`, zeros from a sample's `count` on; count: `(batch,)`, at least 1.
        - Output: `(batch, dim)`.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.out_dim = dim

    def forward(self, features: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        return features.sum(1) / count.unsqueeze(1)


class LstmEncoder(nn.Module):
    """The output of an LSTM at a sample's last clip.

    Args:
        dim: size of one clip feature.
        hidden: size of the output.
        layers: stacked LSTMs, with dropout 0.2 between them in training.

    Shape:
        - features: `(batch, clips, dim)`; count: `(batch,)`, at least 1; what lies from `count` on changes nothing.
        - Output: `(batch, hidden)`.

    Source: Exp 7 of the paper. Differs: hidden size 1024 by default, not 8192 (1.07 G parameters, 16 GiB with Adam's
    state); trained (the original leaves it out of the optimiser) and without dropout when evaluated.
    """

    def __init__(self, dim: int, hidden: int = 1024, layers: int = 2):
        super().__init__()
        self.out_dim = hidden
        self.lstm = nn.LSTM(dim, hidden, layers, batch_first=True, dropout=0.2 if layers > 1 else 0.0)
        nn.init.orthogonal_(self.lstm.weight_ih_l0, math.sqrt(2))
        nn.init.orthogonal_(self.lstm.weight_hh_l0, math.sqrt(2))

    def forward(self, features: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        outputs, _ = self.lstm(features)
        return outputs[torch.arange(len(count), device=count.device), count - 1]
