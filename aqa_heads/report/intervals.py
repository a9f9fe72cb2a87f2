"""The intervals of a report: rows and their differences on the same resamples of the test samples, or of
whole groups of them.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ..evaluation.bootstrap import (
    MAX_UNDEFINED,
    MIN_GROUPS,
    MIN_SAMPLES,
    percentile_interval,
    resampled_means,
    spearman_interval,
)
from ..evaluation.comparison import Difference
from .families import Family
from .results import Result
from .wording import grouped

GROUPS, SAMPLES = "groups", "samples"


class Intervals:
    """95 % bootstrap intervals of mean correlations over other test samples, seed 0.

    Whole groups are drawn where every test sample is in one and there are at least `MIN_GROUPS` of them, else
    samples; so too where folds hold so few groups that many draws have none of a fold. Rows with the same
    test samples are drawn alike.

    Args:
        families: rows of a report; those with equal test samples in equal order are resampled together.
    """

    def __init__(self, families: Sequence[Family]):
        self._means: dict[tuple, np.ndarray | None] = {}  # by row and order of the samples
        self._grouped: dict[frozenset, bool] = {}
        ranked = (family for family in families if family.number("spearman") is not None)
        for tests, owners in grouped(ranked, lambda family: family.tests).items():
            self._grouped[tests] = _groups(owners[0].group_of) is not None
            self._resample_all(owners)
            if self._grouped[tests] and any(f.folded and self.of(f) is None for f in owners):
                self._grouped[tests] = False
                self._resample_all(owners)

    def of(self, family: Family) -> tuple[float, float] | None:
        """None where rho is not defined, in a run or in too many resamples, or there are too few samples."""
        means = self._of(family, tuple(family.truth))
        return None if means is None else percentile_interval(means)

    def drawn(self, family: Family) -> str:
        """What its interval is made by drawing: `GROUPS` or `SAMPLES`."""
        return GROUPS if self._grouped.get(family.tests) else SAMPLES

    def lacking(self, family: Family) -> str:
        """Why it has no interval."""
        if family.number("spearman") is None:
            return "ρ is not defined"
        if len(family.truth) < MIN_SAMPLES:
            return f"{len(family.truth)} test samples are fewer than {MIN_SAMPLES}"
        if family.folded:
            smallest = min(len(result.scored) for result in family.results)
            return f"folds of {smallest} samples are too small for an interval"
        return f"ρ is undefined in more than {100 * MAX_UNDEFINED:.0f} % of the draws"

    def of_run(self, family: Family, result: Result) -> tuple[tuple[float, float] | None, str]:
        """Of a single run of the row, and what was drawn."""
        if len(family.results) == 1:
            return self.of(family), self.drawn(family)
        groups = _groups(Family((result,)).group_of)
        interval = None
        if result.number("spearman") is not None:
            interval = spearman_interval(*result.scores, groups=groups)
        return interval, SAMPLES if groups is None else GROUPS

    def difference(self, first: Family, second: Family) -> Difference | None:
        """Mean rho of the first minus that of the second, with the interval that resampling the same test
        samples gives; None where they differ.
        """
        mine, theirs = first.number("spearman"), second.number("spearman")
        if mine is None or theirs is None or not first.same_tests(second):
            return None
        # The draws depend on the order of the samples alone, so rows are paired by one order.
        means = [self._of(family, tuple(first.truth)) for family in (first, second)]
        interval = None if means[0] is None or means[1] is None else percentile_interval(means[0] - means[1])
        low, high = interval or (None, None)
        spread = first.std(first.numbers("spearman")), second.std(second.numbers("spearman"))
        runs = len(first.results), len(second.results)
        return Difference(mine - theirs, low, high, len(first.truth), runs, spread)

    def _of(self, family: Family, order: tuple[str, ...]) -> np.ndarray | None:
        if (family.order, order) not in self._means:
            if family.number("spearman") is None:
                return None
            self._resample([family], order)
        return self._means[family.order, order]

    def _resample_all(self, families: Sequence[Family]) -> None:
        for order, owners in grouped(families, lambda family: tuple(family.truth)).items():
            self._resample(owners, order)

    def _resample(self, owners: Sequence[Family], order: tuple[str, ...]) -> None:
        first = owners[0]
        groups = [first.group_of[name] for name in order] if self._grouped.get(first.tests) else None
        true = np.array([first.truth[name] for name in order])
        means = resampled_means(true, [family.predicted(order) for family in owners], groups=groups)
        for place, family in enumerate(owners):
            self._means[family.order, order] = None if means is None else means[place]


def _groups(group_of: Mapping[str, str | None]) -> list[str] | None:
    """The group of every sample, where whole groups can be drawn."""
    groups = list(group_of.values())
    names = {name for name in groups if name is not None}
    return groups if None not in groups and MIN_GROUPS <= len(names) < len(groups) else None
