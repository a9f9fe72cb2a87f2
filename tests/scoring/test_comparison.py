"""Two takes: the difference adds up, and clips are set beside each other by their place."""

import numpy as np
import pytest

from aqa_cache.errors import AqaError
from aqa_heads.evaluation.calibration import Calibration
from aqa_heads.scoring.comparison import compare
from aqa_heads.scoring.results import ClipContribution, Contributions, Score


def take(name, *points, rest=10.0):
    clips = tuple(ClipContribution(place, 16 * place, None, one) for place, one in enumerate(points))
    made = Contributions(clips, rest, True)
    return Score(name, f"{name}.mp4", (0, 16 * len(points)), sum(points) + rest, contributions=made)


def known(size=1.0):
    signed = size * np.random.default_rng(0).normal(size=40)
    return Calibration(np.abs(signed), signed=signed)


def test_the_parts_and_the_remainder_add_up():
    for first, second in (((3, 1, -2), (1, 1, 1)), ((3, 1, -2, 5, 2), (1, 4)), ((2,), (1, 2, 3, 4))):
        made = compare(take("a", *first), take("b", *second, rest=4.0), known())
        assert made.difference == pytest.approx(sum(first) - sum(second) + 6)
        assert sum(part.difference for part in made.parts) + made.remainder == pytest.approx(made.difference)
        assert len(made.parts) == min(len(first), len(second))
        for clips, number in (("first_clips", len(first)), ("second_clips", len(second))):
            assert [clip for part in made.parts for clip in getattr(part, clips)] == list(range(number))


def test_it_is_said_whether_it_is_more_than_noise():
    noisy, clear = (compare(take("a", 5.0), take("b", 1.0), known(size)) for size in (10.0, 0.1))
    assert not noisy.clear and "can be noise" in noisy.in_words and noisy.interval[0] < 0 < noisy.interval[1]
    assert clear.clear and "more than noise: up to 5% of equally good" in clear.in_words
    without = compare(take("a", 5.0), take("b", 1.0), Calibration(lacking="no interval: why"))
    assert "cannot be said" in without.in_words and without.note == "no interval: why"


def test_a_run_without_scores_compares_nothing():
    with pytest.raises(AqaError, match="predicts no score"):
        compare(Score("a", "a.mp4", None, None), take("b", 1.0), known())
