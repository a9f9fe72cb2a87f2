"""Scores that models predicted which did not learn from the sample: the table `out_of_fold.csv`."""

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from ...data.batches import Split
from ...data.training_data import TrainingData
from ...data.units import group_of
from ...evaluation.predictions import Predictions
from ...runs.tables import HeldOut
from ..epoch_results import scored

if TYPE_CHECKING:
    from .choice import Choice


def held_out_rows(
    data: TrainingData,
    predicted: Sequence[float],
    fold: int,
    chose: bool,
    spread: Sequence[float] | None = None,
) -> list[HeldOut]:
    """Of the validation samples that have a true score and can have a predicted one, which `predicted` has
    (`epoch_results.scored`); empty where scores are not predicted.

    Args:
        spread: of each score in `predicted`, where the score head has one.
    """
    if not len(predicted):
        return []
    known = [
        sample
        for sample, factor in zip(data.val.samples, data.val.factor, strict=True)
        if sample.final_score is not None and not np.isnan(factor)
    ]
    role = data.choice.role
    spreads = [None] * len(known) if spread is None else [float(value) for value in spread]
    return [
        HeldOut(s.sample_id, fold, float(s.final_score), float(score), chose, group_of(s, role), each)
        for s, score, each in zip(known, predicted, spreads, strict=True)
    ]


def spread_of_scored(predictions: Predictions, split: Split) -> np.ndarray | None:
    """The spreads of the scores that `epoch_results.scored` gives."""
    if predictions.score is None or predictions.spread is None:
        return None
    true = np.array([sample.final_score is not None for sample in split.samples])
    return predictions.spread[true & ~np.isnan(split.factor)]


def held_out_of(choice: "Choice", predictions: Predictions, data: TrainingData) -> list[HeldOut]:
    """Of one held-out part, by the model that was chosen on it."""
    chose = any(part.epoch is not None for part in choice.parts if part.name != "captioner")
    spread = spread_of_scored(predictions, data.val)
    return held_out_rows(data, scored(predictions, data.val)[0], 1, chose, spread)


def held_out_table(rows: Sequence[HeldOut]) -> dict[str, list]:
    """The columns of `out_of_fold.csv`, by fold and then in the cache's order."""
    columns = {field.name: [getattr(row, field.name) for row in rows] for field in fields(HeldOut)}
    return columns | {"chose_epoch": [int(chose) for chose in columns["chose_epoch"]]}
