import math

import pytest

from aqa_cache.annotations import Sample
from aqa_cache.datasets.mtl_aqa import convert
from aqa_cache.datasets.mtl_aqa_release import find_release
from aqa_heads.evaluation.floors import judge_ceiling, score_floors


def dive(score, difficulty=None, group=None, judges=(), **classes):
    return Sample(
        "x", "x.mp4", final_score=score, difficulty=difficulty, group=group, judges=judges, classes=classes
    )


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
    assert (
        floors["difficulty"] is None and floors["group_mean"] is None and floors["training_mean"]["mae"] == 5
    )
    assert set(score_floors([dive(10)], []).values()) == {None}
    assert set(score_floors([dive(None)], [dive(3)]).values()) == {None}
    assert score_floors([dive(10, 1), dive(20, 2)], [dive(10), dive(20)])["group_mean"] is None


def test_difficulty_group_mean_by_hand():
    # Executions 10 and 20 in group a, 5 in b; the dive without a difficulty says nothing of its group.
    train = [dive(10, 1, "a"), dive(40, 2, "a"), dive(15, 3, "b"), dive(99, None, "b")]
    test = [dive(31, 2, "a"), dive(10, 4, "b"), dive(12, 1, "a"), dive(50, None, "c")]
    floor = score_floors(train, test)["difficulty_group_mean"]
    assert floor["n"] == 3 and floor["mae"] == pytest.approx((1 + 10 + 3) / 3)  # 30, 20 and 15 predicted
    assert floor["spearman"] == pytest.approx(0.5)
    assert score_floors(train, [*test, dive(50, 2, "c")])["difficulty_group_mean"] is None
    assert (
        score_floors([dive(5, None, "a"), dive(6, 1, "b")], [dive(5, 1, "a")])["difficulty_group_mean"]
        is None
    )


def test_class_mean_by_hand():
    train = [dive(10, turn="1"), dive(20, turn="1"), dive(60, turn="1", twist="yes")]
    test = [dive(16, turn="1"), dive(50, turn="1", twist="yes"), dive(33, turn="2")]
    floor = score_floors(train, test)["class_mean"]
    # 15, 60, and 30 for the unseen
    assert floor["n_unseen"] == 1 and floor["mae"] == pytest.approx((1 + 10 + 3) / 3)
    assert score_floors([dive(10), dive(20)], test)["class_mean"] is None
    assert score_floors(train, [dive(10)])["class_mean"] is None


def test_ceiling_by_hand():
    samples = [dive(0, 2, judges=(1, 1)), dive(0, 2, judges=(2, 3)), dive(0, 2, judges=(3, 2)), dive(0)]
    ceiling = judge_ceiling(samples)
    # Of two judges, each is held against the other: ranks 1 2 3 and 1 3 2.
    assert ceiling["spearman"] == ceiling["lowest"] == ceiling["highest"] == pytest.approx(0.5)
    assert (ceiling["judges"], ceiling["n"], ceiling["times_difficulty"]) == (2, 3, True)


def test_ceiling_where_marks_are_missing_by_hand():
    nan = math.nan
    marks = [(1, nan, 1), (2, 5, 3), (3, 2, 2), (9, nan, nan)]
    ceiling = judge_ceiling([dive(0, judges=judges) for judges in marks])
    # The first judge's 1 2 3 against means 1 4 2; the third's 1 3 2 against 1 3.5 2.5; the second's 5 2
    # against 2.5 2.5, which is not defined.
    assert (ceiling["lowest"], ceiling["highest"]) == pytest.approx((0.5, 1.0))
    assert ceiling["spearman"] == pytest.approx(0.75)
    assert (ceiling["judges"], ceiling["n"], ceiling["times_difficulty"]) == (2, 3, False)


def test_ceiling_multiplies_with_the_difficulty_only_where_all_have_one():
    samples = [dive(0, 1, judges=(5, 6)), dive(0, 10, judges=(4, 4)), dive(0, 3, judges=(6, 5))]
    assert judge_ceiling(samples)["spearman"] == pytest.approx(1.0)  # 5 40 18 and 6 40 15
    without = judge_ceiling([*samples, dive(0, None, judges=(7, 3))])
    # 2 1 3 4 and 4 2 3 1
    assert not without["times_difficulty"] and without["spearman"] == pytest.approx(-0.4)


def test_no_ceiling_without_two_judges():
    assert judge_ceiling([]) is judge_ceiling([dive(0, judges=(1,)), dive(0, judges=(2, math.nan))]) is None
    assert judge_ceiling([dive(0, judges=(1, 1)), dive(0, judges=(1, 1))]) is None


def test_real_floors_are_the_known_ones(mtl_aqa):
    samples = convert(find_release(mtl_aqa)).samples
    floors = score_floors(
        *([sample for sample in samples if sample.split == side] for side in ("train", "test"))
    )
    known = {"difficulty": 0.560, "group_mean": 0.637, "difficulty_group_mean": 0.668, "class_mean": 0.596}
    assert {name: round(floors[name]["spearman"], 3) for name in known} == known
    assert {floor["n"] for floor in floors.values()} == {353} and floors["class_mean"]["n_unseen"] == 0
