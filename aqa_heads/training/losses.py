"""The original's loss: score, classes and caption, each over the samples that have the label.

L = mean((p - t)^2) + mean(|p - t|) + sum over class columns of the mean cross-entropy
    + 0.01 * (sum over the words of all captions of -log p(word)) / captions
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch.nn import functional as F

from ..data.training_data import Batch
from ..networks.model import AqaModel

CAPTION_WEIGHT = 0.01


@dataclass(frozen=True)
class Loss:
    """The parts of one batch's loss; None where a task is off or no sample of the batch has its label.

    Args:
        score: MSE + L1 of the scaled score.
        classes: per column the mean cross-entropy.
        caption: negative log-likelihood in nats per caption, not yet weighted.
    """

    score: torch.Tensor | None = None
    classes: dict[str, torch.Tensor] = field(default_factory=dict)
    caption: torch.Tensor | None = None

    @property
    def total(self) -> torch.Tensor | None:
        parts = [*self.classes.values()]
        if self.score is not None:
            parts.append(self.score)
        if self.caption is not None:
            parts.append(CAPTION_WEIGHT * self.caption)
        return torch.stack(parts).sum() if parts else None


def score_loss(predicted: torch.Tensor, true: torch.Tensor, absolute: bool = True) -> torch.Tensor:
    """Mean squared plus, where `absolute`, mean absolute difference, both `(samples,)`."""
    difference = predicted - true
    squared = difference.square().mean()
    return squared + difference.abs().mean() if absolute else squared


def multitask_loss(model: AqaModel, batch: Batch) -> Loss:
    """The loss of one batch, all parts of the model together."""
    assessed, spoken = assessment_loss(model, batch), captioner_loss(model, batch)
    return Loss(assessed.score, assessed.classes, spoken.caption)


def assessment_loss(model: AqaModel, batch: Batch) -> Loss:
    """Score and classes."""
    if model.heads is None:
        return Loss()
    output = model(batch.features, batch.count)
    score = None
    if output.score is not None and len(batch.scored):
        true = (batch.score[batch.scored] - model.score_centre) / model.score_scale
        # A linear head is the older C3D-LSTM's, which has no L1 term.
        score = score_loss(output.score[batch.scored], true, absolute=model.heads.fc6 is not None)
    return Loss(score, _class_losses(output.classes, batch))


def captioner_loss(model: AqaModel, batch: Batch) -> Loss:
    """The caption."""
    if model.captioner is None or batch.heard is None:
        return Loss()
    told = model.caption_loss(batch.features, batch.count, batch.heard, batch.following, batch.positions)
    return Loss(caption=told / batch.captions)


def _class_losses(logits: Mapping[str, torch.Tensor], batch: Batch) -> dict[str, torch.Tensor]:
    losses = {}
    for name, column in logits.items():
        labelled = batch.classified[name]
        if len(labelled):
            losses[name] = F.cross_entropy(column[labelled], batch.classes[name][labelled])
    return losses
