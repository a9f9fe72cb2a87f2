"""Rows of a report that predict the same to the bit, shown as one that names them all."""

import re
from collections.abc import Sequence
from dataclasses import replace

from .families import Family
from .wording import grouped, listed


def distinct_rows(families: Sequence[Family]) -> tuple[Family, ...]:
    """The rows, in their order; those with the same test samples, scores and classes are one, in the place
    and the colour of the first.
    """
    found = grouped(families, lambda family: _said(family) if family.truth else family.order)
    return tuple(
        rows[0] if len(rows) == 1 else replace(rows[0], short=_joint_name(rows), alike=tuple(rows))
        for rows in found.values()
    )


def _said(family: Family) -> tuple:
    """Equal in rows that said the same of the same samples, with a backbone that was trained alike."""
    classes = tuple(sorted(family.table("class_accuracy").items()))
    return family.end_to_end, family.tuned_in, family.tests, family.predictions, classes


def _joint_name(rows: Sequence[Family]) -> str:
    """Their names, those of numbered rows in a row as `Exp 1 to 6`."""
    names: list[str] = []
    last = first = None
    for row in rows:
        number = int(found[1]) if (found := re.fullmatch(r"Exp (\d)", row.short)) else None
        if number is not None and last is not None and number == last + 1:
            names[-1] = f"Exp {first} to {number}" if number > first + 1 else f"Exp {first} and {number}"
        else:
            names.append(row.short)
            first = number
        last = number
    return listed(names)
