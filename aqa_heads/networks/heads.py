"""From one feature per sample to the score and the classes."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import TrainingError
from .class_heads import ClassHeads
from .score_heads.seam import Encoded, Known, ScoreHead, ScorePrediction, Sizes

FC6_DIM = 4096


class Heads(nn.Module):
    """The score head, the class heads, and what they share: a layer (fc6: linear and ReLU).

    Args:
        sizes: of what the encoder gives.
        score: the class of the score head; None: there is none.
        classes: number of classes by column name.
        dropout: in training, before and after the shared layer.
        fc6: width of the shared layer; None: the original's.
        linear: there is no shared layer: the heads that would share it are linear in the encoder's output.
        direct: whether the score has a linear path of its own from the mean clip feature, beside the shared
            layer. The score head then starts at zero, so that training starts from what the path is given.
        options: what the score head is made with beside sizes and dropout.

    Source: Parmar & Morris 2019, arXiv:1904.04346, C3D-AVG, which has neither dropout nor a direct path.
    """

    def __init__(
        self,
        sizes: Sizes,
        score: type[ScoreHead] | None,
        classes: Mapping[str, int],
        dropout: float = 0.0,
        fc6: int | None = None,
        linear: bool = False,
        direct: bool = False,
        **options,
    ):
        super().__init__()
        self.dropout = dropout
        # All are named, and made, in the order of the files of all runs: fc6, score, classes, direct.
        self.shares = bool(classes) or (score is not None and score.shares)
        width = sizes.pooled if linear else fc6 or FC6_DIM
        self.fc6 = None if linear or not self.shares else nn.Linear(sizes.pooled, width)
        self.score = (
            None if score is None else score(replace(sizes, shared=width), dropout=dropout, **options)
        )
        self.classes = ClassHeads(width, classes)
        self.direct = nn.Linear(sizes.mean, 1) if direct and score is not None else None
        if self.direct is not None:
            self.score.start_at_zero()

    def share(self, encoded: Encoded) -> Encoded:
        """`encoded` with what several heads see of it."""
        shared = direct = None
        if self.shares:
            shared = encoded.pooled
            if self.fc6 is not None:
                shared = torch.relu(self.fc6(self._drop(shared)))
            shared = self._drop(shared)
        if self.direct is not None:
            direct = self.direct(encoded.mean).squeeze(1)
        return replace(encoded, shared=shared, direct=direct)

    def classify(self, encoded: Encoded) -> dict[str, torch.Tensor]:
        """Per column the logits `(batch, classes)`, of what `share` gave."""
        return self.classes(encoded.shared) if len(self.classes) else {}

    def forward(
        self, encoded: Encoded, known: Known | None = None
    ) -> tuple[ScorePrediction | None, dict[str, torch.Tensor]]:
        """The score, where there is a score head, and the logits, of what `share` gave.

        Raises:
            TrainingError: the score head gives points of another shape than `(batch,)`.
        """
        score = None if self.score is None else self.score.predict(encoded, known or Known())
        if score is not None and (got := score.points.shape) != (expected := encoded.pooled.shape[:1]):
            raise TrainingError(
                f"{type(self.score).__name__}.predict gives points of shape {tuple(got)}, expected"
                f" {tuple(expected)}, one number per sample (docs/extending.md)"
            )
        return score, self.classify(encoded)

    def _drop(self, values: torch.Tensor) -> torch.Tensor:
        return F.dropout(values, self.dropout, self.training) if self.dropout else values
