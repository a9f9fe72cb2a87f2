"""What a score predictor reaches that has never seen a video: the numbers beside which every result is read."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from aqa_cache.annotations import Sample

from .metrics import mean_absolute_error, relative_l2, spearman


def score_floors(train: Sequence[Sample], test: Sequence[Sample]) -> dict[str, dict | None]:
    """Metrics on `test` of three predictors made from `train` without features.

    - `training_mean`: the mean training score for every sample; it ranks nothing, so its Spearman is None.
    - `difficulty`: Spearman of the difficulty alone; the errors are those of a least-squares line from difficulty to
      score, fitted on the training samples. On the test samples whose difficulty is known (`n`).
    - `group_mean`: the mean training score of the sample's group. Only where every test group occurs in training.

    Returns:
        Per floor its spearman, relative_l2, mae and n, undefined values as NaN; None where the floor cannot be had.
    """
    train = [sample for sample in train if sample.final_score is not None]
    test = [sample for sample in test if sample.final_score is not None]
    if not train or not test:
        return {"training_mean": None, "difficulty": None, "group_mean": None}
    mean = np.mean([sample.final_score for sample in train])
    return {
        "training_mean": _metrics([mean] * len(test), test),
        "difficulty": _difficulty_floor(train, test),
        "group_mean": _group_floor(train, test),
    }


def _difficulty_floor(train: Sequence[Sample], test: Sequence[Sample]) -> dict | None:
    train = [sample for sample in train if sample.difficulty is not None]
    test = [sample for sample in test if sample.difficulty is not None]
    if not test or len({sample.difficulty for sample in train}) < 2:
        return None
    slope, intercept = np.polyfit([sample.difficulty for sample in train], [sample.final_score for sample in train], 1)
    difficulty = np.array([sample.difficulty for sample in test])
    floor = _metrics(intercept + slope * difficulty, test)
    floor["spearman"] = spearman(difficulty, [sample.final_score for sample in test])
    return floor


def _group_floor(train: Sequence[Sample], test: Sequence[Sample]) -> dict | None:
    scores = defaultdict(list)
    for sample in train:
        scores[sample.group].append(sample.final_score)
    if any(sample.group is None or sample.group not in scores for sample in test):
        return None
    return _metrics([np.mean(scores[sample.group]) for sample in test], test)


def _metrics(predicted: Sequence[float], test: Sequence[Sample]) -> dict:
    true = [sample.final_score for sample in test]
    return {
        "spearman": spearman(predicted, true),
        "relative_l2": relative_l2(predicted, true),
        "mae": mean_absolute_error(predicted, true),
        "n": len(true),
    }
