"""Which scores can be given at all: the ends of the scale, asked for or in the annotations."""

import math
from collections.abc import Sequence

from aqa_cache.annotations import Sample

from ..errors import TrainingError

COLUMNS = ("score_min", "score_max")


def score_bounds(
    samples: Sequence[Sample], asked: tuple[float, float] | None
) -> tuple[tuple[float, float] | None, list[str]]:
    """Lowest and highest score there can be, in points, and what is to be said of it.

    Where nothing is asked for, the lowest `score_min` and the highest `score_max` of the samples that have a
    score, if all of them have both; never what training happens to hold.

    Raises:
        TrainingError: a score lies beyond them, or a cell of these columns is no number.
    """
    scored = [sample for sample in samples if sample.final_score is not None]
    if asked is not None:
        low, high = map(float, asked)
        for sample in scored:
            _check(sample, low, high, "score_range")
        return (low, high), []
    having = [sample for sample in scored if any(name in sample.extra for name in COLUMNS)]
    if not having:
        return None, []
    lacking = [sample for sample in scored if not all(name in sample.extra for name in COLUMNS)]
    if lacking:
        return None, [
            f"{len(lacking)} of {len(scored)} samples with a score lack {' or '.join(COLUMNS)}, so the scale"
            f" is not known and intervals are not clipped to it (first: {lacking[0].sample_id})"
        ]
    ends = []
    for sample in scored:
        low, high = (_number(sample, name) for name in COLUMNS)
        if low >= high:
            raise TrainingError(
                f"{sample.sample_id}: score_min is {low:g} and score_max {high:g}, expected a lower and a"
                " higher number; correct the annotations and extract again"
            )
        _check(sample, low, high, "its score_min and score_max")
        ends.append((low, high))
    return (min(low for low, _ in ends), max(high for _, high in ends)), []


def _number(sample: Sample, name: str) -> float:
    try:
        value = float(sample.extra[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise TrainingError(
            f"{sample.sample_id}: {name} is {sample.extra[name]!r}, expected a finite number; correct the"
            " annotations and extract again"
        )
    return value


def _check(sample: Sample, low: float, high: float, what: str) -> None:
    if not low <= sample.final_score <= high:
        raise TrainingError(
            f"{sample.sample_id}: final_score is {sample.final_score:g}, beyond {what}, {low:g} to {high:g};"
            " correct the score, or give the scale that it is on"
        )
