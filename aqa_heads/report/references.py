"""Which row the others are held against."""

import os
from collections.abc import Sequence

from aqa_cache.errors import some

from ..errors import RunError
from .families import Family


def reference_row(ranked: Sequence[Family]) -> Family | None:
    """What the others are held against, of rows with a correlation: the baseline, else the first."""
    return next(
        (family for family in ranked if family.experiment == "baseline"), ranked[0] if ranked else None
    )


def reference_of(family: Family, ranked: Sequence[Family]) -> Family:
    """What a row with a correlation is held against.

    That is the reference row, but for rows trained end to end the baseline that was too, and for rows on the
    features of a fine-tuned backbone the baseline on the same, so that what differs is not the backbone's
    training as well. A row that is itself returned has none.
    """
    reference = reference_row(ranked)
    alike = [other for other in ranked if _training(other) == _training(family)]
    baseline = next((other for other in alike if other.experiment == "baseline"), reference)
    return reference if family is baseline else baseline


def named_row(name: str, families: Sequence[Family]) -> Family:
    """The row of this name: its own, its folder's, or the path of one of its runs.

    Raises:
        RunError: there is none, or it has no correlation.
    """
    path = os.path.realpath(name)
    found = [row for row in families if name in (row.short, row.name, row.label)] or [
        row for row in families if any(os.path.realpath(result.path) == path for result in row.results)
    ]
    if not found:
        names = some([f"'{row.short}'" for row in families], 8)
        raise RunError(
            f"--reference {name}: is no row of this report, expected one of {names}, or its folder"
        )
    if found[0].number("spearman") is None:
        raise RunError(
            f"--reference {name}: has no Spearman correlation to compare with; name a row that has one"
        )
    return found[0]


def _training(family: Family) -> tuple[bool, str | None]:
    """How its backbone was trained: in the run itself, or in which run before."""
    return family.end_to_end, family.tuned_in
