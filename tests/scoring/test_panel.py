"""Laws of what is said of a panel's marks beside a predicted score."""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest

from aqa_heads.scoring.panel import apart, find_rules, panel_of
from aqa_heads.settings.panel_rule import PanelRule

DIVE = (6.5, 9.0, 7.0, 8.0, 7.5, 8.5, 5.0)


@dataclass
class Judged:
    judges: tuple[float, ...] = ()
    final_score: float | None = None
    difficulty: float | None = None


def panels(rule, size, times, n=20, seed=0):
    """Samples that are scored by a rule."""
    rng = np.random.default_rng(seed)
    marks = rng.integers(8, 20, (n, size)) / 2
    factors = rng.integers(15, 40, n) / 10
    scores = [rule.score(row) * (factor if times else 1) for row, factor in zip(marks.tolist(), factors)]
    return [
        Judged(tuple(row), round(score, 2), factor)
        for row, score, factor in zip(marks.tolist(), scores, factors.tolist())
    ]


@pytest.mark.parametrize(
    ("asked", "size", "times"),
    [*product((None, "mean"), (3, 5, 7), (True, False)), ("middle-1", 5, True), ("middle-5", 9, False)],
)
def test_the_rule_is_found_by_the_scores_that_follow_it(asked, size, times):
    samples, rule = panels(PanelRule(asked), size, times), PanelRule(asked)
    found = find_rules(samples)[size]
    for sample in panels(rule, size, times, seed=1):
        assert found.points(sample.judges, sample.difficulty) == pytest.approx(sample.final_score, abs=0.01)
    assert ("mean" in str(found)) == (asked == "mean") and ("difficulty" in str(found)) == times


def test_scores_that_follow_no_rule_have_none():
    samples = panels(PanelRule(), 7, True)
    wrong = [Judged(one.judges, one.final_score + 1, one.difficulty) for one in samples]
    assert find_rules(wrong) == {} and find_rules([]) == {} and find_rules([Judged(DIVE)]) == {}
    assert find_rules(samples[:18] + wrong[:2]).keys() == {7}
    assert find_rules(samples[:17] + wrong[:3]) == {}
    sizes = find_rules([*samples, *panels(PanelRule(), 5, True)])
    assert [str(sizes[size]) for size in (5, 7)] == [
        f"the sum of the middle 3 of {size} marks, times the difficulty" for size in (5, 7)
    ]


def test_samples_without_a_difficulty_say_nothing_of_a_rule_that_asks_for_it():
    """As the training samples of runs that kept none."""
    samples = panels(PanelRule(), 7, True)
    without = [Judged(one.judges, one.final_score) for one in samples[1:]]
    assert find_rules(without) == {}
    assert find_rules([*without, samples[0]])[7].times_difficulty


def test_a_panel_by_hand():
    rules = find_rules(panels(PanelRule(), 7, True))
    panel = panel_of(Judged(DIVE, difficulty=3.2), 60.0, rules, usual=[1.0, 2.0, 2.5, 3.0])
    assert panel.points == pytest.approx(72.0) and panel.predicted_mark == pytest.approx(60 / 3.2 / 3)
    judge = panel.furthest_judge
    others = (6.5 + 9 + 7 + 8 + 7.5 + 8.5) / 6
    assert (judge.number, judge.mark) == (7, 5.0) and judge.deviation == pytest.approx(5 - others)
    # 6.5, 7, 7.5, 7.75, 8, 8.5, 9: the middle three are 7.5, 7.75 and 8.
    assert judge.points_without == pytest.approx(3.2 * (7.5 + others + 8))
    assert panel.share_as_far == pytest.approx(2 / 5)  # 3.0 and itself
    mean = panel_of(Judged((7.0, 7.0, 8.5)), 8.0, find_rules(panels(PanelRule("mean"), 3, False)))
    assert mean.furthest_judge.points_without == 7.0 and mean.predicted_mark == 8.0
    assert mean.share_as_far is None


def test_what_is_not_known_is_left_out():
    unknown = panel_of(Judged(DIVE), 60.0, {})
    assert unknown.rule == "" and unknown.points is None and unknown.predicted_mark is None
    assert unknown.furthest == 7 and unknown.furthest_judge.points_without is None
    rules = find_rules(panels(PanelRule(), 7, True))
    without = panel_of(Judged(DIVE), 60.0, rules)
    assert without.points is None and without.rule and without.predicted_mark is None
    assert panel_of(Judged(DIVE, difficulty=2.0), None, rules).predicted_mark is None
    assert panel_of(Judged((7.0, math.nan)), 60.0, rules) is None and panel_of(Judged(), 60.0, rules) is None


def test_judges_keep_their_numbers_where_one_gave_no_mark_and_none_is_furthest_where_all_agree():
    rules = find_rules(panels(PanelRule(), 3, False))
    panel = panel_of(Judged((math.nan, 7.0, 7.0, 4.0)), 18.0, rules)
    assert [judge.number for judge in panel.judges] == [2, 3, 4] and panel.furthest == 4
    assert panel.points == 18.0 and panel.furthest_judge.points_without == 21.0
    assert panel_of(Judged((7.0, 7.0, 7.0)), 18.0, rules).furthest is None


def test_a_deviation_is_that_from_the_mean_of_the_others():
    marks = np.random.default_rng(0).uniform(0, 10, 7)
    expected = [mark - np.delete(marks, place).mean() for place, mark in enumerate(marks)]
    np.testing.assert_allclose(apart(marks), expected)
