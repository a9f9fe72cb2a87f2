"""MUSDL's head."""

import math

import pytest
import torch
from head_inputs import encoded, known, prepared, scores

from aqa_cache.annotations import Sample
from aqa_heads.errors import TrainingError
from aqa_heads.networks.score_heads.judges import JudgesHead
from aqa_heads.settings.panel_rule import PanelRule

NAN = math.nan
SEVEN = [6.0, 9.5, 7.0, 7.5, 8.0, 5.0, 7.5]  # the middle three: 7, 7.5, 7.5
DIFFICULTY = torch.tensor([2.0, 3.0, 2.5, 3.5])


def panels(*lacking):
    """Marks of seven judges on four dives, and the scores that the rule makes of them."""
    marks = torch.tensor(SEVEN) + torch.tensor([-1.0, -0.5, 0.0, 0.5]).unsqueeze(1)
    points = marks.sort(1).values[:, 2:5].sum(1) * DIFFICULTY
    for place in lacking:
        marks[place] = NAN
    return known(4, marks=marks, difficulty=DIFFICULTY), points


def says(head, marks):
    """Have the head say these marks of every sample, each surely."""
    with torch.no_grad():
        for layers, mark in zip(head.layers, marks, strict=True):
            layers[-1].weight.zero_()
            layers[-1].bias.copy_(-((head.bins - mark) / (head.bins[1] - head.bins[0])).square())


def head_of(given, points, columns=range(7), **options):
    return prepared(JudgesHead, points, given=given, columns=list(columns), **options)


def test_points_are_the_rule_of_the_marks_times_the_difficulty():
    given, points = panels()
    head = head_of(given, points)
    says(head, SEVEN)
    said = head.predict(encoded(4), given)
    torch.testing.assert_close(said.points, 22.0 * DIFFICULTY.double(), rtol=0, atol=1e-3)
    assert not said.fallen_back.any() and head.notes == [
        "scores are the judges' times the known difficulty: compare only with runs that know it too"
    ]
    for rule, expected in (("mean", sum(SEVEN) / 7), ("middle-1", 7.5), ("middle-7", sum(SEVEN))):
        of_rule = torch.tensor([PanelRule(rule).score(row) for row in given.marks.tolist()]) * DIFFICULTY
        other = head_of(given, of_rule, panel_rule=rule)
        says(other, SEVEN)
        said = other.predict(encoded(4), given).points
        torch.testing.assert_close(said, expected * DIFFICULTY.double(), rtol=0, atol=1e-3)
    assert "may follow another rule than the sum of the middle three" in head_of(given, of_rule).notes[-1]


def test_where_scores_are_of_the_execution_nothing_is_multiplied():
    given, points = panels()
    head = head_of(given, points / DIFFICULTY)
    says(head, SEVEN)
    said = head.predict(encoded(4), given)
    torch.testing.assert_close(said.points, torch.full((4,), 22.0).double(), rtol=0, atol=1e-4)
    assert head.notes == [] and said.fallen_back is None


def test_an_unknown_difficulty_falls_back_to_that_of_training_and_is_told():
    given, points = panels()
    head = head_of(given, points)
    tested = known(4, difficulty=torch.tensor([2.0, NAN, 3.0, NAN]))
    said = head.predict(encoded(4), tested)
    assert said.fallen_back.tolist() == [False, True, False, True]
    of_usual = head.predict(encoded(4), known(4, difficulty=torch.full((4,), 2.75))).points
    torch.testing.assert_close(said.points[[1, 3]], of_usual[[1, 3]])


def test_marks_that_are_not_there_are_in_no_loss_and_are_told():
    given, points = panels((1, slice(None)), (2, 3))
    head = head_of(given, points)
    assert head.notes[0].startswith("1 of 4 training samples with a score have no judges' marks")
    assert head.notes[1].startswith("1 of 4 training samples have not all 7 judges' marks")
    loss = head.loss(encoded(4), given, points)
    assert loss[1] == 0 and (loss[[0, 2, 3]] > 0).all()
    loss.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())
    # In a batch whose samples have fewer marks there are fewer columns.
    fewer = known(4, marks=given.marks[:, :3], difficulty=DIFFICULTY)
    assert (head.loss(encoded(4), fewer, points)[[0, 2, 3]] < loss[[0, 2, 3]]).all()


def test_columns_without_marks_are_no_judges():
    samples = [Sample("a", "v", judges=(5.0, NAN, 6.0)), Sample("b", "v", judges=(NAN, NAN, 7.0, 8.0))]
    assert JudgesHead.sized_by(samples) == {"columns": [0, 2, 3]}
    with pytest.raises(TrainingError, match="needs judges' marks, which no training sample has"):
        JudgesHead.sized_by([Sample("a", "v")])


def test_panels_that_no_rule_is_known_for_are_an_error():
    given, points = panels()
    with pytest.raises(TrainingError, match="marks in 6 judge columns, of which the sum of the middle three"):
        head_of(given, points, range(6))
    with pytest.raises(TrainingError, match="the panel rule middle-3 makes no score; give another"):
        head_of(given, points, range(6), panel_rule="middle-3")
    assert head_of(given, points, range(6), panel_rule="middle-4").counted == 4


def test_the_spread_is_of_the_marks_that_count():
    given, points = panels()
    head = head_of(given, scores(4))
    with torch.no_grad():
        said = head.predict(encoded(4), given)
        variances = head(encoded(4)).double().exp()
        mean = (variances * head.bins).sum(2)
        variances = (variances * (head.bins - mean.unsqueeze(2)).square()).sum(2)
        middle = mean.argsort(1)[:, 2:5]
        expected = variances.gather(1, middle).sum(1).sqrt() * (
            DIFFICULTY.double() if head.times_difficulty else 1
        )
    torch.testing.assert_close(said.spread, expected)
