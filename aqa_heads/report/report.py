"""What all sections of a report are made from: computed once, handed to each."""

from collections.abc import Sequence
from dataclasses import dataclass

from .families import Family
from .floors import Floor, distinct_floors
from .intervals import Intervals
from .records import Ceiling


@dataclass(frozen=True)
class Report:
    """Rows of results and what they are held against.

    Args:
        families: the rows, in their order.
        floors: one per name and test set.
        ceilings: with the rows that have each; rows in folds, which have one per fold, are in none.
        intervals: of rows, runs and differences.
    """

    families: tuple[Family, ...]
    floors: tuple[Floor, ...]
    ceilings: tuple[tuple[Ceiling, tuple[Family, ...]], ...]
    intervals: Intervals

    @classmethod
    def of(cls, families: Sequence[Family]) -> "Report":
        return cls(
            tuple(families), tuple(distinct_floors(families)), _ceilings(families), Intervals(families)
        )

    @property
    def ranked(self) -> list[Family]:
        """The rows that have a correlation."""
        return [family for family in self.families if family.number("spearman") is not None]


def _ceilings(families: Sequence[Family]) -> tuple[tuple[Ceiling, tuple[Family, ...]], ...]:
    found: dict[tuple, tuple[Ceiling, list[Family]]] = {}
    for family in families:
        ceiling = family.first.ceiling
        if ceiling is not None and ceiling.spearman is not None and not family.folded:
            found.setdefault((family.tested_on, ceiling.spearman), (ceiling, []))[1].append(family)
    return tuple((ceiling, tuple(owners)) for ceiling, owners in found.values())
