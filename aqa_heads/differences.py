"""Which rows differ by more than the choice of the test samples explains: paired differences to one reference row."""

from collections.abc import Sequence

from . import figures
from .attachments import Attachments
from .comparison import Difference
from .families import Family
from .page import Markup, element, number, table
from .wording import PERCENT, interval_text, names_of, row_name, signed, with_rho


def reference_row(families: Sequence[Family]) -> Family | None:
    """What the others are held against: the baseline, else the first row with a correlation."""
    ranked = with_rho(families)
    return next((family for family in ranked if family.experiment == "baseline"), ranked[0] if ranked else None)


def differences_section(families: Sequence[Family], attachments: Attachments) -> list[Markup]:
    """Table and figure of each row minus the reference; nothing where there is no second row to compare."""
    reference = reference_row(families)
    others = [family for family in with_rho(families) if family is not reference]
    compared = {family.order: family.minus(reference) for family in others}
    shown = [family for family in others if compared[family.order] is not None]
    attachments.table(
        "differences",
        ["row", "reference", "difference", "low", "high", "n_test", "runs", "reference_runs", "clear"],
        (_record(family, reference, compared[family.order]) for family in shown),
        "paired differences of Spearman’s ρ to the reference row",
    )
    if not shown:
        return []
    rows = [[row_name(family), *_cells(compared[family.order])] for family in shown]
    bars = [
        figures.Interval(family.short, family.order, made.value, made.low, made.high)
        for family in shown
        if (made := compared[family.order])
    ]
    what = f"Spearman’s ρ minus that of {reference.short}, with the 95{PERCENT} interval of the difference"
    said = "; ".join(f"{family.short} {_difference_text(compared[family.order])}" for family in shown)
    label = f"Spearman's ρ minus that of {reference.short}"
    drawing = figures.draw_intervals(bars, [("no difference", 0.0)], label, what, f"{what}: {said}")
    left_out = [family for family in others if compared[family.order] is None]
    excluded = (
        f" Not compared, since they were tested on other samples or other scores: {names_of(left_out)}."
        if left_out
        else ""
    )
    aside = (
        f"Every resample of the test samples is given to both rows, so that what both find hard cancels. Reference: "
        f"{reference.short}. An interval that contains 0 means that this test set cannot tell the rows apart; two intervals of "
        f"single rows that overlap do not mean that.{excluded} What other seeds or another training set would give is not covered."
    )
    return [
        element("h2", "Which differences are more than noise"),
        element("p", _summary(shown, compared, reference), class_="lead"),
        table(["Run", "Difference", f"95{PERCENT} interval", "Reading"], rows, "differences"),
        attachments.figure("differences", drawing, f"{what}. Bars that cross 0 are within noise."),
        element("p", aside, class_="note"),
    ]


def _summary(shown: Sequence[Family], compared: dict, reference: Family) -> str:
    better = [family for family in shown if compared[family.order].clear and compared[family.order].value > 0]
    worse = [family for family in shown if compared[family.order].clear and compared[family.order].value < 0]
    equal = [family for family in shown if _equal(compared[family.order])]
    within = [family for family in shown if not any(family is other for other in (*better, *worse, *equal))]
    parts = []
    for owners, one, many in (
        (better, "ranks better", "rank better"),
        (worse, "ranks worse", "rank worse"),
        (within, "is within noise", "are within noise"),
        (equal, "predicts the same", "predict the same"),
    ):
        if owners:
            parts.append(f"{names_of(owners)} {one if len(owners) == 1 else many}")
    return f"Beside {reference.short}, on the same test samples: {'; '.join(parts)}."


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
