"""Which rows differ by more than the choice of the test samples explains: paired differences to a reference
row.
"""

from collections.abc import Sequence

from ...evaluation.comparison import Difference
from .. import figures
from ..attachments import Attachments
from ..families import Family
from ..html import Markup, element, number, table
from ..report import Report
from ..wording import PERCENT, grouped, interval_text, names_of, row_name, signed


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


def _training(family: Family) -> tuple[bool, str | None]:
    """How its backbone was trained: in the run itself, or in which run before."""
    return family.end_to_end, family.tuned_in


def differences_section(report: Report, attachments: Attachments) -> list[Markup]:
    """Table and figure of each row minus its reference; nothing where there is no second row to compare."""
    references = {family.order: reference_of(family, report.ranked) for family in report.ranked}
    others = [family for family in report.ranked if family is not references[family.order]]
    compared = {
        family.order: report.intervals.difference(family, references[family.order]) for family in others
    }
    shown = [family for family in others if compared[family.order] is not None]
    attachments.table(
        "differences",
        ["row", "reference", "difference", "low", "high", "n_test", "runs", "reference_runs", "clear"],
        (_record(family, references[family.order], compared[family.order]) for family in shown),
        "paired differences of Spearman’s ρ to the reference row",
    )
    if not shown:
        return []
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
    return [
        element("h2", "Which differences are more than noise"),
        element(
            "p", " ".join(_summary(owners, compared, short) for short, owners in used.items()), class_="lead"
        ),
        table(
            ["Run", *(["Minus"] if several else []), "Difference", f"95{PERCENT} interval", "Reading"],
            rows,
            "differences",
        ),
        _figure(shown, compared, beside, attachments),
        element("p", aside, class_="note"),
    ]


def _figure(
    shown: Sequence[Family], compared: dict[int, Difference], beside: str, attachments: Attachments
) -> Markup:
    bars = [
        figures.Interval(family.short, family.order, made.value, made.low, made.high)
        for family in shown
        if (made := compared[family.order])
    ]
    what = f"Spearman’s ρ minus that of {beside}, with the 95{PERCENT} interval of the difference"
    said = "; ".join(f"{family.short} {_difference_text(compared[family.order])}" for family in shown)
    label = f"Spearman's ρ minus that of {beside}"
    drawing = figures.draw_intervals(bars, [("no difference", 0.0)], label, what, f"{what}: {said}")
    return attachments.figure("differences", drawing, f"{what}. Bars that cross 0 are within noise.")


def _aside(used: dict[str, list[Family]], left_out: Sequence[Family]) -> str:
    """How to read it. `used`: the rows by the name of their reference."""
    named = "; ".join(f"{short} of {names_of(owners)}" for short, owners in used.items())
    excluded = (
        f" Not compared, since they were tested on other samples or other scores: {names_of(left_out)}."
        if left_out
        else ""
    )
    return (
        "Every resample of the test samples is given to both rows, so that what both find hard cancels."
        f" Reference: {named if len(used) > 1 else next(iter(used))}. An interval that contains 0 means that"
        " this test set cannot tell the rows apart; two intervals of single rows that overlap do not mean"
        f" that.{excluded} What other seeds or another training set would give is not covered."
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


def _summary(shown: Sequence[Family], compared: dict, reference: str) -> str:
    better = [family for family in shown if compared[family.order].clear and compared[family.order].value > 0]
    worse = [family for family in shown if compared[family.order].clear and compared[family.order].value < 0]
    equal = [family for family in shown if _equal(compared[family.order])]
    few = [
        family
        for family in shown
        if compared[family.order].low is None and not any(family is one for one in equal)
    ]
    within = [
        family for family in shown if not any(family is other for other in (*better, *worse, *equal, *few))
    ]
    parts = []
    for owners, one, many in (
        (better, "ranks better", "rank better"),
        (worse, "ranks worse", "rank worse"),
        (within, "is within noise", "are within noise"),
        (few, "has too few samples to tell", "have too few samples to tell"),
        (equal, "predicts the same", "predict the same"),
    ):
        if owners:
            parts.append(f"{names_of(owners)} {one if len(owners) == 1 else many}")
    return f"Beside {reference}, on the same test samples: {'; '.join(parts)}."


def _equal(made: Difference) -> bool:
    return made.value == 0 and made.low == made.high == 0


def _cells(made: Difference) -> list[Markup | str]:
    interval = "–" if made.low is None else interval_text((made.low, made.high))
    return [number(made.value, _with_sign(made.value)), interval, _reading(made)]


def _reading(made: Difference) -> Markup | str:
    if _equal(made):
        return element("span", "no difference", class_="below")
    if made.low is None:
        return element("span", "too few samples", class_="below")
    if not made.clear:
        return element("span", "within noise", class_="below")
    return "better" if made.value > 0 else "worse"


def _difference_text(made: Difference) -> str:
    interval = "" if made.low is None else f" ({interval_text((made.low, made.high))})"
    return f"{_with_sign(made.value)}{interval}"


def _with_sign(value: float) -> str:
    return ("+" if value > 0 else "") + signed(value)


def _record(family: Family, reference: Family, made: Difference) -> list:
    return [family.short, reference.short, made.value, made.low, made.high, made.n, *made.seeds, made.clear]
