"""Convolutions over time, which see the order of clips and how they change."""

import torch
from torch import nn
from torch.nn import functional as F

from .rows import Neighbours, RowNorm, Rows
from .seam import Encoder

_DROPOUT = 0.3


class ConvEncoder(Encoder):
    """The mean over time after residual blocks of convolutions, between which time is halved.

    A block is x + [convolution three clips wide, batch norm, GELU](twice, of x). With three blocks every
    output sees up to 32 clips.

    Args:
        dim: size of one clip feature.
        hidden: size of the output; half of the first of the two layers before the blocks.
        layers: blocks.

    Shape:
        - features: `(batch, clips, dim)`; lengths: `(batch,)`, at least 1; padding changes nothing.
        - Output: `(batch, hidden)`.

    Source: Zeng et al. 2024, PAMFN's branch for RGB features (github.com/qinghuannn/PAMFN, class BaseModel).
    Differs: convolutions end with a sample, where the original runs on into its padding; batch norm counts
    real clips only (`RowNorm`); a sample is halved by its own length, a last clip without a partner stays, so
    one clip is enough and neighbours change nothing, where the original drops the last.
    """

    def __init__(self, dim: int, hidden: int = 256, layers: int = 3):
        super().__init__()
        self.out_dim = hidden
        self.embed = nn.Sequential(
            nn.Linear(dim, 2 * hidden),
            RowNorm(2 * hidden),
            nn.ReLU(),
            nn.Linear(2 * hidden, hidden),
            RowNorm(hidden),
            nn.ReLU(),
            nn.Dropout(_DROPOUT),
        )
        self.blocks = nn.ModuleList(_Block(hidden) for _ in range(layers))

    def over_time(self, features: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, Rows]:
        """What the last block says, before the mean over time: `(rows, hidden)`."""
        which = Rows(lengths)
        rows = self.embed(which.of(features))
        for place, block in enumerate(self.blocks):
            if place:
                which, rows = which.halved(rows)
            rows = block(rows, which)
        return rows, which

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        rows, which = self.over_time(features, lengths)
        return which.mean(rows)


class _Block(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.convolutions = nn.ModuleList(Neighbours(dim) for _ in range(2))
        self.norms = nn.ModuleList(RowNorm(dim) for _ in range(2))

    def forward(self, rows: torch.Tensor, which: Rows) -> torch.Tensor:
        inner = rows
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            inner = F.gelu(norm(convolution(inner, which)))
        return rows + inner
