"""A test part for samples that have no split: whole groups, with scores like those of the others."""

import bisect
from collections.abc import Mapping, Sequence
from random import Random

from aqa_cache.annotations import Sample

from ..errors import TrainingError
from .leaks import Frames
from .units import GROUP, few_groups, has_score, units_of

_DRAWS = 500
_SIZE_WEIGHT = 2.0  # of a test part of twice the size asked for, against scores that do not overlap at all


def draw_test(
    samples: Sequence[Sample], spans: Mapping[str, Frames], share: float, seed: int
) -> tuple[set[int], str | None]:
    """Who is tested, as indices, and where groups could not stay whole, why.

    Of many draws of whole groups, the one whose size is nearest to the share and whose scores are spread most
    like those of the others (Kolmogorov's distance). The order of the samples has no influence.

    Args:
        share: of the samples, between 0 and 1.

    Raises:
        TrainingError: a share out of range, or samples that all share frames.
    """
    if not 0 < share < 1:
        raise TrainingError(f"the share to test is {share}, expected a number between 0 and 1")
    order = sorted(range(len(samples)), key=lambda index: samples[index].sample_id)
    units = units_of(samples, spans, order, (GROUP,))
    few = few_groups(samples, units, order, 2)
    if few:
        units = units_of(samples, spans, order)
        if len(units) < 2:
            raise TrainingError(
                f"the {len(samples)} samples share frames with each other, so none can be tested apart; fill"
                " in start_frame and end_frame"
            )
    random = Random(f"test {seed}")
    wanted = share * len(samples)
    best: tuple[float, set[int]] | None = None
    for _ in range(_DRAWS):
        random.shuffle(units)
        drawn: set[int] = set()
        for unit in units:
            if abs(len(drawn) + len(unit) - wanted) < abs(len(drawn) - wanted):
                drawn.update(unit)
        if not drawn or len(drawn) == len(samples):
            smallest = min(units, key=len)
            drawn = set(smallest) if not drawn else drawn - set(smallest)
        away = _SIZE_WEIGHT * abs(len(drawn) - wanted) / wanted + _apart(samples, drawn)
        if best is None or away < best[0]:
            best = away, drawn
    assert best is not None
    return best[1], few


def _apart(samples: Sequence[Sample], drawn: set[int]) -> float:
    """How far the scores of the two sides are from each other: 0 the same, 1 without overlap."""
    sides: tuple[list[float], list[float]] = ([], [])
    for index, sample in enumerate(samples):
        if has_score(sample):
            sides[index in drawn].append(sample.final_score or 0.0)
    rest, test = sorted(sides[0]), sorted(sides[1])
    if not rest or not test:
        return 1.0 if rest or test else 0.0
    return max(
        abs(bisect.bisect_right(rest, score) / len(rest) - bisect.bisect_right(test, score) / len(test))
        for score in (*rest, *test)
    )
