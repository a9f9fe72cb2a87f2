"""Loss and correlation by epoch: the paper's Figures 2 to 9."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace

import numpy as np

from ...runs.tables import Epoch
from ...settings.experiments import EXPERIMENTS
from .. import figures
from ..attachments import Attachments
from ..families import Family
from ..figures import Curve
from ..floors import distinct_floors, floor_lines, floors_legend
from ..html import Markup, Section, element
from ..html.drawing import Size
from ..html.frames import Frame
from ..report import Report
from ..results import Result
from ..wording import colour_key, in_words, names_of, runs_text, signed

_MOST = 24  # rows with figures of their own


@dataclass(frozen=True)
class _Kind:
    """One column of metrics.csv as a figure.

    Args:
        name: of its files.
        paper: the figure of the paper that shows it for all runs.
    """

    column: str
    label: str
    name: str
    what: str
    paper: int
    floors: bool = False


_LOSS = _Kind("train_loss", figures.LOSS_LABEL, "training_loss", "Training loss", 8)
_VALIDATION = _Kind(
    "val_spearman", figures.VALIDATION_LABEL, "validation_correlation", "Validation correlation", 9
)
_TEST = _Kind("test_spearman", figures.TEST_LABEL, "test_correlation", "Test correlation", 9, floors=True)


def curves_section(report: Report, attachments: Attachments) -> Section | None:
    """All rows together, then, folded, row by row."""
    _keep(report.families, attachments)
    trained = [family for family in report.families if any(result.run.epochs for result in family.results)]
    if not trained:
        return None
    kinds = [
        _LOSS,
        *(kind for kind in (_VALIDATION, _TEST) if any(_curve(family, kind) for family in trained)),
    ]
    made = {
        kind.name: {f.order: curve for f in trained if (curve := _curve(f, kind)) is not None}
        for kind in kinds
    }
    parts = []
    for kind in kinds:
        curves, rows = made[kind.name], trained
        if kind is not _LOSS:  # rows that predict the same have the same correlations
            orders = {family.order for family in trained}
            rows = [family for family in report.distinct if family.order in orders]
            named = {family.order: family.short for family in rows}
            curves = {n: replace(curve, name=named[n]) for n, curve in curves.items() if n in named}
        parts.append(_together(kind, curves, rows, attachments))
    if kinds == [_LOSS]:
        parts.append(element("p", "Correlation: no run recorded any by epoch.", class_="note"))
    if len(trained) > 1 or len(trained[0].results) > 1:
        same_as = {row.order: of.alike[0].short for of in report.distinct for row in of.alike[1:]}
        parts.append(_row_by_row(kinds, made, trained, same_as, attachments))
    return Section("Learning curves", tuple(parts), "loss and correlation by epoch")


def _row_by_row(
    kinds: Sequence[_Kind],
    made: dict[str, dict[int, Curve]],
    trained: Sequence[Family],
    same_as: dict[int, str],
    attachments: Attachments,
) -> Markup:
    """Figures of each row. `same_as`: whose correlations a row has, by its order."""
    shown = trained[:_MOST]
    parts = [element("p", _aside(kinds, trained), class_="note")]
    size = figures.SMALL if _TEST in kinds else figures.PLAIN
    frames: dict[str, dict] = {kind.name: {} for kind in kinds}
    for family in shown:
        parts.append(_heading(family))
        same = same_as.get(family.order)
        own = [kind for kind in kinds if family.order in made[kind.name] and (kind is _LOSS or not same)]
        pair = [_apart(kind, family, made[kind.name], attachments, size, frames[kind.name]) for kind in own]
        if len(own) < 2:
            said = f"Correlation: as that of {same}." if same else "Correlation: none recorded."
            pair.append(element("p", said, class_="note"))
        parts.append(element("div", *pair, class_="pair"))
    return element("details", element("summary", "Row by row"), *parts)


def _aside(kinds: Sequence[_Kind], trained: Sequence[Family]) -> str:
    shown = " and ".join(kind.what.lower() for kind in kinds)
    text = f"{shown[0].upper()}{shown[1:]}; grey: the other rows."
    if _VALIDATION in kinds:
        text += " A ring marks the epoch that was chosen on the validation samples."
        if any(family.refitted for family in trained):
            text += " Where a row was refitted, the curves are of the training before that."
    if len(trained) > _MOST:
        text += f" Shown are the first {_MOST} of {len(trained)} rows; curves.csv has all."
    if any(len(family.results) > 1 for family in trained):
        text += " Thin lines: single runs; thick: their mean, as long as all of them were trained."
    return text


def _heading(family: Family) -> Markup:
    said = ", ".join(text for text in (in_words(family), runs_text(family)) if text)
    return element("h3", colour_key(family), family.short, " ", element("span", said, class_="note"))


def _together(
    kind: _Kind, curves: dict[int, Curve], trained: Sequence[Family], attachments: Attachments
) -> Markup:
    if not curves:
        return element("p", f"{kind.what}: no run recorded any.", class_="note")
    owners = [family for family in trained if family.order in curves]
    floors = distinct_floors(owners) if kind.floors else []
    shown = [curve if len(trained) == 1 else replace(curve, chosen=()) for curve in curves.values()]
    ends = "; ".join(f"{curve.name} ends at {_last(curve):.3g}" for curve in shown)
    title = f"{kind.what} by epoch"
    if any(family.experiment in EXPERIMENTS for family in owners):
        title += f" (the paper’s Figure {kind.paper})"
    drawing = figures.draw_curves(
        shown, kind.label, figures.WIDE, title, f"{title}: {ends}", floor_lines(floors)
    )
    caption = f"{title}."
    if kind is _VALIDATION:
        caption += (
            " The test samples are not looked at while training; what the paper shows is the test curve."
        )
    if any(curve.chosen for curve in shown):
        caption += " The ring marks the epoch that is reported."
    if any(curve.members for curve in shown):
        caption += " Means over seeds or folds, as long as all of them were trained."
    if floors:
        caption += floors_legend(floors)
    absent = [family for family in trained if family.order not in curves]
    return attachments.figure(kind.name, drawing, caption + (f" None: {names_of(absent)}." if absent else ""))


def _apart(
    kind: _Kind,
    family: Family,
    curves: dict[int, Curve],
    attachments: Attachments,
    size: Size,
    frames: dict[tuple, Frame],
) -> Markup:
    mine = curves[family.order]
    others = [curve for order, curve in curves.items() if order != family.order]
    many = len(others) >= figures.MANY
    if many:  # then the same for all rows
        others = list(curves.values())
    title = f"{family.short}: {kind.what.lower()} by epoch"
    ended = signed(_last(mine))
    floors = floor_lines(distinct_floors([family])) if kind.floors else []
    drawing = figures.draw_curves(
        [replace(mine, name=ended)],
        kind.label,
        size,
        title,
        f"{title}, {ended} at the end",
        floors,
        others,
        frames if many else None,
    )
    return attachments.figure(f"{kind.name}_{family.slug}", drawing)


def _curve(family: Family, kind: _Kind) -> Curve | None:
    """Its runs' values by epoch, and their mean over the epochs that all of them have; None if nothing was
    measured.
    """
    members = [(result.by_epoch("epoch"), result.by_epoch(kind.column)) for result in family.results]
    members = [(epochs, values) for epochs, values in members if np.isfinite(values).any()]
    if not members:
        return None
    chosen = tuple(mark for result in family.results if (mark := _chosen(result, kind)) is not None)
    if len(members) == 1:
        return Curve(family.short, family.colour, *members[0], chosen=chosen)
    length = min(len(values) for _, values in members)
    mean = np.mean([values[:length] for _, values in members], axis=0)
    return Curve(family.short, family.colour, members[0][0][:length], mean, tuple(members), chosen)


def _chosen(result: Result, kind: _Kind) -> tuple[float, float] | None:
    """The epoch that is reported, and its value there."""
    epoch, values = result.reported.epoch, result.by_epoch(kind.column)
    at = np.flatnonzero(result.by_epoch("epoch") == epoch)
    return (float(epoch), float(values[at[0]])) if len(at) and np.isfinite(values[at[0]]) else None


def _last(curve: Curve) -> float:
    finite = curve.values[np.isfinite(curve.values)]
    return float(finite[-1]) if len(finite) else np.nan


def _keep(families: Sequence[Family], attachments: Attachments) -> None:
    header = ["row", "seed", "fold", *(field.name for field in fields(Epoch))]
    rows = (
        [family.short, result.seed, result.fold, *(_cell(value) for value in astuple(epoch))]
        for family in families
        for result in family.results
        for epoch in result.run.epochs
    )
    attachments.table("curves", header, rows, "every number of every epoch of every run")


def _cell(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else value
