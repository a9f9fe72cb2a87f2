"""The original's loss: score, classes and caption, each over the samples that have the label.

L = mean((p - t)^2) + mean(|p - t|) + sum over class columns of the mean cross-entropy
    + 0.01 * (sum over the words of all captions of -log p(word)) / captions
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from .model import AqaModel
from .targets import Batch

CAPTION_WEIGHT = 0.01


@dataclass(frozen=True)
class Loss:
    """The parts of one batch's loss; None where a task is off or no sample of the batch has its label.

    Args:
        score: MSE + L1 of the scaled score.
        classes: per column the mean cross-entropy.
        caption: negative log-likelihood in nats per caption, not yet weighted.
    """

    score: torch.Tensor | None
    classes: dict[str, torch.Tensor]
    caption: torch.Tensor | None

    @property
    def total(self) -> torch.Tensor:
        parts = [*self.classes.values()]
        if self.score is not None:
            parts.append(self.score)
        if self.caption is not None:
            parts.append(CAPTION_WEIGHT * self.caption)
        return torch.stack(parts).sum()


def score_loss(predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Mean squared plus mean absolute difference, both `(samples,)`."""
    difference = predicted - true
    return difference.square().mean() + difference.abs().mean()


def caption_loss(logits: torch.Tensor, words: torch.Tensor, captions: int) -> torch.Tensor:
    """Negative log-likelihood of `words`, summed, per caption.

    Shape:
        - logits: `(words, vocabulary)`, words: `(words,)`: those of all captions, `<eos>` included, padding left out.
    """
    return F.cross_entropy(logits, words, reduction="sum") / captions


def multitask_loss(model: AqaModel, batch: Batch) -> Loss:
    """The loss of one batch, of whose samples at least one has a label."""
    output = model(batch.features, batch.count, batch.heard)
    score = None
    if output.score is not None and len(batch.scored):
        score = score_loss(output.score[batch.scored], batch.score[batch.scored] / model.score_scale)
    classes = _class_losses(output.classes, batch)
    caption = None
    if output.spoken is not None:
        spoken = output.spoken.flatten(0, 1)[batch.positions]
        caption = caption_loss(model.captioner.output(spoken), batch.following, batch.captions)
    return Loss(score, classes, caption)


def _class_losses(logits: Mapping[str, torch.Tensor], batch: Batch) -> dict[str, torch.Tensor]:
    losses = {}
    for name, column in logits.items():
        labelled = batch.classified[name]
        if len(labelled):
            losses[name] = F.cross_entropy(column[labelled], batch.classes[name][labelled])
    return losses
