"""How far and how well a row scores within each group: a competition, a session, a person."""

from collections.abc import Sequence

import numpy as np

from .. import figures
from ..attachments import Attachments
from ..families import Family
from ..figures import Dots
from ..html import Section, element
from ..records import GroupResult
from ..report import Report
from ..results import natural

_MOST = 40


def groups_section(report: Report, attachments: Attachments) -> Section | None:
    """Mean absolute error and Spearman's rho by group, a dot per row; nothing where no test sample has a
    group.
    """
    families = report.distinct
    found = {family.order: _by_group(family) for family in families}
    sizes: dict[str, int] = {}
    for groups in found.values():
        for name, (n, _, _) in groups.items():
            sizes[name] = max(n, sizes.get(name, 0))
    rows = (
        [family.short, name, n, error, rho]
        for family in families
        for name, (n, error, rho) in sorted(found[family.order].items(), key=lambda entry: natural(entry[0]))
    )
    header = ["row", "group", "n", "mae", "spearman"]
    attachments.table("groups", header, rows, "errors and correlation by group, means over the runs of a row")
    if not sizes:
        return None
    largest = sorted(sizes, key=lambda name: (-sizes[name], natural(name)))[:_MOST]
    shown = sorted(largest, key=natural)
    key = [(family.short, family.colour) for family in families if found[family.order]]
    pair = []
    for place, label, name, what in (
        (1, "mean absolute error (points)", "group_errors", "Mean absolute error by group"),
        (2, "Spearman's ρ within the group", "group_correlations", "Spearman’s ρ within each group"),
    ):
        named = {group: f"{group} (n\N{NO-BREAK SPACE}{sizes[group]})" for group in shown}
        dots = [Dots(named[group], _dots(group, place, families, found)) for group in shown]
        if any(row.dots for row in dots):
            described = f"{what}: " + "; ".join(_range(row) for row in dots)
            pair.append(
                attachments.figure(
                    name, figures.draw_dots(dots, key, label, what, described, 430), what + "."
                )
            )
    aside = (
        "Whether actions of one group are told apart, beyond telling groups apart. A dot is a model;"
        " correlations within few samples scatter widely."
    )
    if len(sizes) > _MOST:
        aside += f" Shown are the {_MOST} largest of {len(sizes)} groups; groups.csv has all."
    content = element("p", aside, class_="note"), element("div", *pair, class_="pair")
    return Section("Group by group", content, f"{len(sizes)} {'group' if len(sizes) == 1 else 'groups'}")


def _by_group(family: Family) -> dict[str, tuple[int, float | None, float | None]]:
    """Per group its samples, mean absolute error and Spearman's rho, averaged over the runs that tested
    it.
    """
    entries: dict[str, list[GroupResult]] = {}
    for result in family.results:
        for name, entry in result.by_group.items():
            entries.setdefault(name, []).append(entry)
    return {
        name: (
            int(max(entry.n or 0 for entry in found)),
            _mean([entry.mae for entry in found]),
            _mean([entry.spearman for entry in found]),
        )
        for name, found in entries.items()
    }


def _mean(values: list[float | None]) -> float | None:
    return None if None in values else float(np.mean(values))


def _dots(group: str, place: int, families: Sequence[Family], found: dict) -> tuple[tuple[float, int], ...]:
    entries = ((found[family.order].get(group), family.colour) for family in families)
    return tuple(
        (entry[place], order) for entry, order in entries if entry is not None and entry[place] is not None
    )


def _range(row: Dots) -> str:
    if not row.dots:
        return f"{row.name} none"
    values = [value for value, _ in row.dots]
    return f"{row.name} {min(values):.2f} to {max(values):.2f}"
