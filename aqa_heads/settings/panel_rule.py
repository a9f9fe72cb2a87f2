"""How the marks of a panel of judges become one score."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import TrainingError

# How many marks in the middle count, by the size of the panel, where nothing else is said: diving's rule.
COUNTED_MARKS = {3: 3, 5: 3, 7: 3}
MEAN = "mean"
# A difference in the score that rounding to 0.1 points leaves.
TOLERANCE = 0.05
# A rule that fewer of the scores follow is not the rule of this sport.
RULE_HOLDS = 0.9
_MIDDLE = re.compile(r"middle-([1-9]\d?)")


def given(judges: Sequence[float]) -> list[float]:
    """The marks that were given; a judge's that was not is NaN."""
    return [mark for mark in judges if math.isfinite(mark)]


@dataclass(frozen=True)
class PanelRule:
    """Which marks count.

    Args:
        asked: `mean`: of all marks. `middle-N`: the sum of the N in the middle. None: the sum of the middle
            three of 3, 5 or 7.

    Raises:
        TrainingError: `asked` is none of these.
    """

    asked: str | None = None

    def __post_init__(self):
        if self.asked not in (None, MEAN) and not (
            isinstance(self.asked, str) and _MIDDLE.fullmatch(self.asked)
        ):
            raise TrainingError(
                f"panel_rule is {self.asked!r}, expected {MEAN}, or middle-N for the sum of the N marks in"
                " the middle, such as middle-3"
            )

    def counted(self, judges: int) -> int | None:
        """How many marks of such a panel count; None where the rule says nothing of panels of this size."""
        if self.asked == MEAN:
            return judges or None
        if self.asked is None:
            return COUNTED_MARKS.get(judges)
        counted = int(self.asked.removeprefix("middle-"))
        return counted if counted <= judges and (judges - counted) % 2 == 0 else None

    def score(self, marks: Sequence[float]) -> float | None:
        """Of one panel, before it is multiplied by a difficulty; None where the rule says nothing of it.

        >>> PanelRule().score([6.0, 9.5, 7.0, 7.5, 8.0, 5.0, 7.5])
        22.0
        """
        counted = self.counted(len(marks))
        if counted is None:
            return None
        dropped = (len(marks) - counted) // 2
        total = sum(sorted(marks)[dropped : len(marks) - dropped])
        return total / len(marks) if self.asked == MEAN else total
