"""Scores that models predicted which did not learn from the sample: the table `out_of_fold.csv`."""

from collections.abc import Sequence
from dataclasses import astuple, fields
from typing import TYPE_CHECKING

import numpy as np

from ...data.training_data import Split, TrainingData
from ...evaluation.predictions import Predictions
from ...runs.format import HeldOut
from ..epoch_results import scored

if TYPE_CHECKING:
    from .choice import Choice


def held_out_rows(split: Split, predicted: Sequence[float], fold: int, chose: bool) -> list[HeldOut]:
    """Of the samples of a split that have a true score and can have a predicted one, which `predicted` has
    (`epoch_results.scored`); empty where scores are not predicted.
    """
    if not len(predicted):
        return []
    known = [
        sample
        for sample, factor in zip(split.samples, split.factor, strict=True)
        if sample.final_score is not None and not np.isnan(factor)
    ]
    return [
        HeldOut(sample.sample_id, fold, float(sample.final_score), float(score), chose)
        for sample, score in zip(known, predicted, strict=True)
    ]


def held_out_of(choice: "Choice", predictions: Predictions, data: TrainingData) -> list[HeldOut]:
    """Of one held-out part, by the model that was chosen on it."""
    chose = any(part.epoch is not None for part in choice.parts if part.name != "captioner")
    return held_out_rows(data.val, scored(predictions, data.val)[0], 1, chose)


def held_out_table(rows: Sequence[HeldOut]) -> dict[str, list]:
    """The columns of `out_of_fold.csv`, by fold and then in the cache's order."""
    said = [(*astuple(row)[:-1], int(row.chose_epoch)) for row in rows]
    return {field.name: [row[place] for row in said] for place, field in enumerate(fields(HeldOut))}
