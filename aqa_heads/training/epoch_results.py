"""What is measured in and after an epoch: the columns of an `Epoch`, and by which of them a part is
chosen.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data.batches import Split
from ..data.training_data import TrainingData
from ..evaluation.metrics import accuracy, relative_l2, spearman
from ..evaluation.predictions import Predictions, caption_loss_per_token, predict
from ..networks.model import AqaModel
from .losses import CAPTION_WEIGHT
from .part import Part
from .part_columns import columns_of
from .starting_point import remember


def evaluate(model: AqaModel, data: TrainingData, parts: Sequence[Part]) -> dict[str, float | None]:
    """The columns of an `Epoch` that are measured after it: on held-out samples if there are any, else on the
    test samples.

    Args:
        parts: those that are still trained; of others there is nothing new to say.
    """
    row = dict.fromkeys(columns_of("model", trained=False))
    held_out = bool(len(data.val))
    split, prefix = (data.val, "val") if held_out else (data.test, "test")
    names = {part.name for part in parts}
    if names - {"captioner"}:
        remember(model, data)
        row |= _assess(model, split, prefix)
    if held_out and names - {"assessment"}:
        loss = row["val_caption_loss_per_token"] = caption_loss_per_token(model, split)
        if loss is not None and not math.isfinite(loss):
            raise FloatingPointError("the loss of the validation captions is not finite")
    return row


def _assess(model: AqaModel, split: Split, prefix: str) -> dict[str, float | None]:
    row = {}
    predictions = predict(model, split.clips, factor=split.factor, samples=split.samples)
    if predictions.score is not None:
        predicted, true = scored(predictions, split)
        if not np.isfinite(predicted).all():
            raise FloatingPointError("a predicted score is not finite")
        row = {
            f"{prefix}_spearman": spearman(predicted, true),
            f"{prefix}_relative_l2": relative_l2(predicted, true),
        }
    if prefix == "val":
        row["val_class_accuracy"] = _class_accuracy(predictions, split)
    return row


def scored(predictions: Predictions, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true scores, in points, of the samples that have both; empty if scores are not
    predicted.
    """
    if predictions.score is None:
        return np.empty(0), np.empty(0)
    both, true = true_scores(split)
    return predictions.score[both], true


def true_scores(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Which samples have a score that can be predicted, `(samples,)` bool, and the scores of these."""
    true = np.array(
        [np.nan if sample.final_score is None else sample.final_score for sample in split.samples], np.float64
    )
    both = ~np.isnan(true) & ~np.isnan(split.factor)
    return both, true[both]


def _class_accuracy(predictions: Predictions, split: Split) -> float | None:
    shares = []
    for name, predicted in predictions.classes.items():
        labelled = [index for index, sample in enumerate(split.samples) if name in sample.classes]
        if labelled:
            true = [split.samples[index].classes[name] for index in labelled]
            shares.append(accuracy([predicted[index] for index in labelled], true))
    return float(np.mean(shares)) if shares else None


def value_of(part: str, row: Mapping[str, Any]) -> float | None:
    """What a part is chosen by, the higher the better; None where nothing can be said."""
    if part == "captioner":
        loss = row["val_caption_loss_per_token"]
        return None if loss is None else -loss
    value = row["val_spearman"] if row["val_spearman"] is not None else row["val_class_accuracy"]
    return None if value is None or math.isnan(value) else value


def losses_of(parts: Sequence[Part]) -> dict[str, float | None]:
    """The training losses of an `Epoch`; a part that is no longer trained has none but counts in their
    sum.
    """
    row = dict.fromkeys(columns_of("model", trained=True))
    total = 0.0
    for part in parts:
        total += part.losses.get("train_score_loss", 0.0) + part.losses.get("train_class_loss", 0.0)
        total += CAPTION_WEIGHT * part.losses.get("train_caption_loss", 0.0)
        if not part.stopped:
            row |= part.losses
    if not math.isfinite(total):
        raise FloatingPointError("a loss is not finite")
    return {"train_loss": total} | row
