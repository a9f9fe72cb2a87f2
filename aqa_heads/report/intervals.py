"""The intervals of a report: rows and their differences on the same resamples of the test samples."""

from collections.abc import Sequence

import numpy as np

from ..evaluation.bootstrap import percentile_interval, resampled_means, spearman_interval
from ..evaluation.comparison import Difference
from .families import Family
from .results import Result


class Intervals:
    """95 % bootstrap intervals of mean correlations over other test samples, seed 0.

    Args:
        families: rows of a report; those with equal test samples in equal order are resampled together.
        by_groups: draw whole groups instead of samples; then rows whose samples are not all in a group, or in
            too few, have no interval.
    """

    def __init__(self, families: Sequence[Family], by_groups: bool = False):
        self._by_groups = by_groups
        self._means: dict[tuple, np.ndarray | None] = {}  # by row and order of the samples
        alike: dict[tuple, list[Family]] = {}
        for family in families:
            if family.number("spearman") is not None:
                alike.setdefault(tuple(family.truth.items()), []).append(family)
        for owners in alike.values():
            self._resample(owners, tuple(owners[0].truth))

    def of(self, family: Family) -> tuple[float, float] | None:
        """None where rho is not defined, in a run or in too many resamples, or there are too few samples."""
        means = self._of(family, tuple(family.truth))
        return None if means is None else percentile_interval(means)

    def of_run(self, family: Family, result: Result) -> tuple[float, float] | None:
        """Of a single run of the row."""
        if len(family.results) == 1:
            return self.of(family)
        if result.number("spearman") is None:
            return None
        groups = Family((result,)).group_of if self._by_groups else None
        if groups is not None and None in groups.values():
            return None
        return spearman_interval(*result.scores, groups=groups and list(groups.values()))

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

    def _resample(self, owners: Sequence[Family], order: tuple[str, ...]) -> None:
        groups = [owners[0].group_of[name] for name in order] if self._by_groups else None
        means = None
        if groups is None or None not in groups:
            true = np.array([owners[0].truth[name] for name in order])
            means = resampled_means(true, [family.predicted(order) for family in owners], groups=groups)
        for place, family in enumerate(owners):
            self._means[family.order, order] = None if means is None else means[place]
