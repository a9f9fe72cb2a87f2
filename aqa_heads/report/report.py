"""What all sections of a report are made from: computed once, handed to each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

from ..evaluation.comparison import Difference
from .alike import distinct_rows
from .families import Family
from .floors import Floor, distinct_floors
from .intervals import Intervals
from .records import Ceiling
from .references import reference_of
from .results import Result
from .tested_intervals import TestedIntervals, tested_intervals
from .unfinished import Unfinished


@dataclass(frozen=True)
class Report:
    """Rows of results and what they are held against.

    Args:
        families: the rows, in their order.
        distinct: the same, those that predict the same to the bit as one.
        floors: one per name and test set.
        ceilings: with the rows that have each; rows in folds, which have one per fold, are in none.
        intervals: of rows, runs and differences.
        reference: what the other rows are held against where that was asked for, one of `distinct`.
        unfinished: runs that are being trained, or were interrupted.
    """

    families: tuple[Family, ...]
    distinct: tuple[Family, ...]
    floors: tuple[Floor, ...]
    ceilings: tuple[tuple[Ceiling, tuple[Family, ...]], ...]
    intervals: Intervals
    reference: Family | None = None
    unfinished: tuple[Unfinished, ...] = ()

    @classmethod
    def of(
        cls,
        families: Sequence[Family],
        reference: Family | None = None,
        unfinished: Sequence[Unfinished] = (),
    ) -> "Report":
        """Args: reference: one of `families`."""
        distinct = distinct_rows(families)
        if reference is not None:
            reference = next(row for row in distinct if reference in (row, *row.alike))
        return cls(
            tuple(families),
            distinct,
            tuple(distinct_floors(families)),
            _ceilings(families),
            Intervals(distinct),
            reference,
            tuple(unfinished),
        )

    @cached_property
    def ranked(self) -> list[Family]:
        """The distinct rows that have a correlation."""
        return [family for family in self.distinct if family.number("spearman") is not None]

    @cached_property
    def results(self) -> list[Result]:
        """All runs."""
        return [result for family in self.families for result in family.results]

    @cached_property
    def same_tests(self) -> bool:
        """Whether all rows that have scores were tested on the same samples, with the same true scores."""
        return len({family.tests for family in self.families if family.truth}) < 2

    @cached_property
    def references(self) -> dict[int, Family]:
        """What each ranked row is held against, by its order; a row that is its own is the reference."""
        return {row.order: self.reference or reference_of(row, self.ranked) for row in self.ranked}

    @cached_property
    def differences(self) -> dict[int, Difference | None]:
        """Of every ranked row that is no reference, by its order; None where it cannot be compared."""
        return {
            row.order: self.intervals.difference(row, self.references[row.order])
            for row in self.ranked
            if row is not self.references[row.order]
        }

    @cached_property
    def tested_intervals(self) -> dict[int, TestedIntervals]:
        """Intervals around the scores of the distinct rows that have them, by order."""
        found = {row.order: tested_intervals(row) for row in self.distinct}
        return {order: tested for order, tested in found.items() if tested is not None}

    @cached_property
    def trained_on(self) -> str:
        """The day, or the days, on which the runs were finished."""
        times = (result.finished for result in self.results)
        days = sorted({date.fromtimestamp(time) for time in times if time})
        said = [f"{day.day} {day:%B %Y}" for day in (days[:1] + days[1:][-1:])]
        return " to ".join(said)

    @cached_property
    def caches(self) -> list[str]:
        """Paths of the feature caches that the runs read."""
        return list(dict.fromkeys(path for result in self.results if (path := result.features.path)))

    @property
    def data(self) -> list[str]:
        """Their names."""
        return list(dict.fromkeys(Path(path).name for path in self.caches))


def _ceilings(families: Sequence[Family]) -> tuple[tuple[Ceiling, tuple[Family, ...]], ...]:
    found: dict[tuple, tuple[Ceiling, list[Family]]] = {}
    for family in families:
        ceiling = family.first.ceiling
        if ceiling is not None and ceiling.spearman is not None and not family.folded:
            found.setdefault((family.tested_on, ceiling.spearman), (ceiling, []))[1].append(family)
    return tuple((ceiling, tuple(owners)) for ceiling, owners in found.values())
