"""From one feature per sample to the score and the classes."""

from collections.abc import Mapping

import torch
from torch import nn

FC6_DIM = 4096


class Heads(nn.Module):
    """A shared layer (fc6: linear and ReLU, no dropout), one linear score head, one linear head per class column.

    Args:
        dim: size of the encoder's output.
        score: whether there is a score head.
        classes: number of classes by column name.

    Shape:
        - encoded: `(batch, dim)`.
        - Output: the scores `(batch,)` in units of the score scale, or None without score head; and per column the
          logits `(batch, classes)`.

    Source: Parmar & Morris 2019, arXiv:1904.04346, C3D-AVG.
    """

    def __init__(self, dim: int, score: bool, classes: Mapping[str, int]):
        super().__init__()
        self.columns = list(classes)
        self.fc6 = nn.Linear(dim, FC6_DIM)
        self.score = nn.Linear(FC6_DIM, 1) if score else None
        # A list: a column's name may be no name for a module ("type", "a.b").
        self.classes = nn.ModuleList(nn.Linear(FC6_DIM, number) for number in classes.values())

    def forward(self, encoded: torch.Tensor) -> tuple[torch.Tensor | None, dict[str, torch.Tensor]]:
        shared = torch.relu(self.fc6(encoded))
        score = None if self.score is None else self.score(shared).squeeze(1)
        return score, {name: head(shared) for name, head in zip(self.columns, self.classes, strict=True)}
