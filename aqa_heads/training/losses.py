"""The original's loss: score, classes and caption, each over the samples that have the label.

L = score + sum over class columns of the mean cross-entropy
    + 0.01 * (sum over the words of all captions of -log p(word)) / captions

score is what the score head says, of `regression` mean((p - t)^2) + mean(|p - t|), plus a loss that was added
to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch.nn import functional as F

from ..data.batches import Batch
from ..networks.model import AqaModel
from ..networks.score_heads.known import known_of
from ..networks.score_heads.seam import Encoded, Known

CAPTION_WEIGHT = 0.01


@dataclass(frozen=True)
class Loss:
    """The parts of one batch's loss; None where a task is off or no sample of the batch has its label.

    Args:
        score: of the score head, with what was added to it.
        classes: per column the mean cross-entropy.
        caption: negative log-likelihood in nats per caption, not yet weighted.
        encoder: what the encoder itself wants to be small; no column of `metrics.csv`.
    """

    score: torch.Tensor | None = None
    classes: dict[str, torch.Tensor] = field(default_factory=dict)
    caption: torch.Tensor | None = None
    encoder: torch.Tensor | None = None

    @property
    def total(self) -> torch.Tensor | None:
        parts = [*self.classes.values()]
        if self.score is not None:
            parts.append(self.score)
        if self.caption is not None:
            parts.append(CAPTION_WEIGHT * self.caption)
        if parts and self.encoder is not None:
            parts.append(self.encoder)
        return torch.stack(parts).sum() if parts else None


def multitask_loss(model: AqaModel, batch: Batch) -> Loss:
    """The loss of one batch, all parts of the model together."""
    assessed, captioned = assessment_loss(model, batch), captioner_loss(model, batch)
    return replace(assessed, caption=captioned.caption)


def assessment_loss(model: AqaModel, batch: Batch) -> Loss:
    """Score and classes."""
    if model.heads is None:
        return Loss()
    encoded = model.encode(batch.features, batch.lengths)
    score = _score_loss(model, encoded, batch) if model.has_score and len(batch.scored) else None
    return Loss(score, _class_losses(model.heads.classify(encoded), batch), encoder=encoded.loss)


def _score_loss(model: AqaModel, encoded: Encoded, batch: Batch) -> torch.Tensor:
    head = model.heads.score
    known = known_of(batch.samples, head, model.class_names, batch.score.device, batch.scored)
    terms = head.loss(encoded, known, batch.score)
    means = [term.mean() for term in (terms if isinstance(terms, tuple) else (terms,))]
    if model.added_loss is not None:
        means.append(model.added_loss.weight * _added_loss(model, encoded, known, batch))
    loss, *others = means
    for other in others:
        loss = loss + other
    return loss


def _added_loss(model: AqaModel, encoded: Encoded, known: Known, batch: Batch) -> torch.Tensor:
    predicted = model.heads.score.predict(encoded, replace(known, marks=None, labelled=None)).points
    predicted, true = (
        (points[batch.scored] - model.score_centre) / model.score_scale
        for points in (predicted.to(batch.score.dtype), batch.score)
    )
    return model.added_loss.function(predicted, true).mean()


def captioner_loss(model: AqaModel, batch: Batch) -> Loss:
    """The caption."""
    if model.captioner is None or batch.inputs is None:
        return Loss()
    told = model.caption_loss(batch.features, batch.lengths, batch.inputs, batch.targets, batch.positions)
    return Loss(caption=told / batch.captions)


def _class_losses(logits: Mapping[str, torch.Tensor], batch: Batch) -> dict[str, torch.Tensor]:
    losses = {}
    for name, column in logits.items():
        labelled = batch.classified[name]
        if len(labelled):
            losses[name] = F.cross_entropy(column[labelled], batch.classes[name][labelled])
    return losses
