import math

import pytest

from aqa_cache.annotations import Sample
from aqa_heads.floors import score_floors


def dive(score, difficulty=None, group=None):
    return Sample("x", "x.mp4", final_score=score, difficulty=difficulty, group=group)


def test_floors_by_hand():
    train = [dive(10, 1, "a"), dive(20, 2, "a"), dive(30, 3, "b"), dive(None, 9, "b")]
    test = [dive(20, 2, "a"), dive(30, 3, "b"), dive(10, 4, "b"), dive(None, 1, "c")]
    floors = score_floors(train, test)
    assert floors["training_mean"]["mae"] == pytest.approx((0 + 10 + 10) / 3)
    assert floors["training_mean"]["relative_l2"] == pytest.approx(100 * (0 + 0.25 + 0.25) / 3)
    assert math.isnan(floors["training_mean"]["spearman"]) and floors["training_mean"]["n"] == 3
    # The line is 10 * difficulty: 20, 30 and 40.
    assert floors["difficulty"]["mae"] == pytest.approx(30 / 3)
    assert floors["difficulty"]["spearman"] == pytest.approx(-0.5)
    # Group means 15 and 30.
    assert floors["group_mean"]["mae"] == pytest.approx((5 + 0 + 20) / 3)


def test_difficulty_floor_ranks_by_difficulty_even_where_the_line_falls():
    train, test = [dive(30, 1), dive(10, 3)], [dive(10, 1), dive(20, 2)]
    assert score_floors(train, test)["difficulty"]["spearman"] == pytest.approx(1.0)


def test_floors_that_cannot_be_had_are_none():
    floors = score_floors([dive(10, 2, "a"), dive(20, 2, "a")], [dive(10, 1, "b"), dive(20, 2, "a")])
    assert floors["difficulty"] is None and floors["group_mean"] is None and floors["training_mean"]["mae"] == 5
    assert set(score_floors([dive(10)], []).values()) == {None}
    assert set(score_floors([dive(None)], [dive(3)]).values()) == {None}
    assert score_floors([dive(10, 1), dive(20, 2)], [dive(10), dive(20)])["group_mean"] is None
