"""A panel's marks beside a predicted score, and the judge who is furthest from the others."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ..settings.panel_rule import MEAN, RULE_HOLDS, TOLERANCE, PanelRule, given
from .results import Judge, Panel, Score
from .trained import Trained, learned_by


class Judged(Protocol):
    """What has marks: a sample, or a training sample."""

    @property
    def judges(self) -> Sequence[float]: ...
    @property
    def difficulty(self) -> float | None: ...
    @property
    def final_score(self) -> float | None: ...


@dataclass(frozen=True)
class ScoringRule:
    """How the marks of a panel of this size become a score.

    Args:
        counted: how many marks count, those in the middle.
        mean: whether their mean is taken, and not their sum.
        times_difficulty: whether that is multiplied by the difficulty.
    """

    judges: int
    counted: int
    mean: bool
    times_difficulty: bool

    def __str__(self) -> str:
        which = f"all {self.judges}" if self.counted == self.judges else f"the middle {self.counted}"
        of = "" if self.counted == self.judges else f" of {self.judges}"
        times = ", times the difficulty" if self.times_difficulty else ""
        return f"the {'mean' if self.mean else 'sum'} of {which}{of} marks{times}"

    def points(self, marks: Sequence[float], difficulty: float | None) -> float | None:
        """The score of a panel; None where the difficulty is needed and not known."""
        worth = self.worth(difficulty)
        if worth is None:
            return None
        dropped = (self.judges - self.counted) // 2
        return float(np.mean(sorted(marks)[dropped : self.judges - dropped]) * worth)

    def worth(self, difficulty: float | None) -> float | None:
        """How many points a mark makes that all judges give; None as in `points`."""
        if self.times_difficulty and difficulty is None:
            return None
        factor = float(difficulty or 1.0) if self.times_difficulty else 1.0
        return factor * (1 if self.mean else self.counted)


def find_rules(samples: Iterable[Judged], asked: str | None = None) -> dict[int, ScoringRule]:
    """By size of the panel the rule that the scores of samples follow, where 9 of 10 follow one: of those
    whose difficulty is known where the rule asks for it.

    Tried are the rule that is asked for, diving's (`PanelRule`), the mean and the sum of all marks or of
    those in the middle, each as it is and times the difficulty.

    Args:
        asked: `panel_rule` of the run, if it has one.
    """
    of_size: dict[int, list[Judged]] = {}
    for sample in samples:
        if sample.final_score is not None and len(given(sample.judges)) > 1:
            of_size.setdefault(len(given(sample.judges)), []).append(sample)
    found = {}
    for size, judged in of_size.items():
        holding = [
            (sum(known := _tried(rule, judged)), len(known), rule) for rule in _candidates(size, asked)
        ]
        holds, tried, rule = max(holding, key=lambda each: each[0])  # of equals the first
        if holds and holds >= RULE_HOLDS * tried:
            found[size] = rule
    return found


def _candidates(size: int, asked: str | None) -> list[ScoringRule]:
    rules = [(each.counted(size), each.asked == MEAN) for each in (PanelRule(asked), PanelRule())]
    rules += [(counted, mean) for counted in range(size, 0, -2) for mean in (False, True)]
    return [
        ScoringRule(size, counted, mean, times)
        for counted, mean in rules
        if counted is not None
        for times in (True, False)
    ]


def _tried(rule: ScoringRule, judged: Sequence[Judged]) -> list[bool]:
    """Whether scores follow a rule, of those that it can be tried with."""
    made = [(rule.points(given(one.judges), one.difficulty), one.final_score) for one in judged]
    return [
        abs(points - score) <= TOLERANCE + 1e-9
        for points, score in made
        if points is not None and score is not None
    ]


def apart(marks: Sequence[float]) -> np.ndarray:
    """How far each mark lies above the mean of the others.

    >>> apart([7.0, 7.0, 8.5]).tolist()
    [-0.75, -0.75, 1.5]
    """
    values = np.asarray(marks, float)
    return values - (values.sum() - values) / (len(values) - 1)


def panel_of(
    sample: Judged,
    predicted: float | None,
    rules: dict[int, ScoringRule],
    usual: Sequence[float] = (),
) -> Panel | None:
    """What is to be said of a sample's marks; None with fewer than two.

    Args:
        predicted: the predicted score, in points.
        rules: of panels, by size.
        usual: of other panels how far the judge furthest from the others lay.
    """
    numbers = [number for number, mark in enumerate(sample.judges, 1) if math.isfinite(mark)]
    marks = given(sample.judges)
    if len(marks) < 2:
        return None
    rule, deviations = rules.get(len(marks)), apart(marks)

    def points(of: Sequence[float]) -> float | None:
        return None if rule is None else rule.points(of, sample.difficulty)

    judges = tuple(
        Judge(number, mark, deviation, points([*marks[:place], mark - deviation, *marks[place + 1 :]]))
        for place, (number, mark, deviation) in enumerate(
            zip(numbers, marks, deviations.tolist(), strict=True)
        )
    )
    worth = None if rule is None else rule.worth(sample.difficulty)
    furthest = float(np.abs(deviations).max())
    return Panel(
        judges,
        "" if rule is None else str(rule),
        points(marks),
        None if predicted is None or not worth else predicted / worth,
        judges[int(np.abs(deviations).argmax())].number if furthest > 0 else None,
        (1 + sum(other >= furthest - 1e-9 for other in usual)) / (1 + len(usual)) if usual else None,
    )


def with_panels(runs: Sequence[Trained], samples: Sequence[Judged], scores: Sequence[Score]) -> list[Score]:
    """Scores with the panels of their samples.

    The rule is that of the runs' training samples and of these samples, as far as their scores are known.
    """
    if not any(len(given(sample.judges)) > 1 for sample in samples):
        return list(scores)
    learned = list(learned_by(runs).values())
    rules = find_rules([*learned, *samples], (runs[0].config.get("score_options") or {}).get("panel_rule"))
    usual = [float(np.abs(apart(given(one.judges))).max()) for one in learned if len(given(one.judges)) > 1]
    return [
        replace(score, panel=panel_of(sample, score.points, rules, usual))
        for score, sample in zip(scores, samples, strict=True)
    ]
