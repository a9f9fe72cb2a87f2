"""From one feature per sample to the score and the classes."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

FC6_DIM = 4096


class Heads(nn.Module):
    """A shared layer (fc6: linear and ReLU), one linear score head, one linear head per class column.

    Args:
        dim: size of the encoder's output.
        score: whether there is a score head.
        classes: number of classes by column name.
        dropout: in training, before and after the shared layer.
        shared: whether there is a shared layer; without, the heads are linear in the encoder's output.
        direct: size of the mean clip feature, from which the score has a linear path of its own beside fc6;
            None: it has none. The score head then starts at zero, so that training starts from what the path
            is given.

    Shape:
        - encoded: `(batch, dim)`; mean: `(batch, direct)`, needed with a direct path.
        - Output: the scores `(batch,)` in units of the score scale, or None without score head; and per
          column the logits `(batch, classes)`.

    Source: Parmar & Morris 2019, arXiv:1904.04346, C3D-AVG, which has neither dropout nor a direct path.
    """

    def __init__(
        self,
        dim: int,
        score: bool,
        classes: Mapping[str, int],
        dropout: float = 0.0,
        shared: bool = True,
        direct: int | None = None,
    ):
        super().__init__()
        self.columns, self.dropout = list(classes), dropout
        self.fc6 = nn.Linear(dim, FC6_DIM) if shared else None
        width = FC6_DIM if shared else dim
        self.score = nn.Linear(width, 1) if score else None
        # A list: a column's name may be no name for a module ("type", "a.b").
        self.classes = nn.ModuleList(nn.Linear(width, number) for number in classes.values())
        self.direct = nn.Linear(direct, 1) if score and direct is not None else None
        if self.direct is not None:
            nn.init.zeros_(self.score.weight)
            nn.init.zeros_(self.score.bias)

    def forward(
        self, encoded: torch.Tensor, mean: torch.Tensor | None = None
    ) -> tuple[torch.Tensor | None, dict[str, torch.Tensor]]:
        if self.fc6 is not None:
            encoded = torch.relu(self.fc6(self._drop(encoded)))
        encoded = self._drop(encoded)
        score = None if self.score is None else self.score(encoded).squeeze(1)
        if self.direct is not None:
            score = score + self.direct(mean).squeeze(1)
        return score, {name: head(encoded) for name, head in zip(self.columns, self.classes, strict=True)}

    def _drop(self, values: torch.Tensor) -> torch.Tensor:
        return F.dropout(values, self.dropout, self.training) if self.dropout else values
