"""From one feature per sample to classes."""

from collections.abc import Mapping

import torch
from torch import nn


class ClassHeads(nn.ModuleList):
    """One linear head per class column.

    Args:
        width: of the input.
        classes: number of classes by column name, which may be any text.

    Shape:
        - Input: `(batch, width)`; output: per column the logits `(batch, classes)`.
    """

    def __init__(self, width: int, classes: Mapping[str, int]):
        # A list: a column's name may be no name for a module ("type", "a.b").
        super().__init__(nn.Linear(width, number) for number in classes.values())
        self.columns = list(classes)

    def forward(self, shared: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: head(shared) for name, head in zip(self.columns, self, strict=True)}
