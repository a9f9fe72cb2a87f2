"""The scored test samples of a report, and what each row says of each, column by column."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .families import Family
from .report import Report
from .results import natural

_MOST_ROWS, _MOST = 8, 500  # of the table on the page


@dataclass(frozen=True, eq=False)
class Samples:
    """All scored test samples, by name.

    Args:
        groups: '' where a sample has none.
        rows: those that the page shows, at most eight.
        of: all rows that score.

    Shape: true: `(samples,)`; predicted, low, high: `(rows, samples)`, in points; NaN where a row was not
    tested on a sample, or says no interval. Of several runs that scored a sample, predicted is the mean.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    rows: tuple[Family, ...]
    of: tuple[Family, ...]
    true: np.ndarray
    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of_report(cls, report: Report) -> "Samples":
        rows = [family for family in report.distinct if family.truth]
        truth = {name: true for family in reversed(rows) for name, true in family.truth.items()}
        group_of = {name: group or "" for family in rows for name, group in family.group_of.items()}
        names = tuple(sorted(truth, key=natural))
        shown = _shown(report, rows)
        place = {name: number for number, name in enumerate(names)}
        predicted, low, high = np.full((3, len(shown), len(names)), np.nan)
        for number, family in enumerate(shown):
            predicted[number] = _mean(family, place)
            tested = report.tested_intervals.get(family.order)
            if tested is not None:
                at = [place[name] for name in tested.sample_ids]
                low[number, at], high[number, at] = tested.low, tested.high
        groups = tuple(group_of[name] for name in names)
        true = np.array([truth[name] for name in names], float)
        return cls(names, groups, tuple(shown), tuple(rows), true, predicted, low, high)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def error(self) -> np.ndarray:
        """Mean absolute error of the shown rows. Shape: `(samples,)`, NaN where none was tested on it."""
        missed = np.abs(self.predicted - self.true)
        known = np.isfinite(missed)
        sums = np.where(known, missed, 0.0).sum(axis=0)
        return np.divide(sums, known.sum(axis=0), out=np.full(len(self), np.nan), where=known.any(axis=0))

    @cached_property
    def worst(self) -> list[int]:
        """Places of the samples by their error, largest first; those without one are left out."""
        order = np.argsort(-self.error, kind="stable")
        return [int(place) for place in order if np.isfinite(self.error[place])]

    @cached_property
    def on_page(self) -> list[int]:
        """Places of those in the table on the page, in order: all, or those with the largest errors."""
        return list(range(len(self))) if len(self) <= _MOST else sorted(self.worst[:_MOST])

    @cached_property
    def link_of(self) -> dict[str, str]:
        """Where on the page a sample is, by name."""
        return {self.names[place]: f"sample-{place + 1}" for place in self.on_page}


def _shown(report: Report, rows: list[Family]) -> list[Family]:
    """The references first, then the others, in their order."""
    held = {row.order for row in report.references.values()}
    first = [row for row in rows if row.order in held] + [row for row in rows if row.order not in held]
    return sorted(first[:_MOST_ROWS], key=lambda row: row.order)


def _mean(family: Family, place: dict[str, int]) -> np.ndarray:
    """Shape: `(samples,)`."""
    sums, counts = np.zeros((2, len(place)))
    for result in family.results:
        at = [place[name] for name in result.scored]
        np.add.at(sums, at, [said for _, said in result.scored.values()])
        np.add.at(counts, at, 1)
    return np.divide(sums, counts, out=np.full(len(place), np.nan), where=counts > 0)
