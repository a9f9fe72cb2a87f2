"""Whether intervals around predicted scores hold what they promise, how wide they are, and what their width
knows of the errors.
"""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from ...evaluation.conformal import coverage_range, risk_coverage, share_interval
from .. import figures
from ..attachments import Attachments
from ..figures import Curve, Dots
from ..html import Markup, Section, element, term
from ..report import Report
from ..results import natural
from ..tested_intervals import LEVEL, TestedIntervals
from ..wording import PERCENT, decimals, row_name

_MOST = 40  # groups in the figure


def score_intervals_section(report: Report, attachments: Attachments) -> Section | None:
    """A table with coverage and width, both by group, and the risk-coverage curve; nothing where no run
    has held-out samples to calibrate by.
    """
    tested = list(report.tested_intervals.values())
    if not tested:
        return None
    rows = (
        [each.family.short, name, group, *map(float, numbers)]
        for each in tested
        for name, group, *numbers in zip(
            each.sample_ids, each.groups, each.true, each.predicted, each.low, each.high, strict=True
        )
    )
    header = ["row", "sample_id", "group", "true_score", "predicted_score", "low", "high"]
    percent = f"{100 * LEVEL:g}{PERCENT}"
    attachments.table("intervals", header, rows, f"{percent} interval of the score of every test sample")
    aside = (
        f" that shall hold {percent} of the true scores. Inside: the share of the test samples that they"
        f" hold, with its 95{PERCENT} interval for independent samples. Expected: what a calibration of"
        " this size gives nine times in ten. Nothing is promised of a test that is drawn otherwise than the"
        " training samples."
    )
    drawn = [*_by_group(tested, attachments), *_risk(tested, attachments)]
    content = (
        element("p", term("Conformal interval", "Conformal intervals"), aside, class_="note"),
        _table(tested),
        *([element("div", *drawn, class_="pair")] if drawn else []),
    )
    shares = sorted(float(each.inside.mean()) for each in tested)
    lowest, highest = _percent(shares[0]), _percent(shares[-1])
    said = highest if lowest == highest else f"{100 * shares[0]:.0f} to {highest}"
    return Section("How sure a score is", content, f"{said} inside, {percent} meant")


def _table(tested: Sequence[TestedIntervals]) -> Markup:
    named = ("row", "calibrated with", "inside", "expected", "mean width (points)", "test samples")
    head = element("tr", *(element("th", name, scope="col") for name in named))
    body = [element("tr", *_cells(each)) for each in tested]
    return element(
        "div",
        element("table", element("thead", head), element("tbody", *body)),
        class_="scroll",
        tabindex="0",
    )


def _cells(each: TestedIntervals) -> list[Markup]:
    n, hits = len(each.true), int(each.inside.sum())
    sizes = sorted({calibration.n for calibration in each.calibrations})
    with_what = each.calibrations[0].counted.removeprefix(f"{each.calibrations[0].n} ")
    size = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    return [
        element("th", row_name(each.family), scope="row"),
        element("td", f"{size} {with_what}"),
        element("td", f"{_percent(hits / n)} ({_range(share_interval(hits, n))})"),
        element("td", _range(coverage_range(sizes[0], LEVEL))),
        element("td", decimals(float(each.width.mean()))),
        element("td", f"{n:,}"),
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.0f}{PERCENT}"


def _range(ends: tuple[float, float]) -> str:
    return f"{100 * ends[0]:.0f} to {_percent(ends[1])}"


def _by_group(tested: Sequence[TestedIntervals], attachments: Attachments) -> list[Markup]:
    """A dot for the share of each group that is inside, and for its mean width where widths differ; nothing
    with fewer than two groups.
    """
    sizes: dict[str, int] = {}
    for each in tested:
        for group in dict.fromkeys(each.groups):
            sizes[group] = max(sizes.get(group, 0), each.groups.count(group))
    sizes.pop("", None)
    if len(sizes) < 2:
        return []
    _by_group_table(tested, sorted(sizes, key=natural), attachments)
    largest = sorted(sizes, key=lambda name: (-sizes[name], natural(name)))[:_MOST]
    shown = {name: sizes[name] for name in sorted(largest, key=natural)}
    kept = f" The {_MOST} largest of {len(sizes)} groups." if len(sizes) > _MOST else ""
    key = [(each.family.short, each.family.colour) for each in tested]

    def figure(name: str, what: str, label: str, note: str, values: Sequence[np.ndarray]) -> Markup:
        dots = _dots(tested, shown, values)
        described = f"{what}: " + "; ".join(
            f"{row.name} {min(row.dots)[0]:.2f} to {max(row.dots)[0]:.2f}" for row in dots
        )
        drawing = figures.draw_dots(dots, key, label, what, described, 430)
        return attachments.figure(name, drawing, f"{what}{note}.{kept}")

    promised = f"; {_percent(LEVEL)} are meant, and shares of few samples scatter widely"
    what, label = "Share of the true scores inside, by group", "share of true scores inside"
    drawn = [figure("interval_coverage", what, label, promised, [each.inside for each in tested])]
    if any(np.ptp(np.round(each.width, 6)) > 0 for each in tested):
        what, label = "Mean width of the intervals, by group", "mean width (points)"
        drawn.append(figure("interval_widths", what, label, "", [each.width for each in tested]))
    return drawn


def _dots(
    tested: Sequence[TestedIntervals], sizes: Mapping[str, int], values: Sequence[np.ndarray]
) -> list[Dots]:
    """The mean of each row's values in each group of these sizes."""
    dots = []
    for group, size in sizes.items():
        own = [
            (each, of_row[np.array(each.groups) == group])
            for each, of_row in zip(tested, values, strict=True)
        ]
        means = tuple((float(mine.mean()), each.family.colour) for each, mine in own if len(mine))
        dots.append(Dots(f"{group} (n\N{NO-BREAK SPACE}{size})", means))
    return dots


def _by_group_table(
    tested: Sequence[TestedIntervals], groups: Sequence[str], attachments: Attachments
) -> None:
    rows = []
    for each, group in product(tested, groups):
        own = np.array(each.groups) == group
        if n := int(own.sum()):
            hits = int(each.inside[own].sum())
            ends = share_interval(hits, n)
            rows.append([each.family.short, group, n, hits / n, *ends, float(each.width[own].mean())])
    header = ["row", "group", "samples", "inside", "inside_low", "inside_high", "mean_width"]
    what = "Share of the true scores inside their intervals, and mean width of these in points, by group"
    attachments.table("intervals_by_group", header, rows, what)


def _risk(tested: Sequence[TestedIntervals], attachments: Attachments) -> list[Markup]:
    """The error of those that are kept where the widest intervals go to a human; nothing where all are as
    wide.
    """
    curves = []
    for each in tested:
        width = np.round(each.width, 6)
        if np.ptp(width) > 0:
            kept, error = risk_coverage(each.predicted - each.true, width)
            curves.append(Curve(each.family.short, each.family.colour, 100 * kept, error))
    if not curves:
        return []
    what = "Error of the samples with the narrowest intervals"
    described = f"{what}: " + "; ".join(
        f"{curve.name} {curve.values[0]:.2f} at {curve.epochs[0]:.0f} %, {curve.values[-1]:.2f} of all"
        for curve in curves
    )
    drawing = figures.draw_curves(
        curves, figures.ERROR_LABEL, figures.SMALL, what, described, over="samples kept (%)"
    )
    caption = f"{what}; the others are sent to a human. A curve that does not rise: widths know nothing."
    return [attachments.figure("risk_coverage", drawing, caption)]
