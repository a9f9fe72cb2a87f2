"""Which rows differ by more than the choice of the test samples explains: paired differences to a reference
row.
"""

from collections.abc import Sequence

from ...evaluation.comparison import Difference
from .. import figures
from ..attachments import Attachments
from ..families import Family
from ..html import Markup, Section, element, number, table
from ..report import Report
from ..wording import PERCENT, grouped, interval_text, names_of, row_name, with_sign

_BETTER, _WORSE, _NOISE, _EQUAL, _NONE = "better", "worse", "within noise", "no difference", "not known"


def differences_section(report: Report, attachments: Attachments) -> Section | None:
    """Table and figure of each row minus its reference; nothing where there is no second row to compare."""
    references, compared = report.references, report.differences
    others = [family for family in report.ranked if family.order in compared]
    shown = [family for family in others if compared[family.order] is not None]
    header = [
        "row",
        "reference",
        "difference",
        "low",
        "high",
        "drawn",
        "n_test",
        "runs",
        "reference_runs",
        "clear",
    ]
    attachments.table(
        "differences",
        header,
        (_record(report, family) for family in shown),
        "paired differences of Spearman’s ρ to the reference row",
    )
    if not shown:
        return None
    used = grouped(shown, lambda family: references[family.order].short)
    several = len(used) > 1
    rows = [
        [
            row_name(family, *_refit_aside(family, references[family.order])),
            *([references[family.order].short] if several else []),
            *_cells(compared[family.order]),
        ]
        for family in shown
    ]
    beside = "the row it is held against" if several else next(iter(used))
    left_out = [family for family in others if compared[family.order] is None]
    aside = _aside(used, left_out) + _backbones_differ(shown, references) + _refits_differ(shown, references)
    names = ["Model", *(["Minus"] if several else []), "Difference", f"95{PERCENT} interval", "Reading"]
    said = " ".join(_summary(report, owners, short) for short, owners in used.items())
    return Section(
        "Differences",
        (
            element("p", said, class_="lead"),
            table(names, rows, "differences"),
            _figure(report, shown, beside, attachments),
            element("p", aside, class_="note"),
        ),
        _in_short(shown, compared),
    )


def _in_short(shown: Sequence[Family], compared: dict) -> str:
    clear = [family for family in shown if compared[family.order].clear]
    if not any(compared[family.order].low is not None for family in shown):
        return "none can be told from noise here"
    return f"beyond noise: {names_of(clear)}" if clear else "none is beyond noise"


def _figure(report: Report, shown: Sequence[Family], beside: str, attachments: Attachments) -> Markup:
    compared = report.differences
    bars = [
        figures.Interval(family.short, family.colour, made.value, made.low, made.high)
        for family in shown
        if (made := compared[family.order])
    ]
    what = f"Spearman’s ρ minus that of {beside}, with the 95{PERCENT} interval of the difference"
    said = "; ".join(f"{family.short} {_difference_text(compared[family.order])}" for family in shown)
    label = f"Spearman's ρ minus that of {beside}"
    drawing = figures.draw_intervals(
        bars, [figures.Mark("no difference", 0.0)], label, what, f"{what}: {said}"
    )
    bars_drawn = any(compared[family.order].low is not None for family in shown)
    caption = f"{what}. Bars that cross 0 are within noise." if bars_drawn else f"{label}."
    return attachments.figure("differences", drawing, caption)


def _aside(used: dict[str, list[Family]], left_out: Sequence[Family]) -> str:
    """How to read it. `used`: the rows by the name of their reference."""
    named = "; ".join(f"{short} of {names_of(owners)}" for short, owners in used.items())
    excluded = (
        f" Not compared, since they were tested on other samples or other scores: {names_of(left_out)}."
        if left_out
        else ""
    )
    return (
        f"Reference: {named if len(used) > 1 else next(iter(used))}. Every draw of test samples is given to"
        " both rows, so what both find hard cancels; intervals of single rows may overlap all the same."
        f"{excluded}"
    )


def _backbones_differ(shown: Sequence[Family], references: dict[int, Family]) -> str:
    why: dict[str, list[str]] = {}
    for family in shown:
        reference = references[family.order]
        if family.end_to_end != reference.end_to_end:
            said = "only one of the two was trained with the heads"
        elif family.tuned_in == reference.tuned_in:
            continue
        elif None in (family.tuned_in, reference.tuned_in):
            said = "only one of the two was fine-tuned before"
        else:
            said = "they were fine-tuned in different runs"
        why.setdefault(said, []).append(f"{family.short} and {reference.short}")
    return "".join(
        f" In {'; in '.join(pairs)} the backbones differ too: {said}." for said, pairs in why.items()
    )


def _refit_aside(family: Family, reference: Family) -> list[str]:
    """What is to be said beside a difference where one row alone was refitted."""
    if family.refitted == reference.refitted:
        return []
    return [f"refitted, {reference.short} not" if family.refitted else f"not refitted, {reference.short} is"]


def _refits_differ(shown: Sequence[Family], references: dict[int, Family]) -> str:
    pairs = [
        f"{family.short} and {references[family.order].short}"
        for family in shown
        if family.refitted != references[family.order].refitted
    ]
    if not pairs:
        return ""
    return (
        f" Of {', of '.join(pairs)} only one was trained once more, on the validation samples too: what"
        " differs is in part the number of samples."
    )


def _summary(report: Report, shown: Sequence[Family], reference: str) -> str:
    by_reading = grouped(shown, lambda family: _reading(report.differences[family.order]))
    parts = []
    for reading, one, many in (
        (_BETTER, "ranks better", "rank better"),
        (_WORSE, "ranks worse", "rank worse"),
        (_NOISE, "is within noise", "are within noise"),
        (_EQUAL, "ranks the same", "rank the same"),
    ):
        if owners := by_reading.get(reading):
            parts.append(f"{names_of(owners)} {one if len(owners) == 1 else many}")
    for why, owners in grouped(by_reading.get(_NONE, ()), report.intervals.lacking).items():
        parts.append(f"{names_of(owners)} cannot be told apart: {why}")
    return f"Beside {reference}: {'; '.join(parts)}."


def _shown(reading: str) -> Markup | str:
    return reading if reading in (_BETTER, _WORSE) else element("span", reading, class_="below")


def _equal(made: Difference) -> bool:
    return made.value == 0 and made.low == made.high == 0


def _cells(made: Difference) -> list[Markup | str]:
    interval = "–" if made.low is None else interval_text((made.low, made.high))
    return [number(made.value, with_sign(made.value)), interval, _shown(_reading(made))]


def _reading(made: Difference) -> str:
    if _equal(made):
        return _EQUAL
    if made.low is None:
        return _NONE
    if not made.clear:
        return _NOISE
    return _BETTER if made.value > 0 else _WORSE


def _difference_text(made: Difference) -> str:
    interval = "" if made.low is None else f" ({interval_text((made.low, made.high))})"
    return f"{with_sign(made.value)}{interval}"


def _record(report: Report, family: Family) -> list:
    made, reference = report.differences[family.order], report.references[family.order]
    drawn = None if made.low is None else report.intervals.drawn(family)
    numbers = made.value, made.low, made.high, drawn, made.n
    return [family.short, reference.short, *numbers, *made.seeds, made.clear]
