"""Whether final scores follow from the judges' marks and the difficulty."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from aqa_cache.annotations import Sample
from aqa_cache.errors import some

from ..settings.panel_rule import COUNTED_MARKS, RULE_HOLDS, TOLERANCE, PanelRule, given


@dataclass(frozen=True)
class ScoreRule:
    """Whether the scores follow from difficulty and marks, for panels of one size.

    Args:
        judges: marks per sample.
        rule: in words.
        n: samples with that many marks, a difficulty and a score.
        holds: how many of them follow the rule, within `TOLERANCE`.
        applies: whether at least `RULE_HOLDS` of them do; if not, another rule made these scores.
        contradicting: sample_ids of those that do not; empty where the rule does not apply.
    """

    judges: int
    rule: str
    n: int
    holds: int
    applies: bool
    contradicting: list[str]

    def line(self) -> str:
        """In a sentence."""
        if not self.applies:
            return (
                f"{self.rule} holds for only {self.holds:,} of {self.n:,} samples with {self.judges} marks,"
                " so another rule made these scores and they are not checked"
            )
        but = f", not for {some(self.contradicting)}" if self.contradicting else ""
        return f"{self.rule} for {self.holds:,} of {self.n:,} samples{but}"


def score_rules(samples: Sequence[Sample]) -> list[ScoreRule]:
    """One for every size of panel that has a rule, from small to large."""
    panels: defaultdict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        if (judges := len(given(sample.judges))) in COUNTED_MARKS and None not in (
            sample.difficulty,
            sample.final_score,
        ):
            panels[judges].append(sample)
    return [_score_rule(judges, rows) for judges, rows in sorted(panels.items())]


def _score_rule(judges: int, samples: Sequence[Sample]) -> ScoreRule:
    others: list[str] = []
    for sample in samples:
        summed = PanelRule().score(given(sample.judges))
        assert summed is not None and sample.difficulty is not None and sample.final_score is not None
        if abs(sample.difficulty * summed - sample.final_score) > TOLERANCE + 1e-9:
            others.append(sample.sample_id)
    holds = len(samples) - len(others)
    applies = holds >= RULE_HOLDS * len(samples)
    counted = (
        f"the middle three of {judges} marks" if judges > COUNTED_MARKS[judges] else f"all {judges} marks"
    )
    rule = f"final_score = difficulty x the sum of {counted}"
    return ScoreRule(judges, rule, len(samples), holds, applies, others if applies else [])
