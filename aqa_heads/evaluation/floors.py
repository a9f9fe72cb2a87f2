"""What a score predictor reaches that has never seen a video: the numbers beside which every result is read.

Also how far one judge gets, which has seen everything.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from aqa_cache.annotations import Sample

from .metrics import mean_absolute_error, relative_l2, spearman


def score_floors(train: Sequence[Sample], test: Sequence[Sample]) -> dict[str, dict[str, Any] | None]:
    """Metrics on `test` of five predictors made from `train` without features.

    - `training_mean`: the mean training score for every sample; it ranks nothing, so its Spearman is NaN.
    - `difficulty`: Spearman of the difficulty alone; the errors are those of a least-squares line from
      difficulty to score, fitted on the training samples. On the test samples whose difficulty is known
      (`n`).
    - `group_mean`: the mean training score of the sample's group. Only where every test group occurs in
      training.
    - `difficulty_group_mean`: difficulty x the mean of score / difficulty over the group's training samples.
      On the test samples whose difficulty is known; only where each of their groups has training samples with
      a difficulty.
    - `class_mean`: the mean training score of the sample's combination of classes (a missing label is one of
      its own). For a combination that training lacks, the mean training score; `n_unseen` says for how many.

    Returns:
        Per floor its spearman, relative_l2, mae and n, undefined values as NaN; None where the floor cannot
        be had.
    """
    train = [sample for sample in train if sample.final_score is not None]
    test = [sample for sample in test if sample.final_score is not None]
    made = {
        "training_mean": _mean_floor,
        "difficulty": _difficulty_floor,
        "group_mean": _group_floor,
        "difficulty_group_mean": _difficulty_group_floor,
        "class_mean": _class_floor,
    }
    return {name: floor(train, test) if train and test else None for name, floor in made.items()}


def judge_ceiling(samples: Sequence[Sample]) -> dict[str, Any] | None:
    """How well one judge agrees with the others: what a person who sees the action reaches.

    For each judge, over the samples that this and at least one other judge marked: Spearman between this
    judge's mark and the mean of the others' marks, both multiplied by the difficulty. The ceiling is the mean
    over judges. Judges are the columns `judge_1` …, who may be other persons in another competition.

    It is no hard limit: the final score is of several judges, and so more reliable than the one judge it is
    held against; a model can come nearer to it than each of them does.

    Returns:
        `spearman`, `lowest` and `highest` of a judge, `judges`, `n` (samples that some judge counted on) and
        `times_difficulty`: false where a marked sample has no difficulty; then marks alone are compared, for
        all. None where no two judges marked the same samples, or none of their correlations is defined.
    """
    marked = [sample for sample in samples if sum(map(math.isfinite, sample.judges)) > 1]
    if not marked:
        return None
    marks = np.full((len(marked), max(len(sample.judges) for sample in marked)), math.nan)
    for row, sample in zip(marks, marked, strict=True):
        row[: len(sample.judges)] = sample.judges
    times_difficulty = all(sample.difficulty is not None for sample in marked)
    factor = np.array([sample.difficulty if times_difficulty else 1.0 for sample in marked])
    found = []
    for judge in range(marks.shape[1]):
        own = np.isfinite(marks[:, judge])
        others = np.nanmean(np.delete(marks[own], judge, axis=1), axis=1)
        found.append(spearman(marks[own, judge] * factor[own], others * factor[own]))
    found = [rho for rho in found if math.isfinite(rho)]
    if not found:
        return None
    return {
        "spearman": float(np.mean(found)),
        "lowest": min(found),
        "highest": max(found),
        "judges": len(found),
        "n": len(marked),
        "times_difficulty": times_difficulty,
    }


def _mean_floor(train: Sequence[Sample], test: Sequence[Sample]) -> dict[str, Any]:
    return _metrics([np.mean([sample.final_score for sample in train])] * len(test), test)


def _difficulty_floor(train: Sequence[Sample], test: Sequence[Sample]) -> dict[str, Any] | None:
    train = [sample for sample in train if sample.difficulty is not None]
    test = [sample for sample in test if sample.difficulty is not None]
    if not test or len({sample.difficulty for sample in train}) < 2:
        return None
    slope, intercept = np.polyfit(
        [sample.difficulty for sample in train], [sample.final_score for sample in train], 1
    )
    difficulty = np.array([sample.difficulty for sample in test])
    floor = _metrics(intercept + slope * difficulty, test)
    floor["spearman"] = spearman(difficulty, [sample.final_score for sample in test])
    return floor


def _group_floor(train: Sequence[Sample], test: Sequence[Sample]) -> dict[str, Any] | None:
    scores = defaultdict(list)
    for sample in train:
        scores[sample.group].append(sample.final_score)
    if any(sample.group is None or sample.group not in scores for sample in test):
        return None
    means = _means(scores)
    return _metrics([means[sample.group] for sample in test], test)


def _difficulty_group_floor(train: Sequence[Sample], test: Sequence[Sample]) -> dict[str, Any] | None:
    execution = defaultdict(list)
    for sample in train:
        if sample.difficulty:
            execution[sample.group].append(sample.final_score / sample.difficulty)
    test = [sample for sample in test if sample.difficulty is not None]
    if not test or any(sample.group is None or sample.group not in execution for sample in test):
        return None
    means = _means(execution)
    return _metrics([sample.difficulty * means[sample.group] for sample in test], test)


def _class_floor(train: Sequence[Sample], test: Sequence[Sample]) -> dict[str, Any] | None:
    if not any(sample.classes for sample in train) or not any(sample.classes for sample in test):
        return None
    scores = defaultdict(list)
    for sample in train:
        scores[_combination(sample)].append(sample.final_score)
    mean, means = np.mean([sample.final_score for sample in train]), _means(scores)
    combinations = [_combination(sample) for sample in test]
    unseen = sum(combination not in means for combination in combinations)
    predicted = [means.get(combination, mean) for combination in combinations]
    return {**_metrics(predicted, test), "n_unseen": unseen}


def _means(values: Mapping[Hashable, Sequence[float]]) -> dict[Hashable, float]:
    """The mean of each entry, computed once: a test set may ask for the same one thousands of times."""
    return {key: np.mean(entry) for key, entry in values.items()}


def _combination(sample: Sample) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(sample.classes.items()))


def _metrics(predicted: Sequence[float], test: Sequence[Sample]) -> dict[str, Any]:
    true = [sample.final_score for sample in test]
    return {
        "spearman": spearman(predicted, true),
        "relative_l2": relative_l2(predicted, true),
        "mae": mean_absolute_error(predicted, true),
        "n": len(true),
    }
