"""Whether intervals around predicted scores hold what they promise, how wide they are, and what their width
knows of the errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ...evaluation.calibration import Calibration, calibration_of
from ...evaluation.conformal import coverage_range, risk_coverage, share_interval
from .. import figures
from ..attachments import Attachments
from ..families import Family
from ..figures import Curve, Dots
from ..html import Markup, element
from ..report import Report
from ..results import Result, natural
from ..wording import PERCENT, decimals, row_name

LEVEL = 0.9
_MOST = 40  # groups in the figure


@dataclass(frozen=True)
class _Tested:
    """The scored test samples of a row with their intervals.

    Shape: true, predicted, low, high: `(samples,)`, in points.
    """

    family: Family
    calibrations: tuple[Calibration, ...]
    sample_ids: tuple[str, ...]
    groups: tuple[str, ...]
    true: np.ndarray
    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        return (self.low <= self.true) & (self.true <= self.high)

    @property
    def width(self) -> np.ndarray:
        return self.high - self.low


def score_intervals_section(report: Report, attachments: Attachments) -> list[Markup]:
    """A table with coverage and width, coverage by group, and the risk-coverage curve; nothing where no run
    has held-out samples to calibrate by.
    """
    tested = [found for family in report.families if (found := _tested(family)) is not None]
    if not tested:
        return []
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
        f"Conformal intervals that shall hold {percent} of the true scores, made from the errors on samples"
        " that the models did not learn from. Inside: the share of the test samples whose true score they"
        f" hold, with its 95{PERCENT} interval for independent samples. Expected: what a calibration of this"
        " size gives nine times in ten. Nothing is promised of a test that is drawn otherwise than the"
        " training samples."
    )
    drawn = [*_by_group(tested, attachments), *_risk(tested, attachments)]
    return [
        element("h2", "How sure a score is"),
        element("p", aside, class_="note"),
        _table(tested),
        *([element("div", *drawn, class_="pair")] if drawn else []),
    ]


def _tested(family: Family) -> _Tested | None:
    """Runs that were tested on the same fold are averaged; None where one fold has no calibration."""
    by_fold: dict[str | None, list[Result]] = {}
    for result in family.results:
        by_fold.setdefault(result.fold, []).append(result)
    calibrations, rows = [], []
    for results in by_fold.values():
        calibration = calibration_of([result.run for result in results])
        calibrations.append(calibration)
        if calibration.lacking or coverage_range(calibration.n, LEVEL) is None:
            return None
        spreads = [_spreads(result) for result in results]
        for name, (true, _) in results[0].scored.items():
            if not all(name in result.scored for result in results):
                continue
            points = np.array([result.scored[name][1] for result in results])
            spread = [of_run.get(name) for of_run in spreads]
            mean = None if None in spread else float(np.mean(spread))
            group = results[0].test.groups[results[0].test.place[name]]
            ends, _ = calibration.interval(points, mean, group or None, LEVEL)
            rows.append((name, group, true, points.mean(), *ends))
    if not rows:
        return None
    names, groups, *numbers = zip(*rows, strict=True)
    return _Tested(family, tuple(calibrations), names, groups, *(np.array(each, float) for each in numbers))


def _spreads(result: Result) -> dict[str, float]:
    """Of the scores, by sample_id, where the score head has one."""
    return {
        row["sample_id"]: float(row["spread"])
        for row in result.run.predictions
        if row["split"] == "test" and row.get("spread")
    }


def _table(tested: Sequence[_Tested]) -> Markup:
    named = ("row", "calibrated with", "inside", "expected", "mean width (points)", "test samples")
    head = element("tr", *(element("th", name, scope="col") for name in named))
    body = [element("tr", *_cells(each)) for each in tested]
    return element(
        "div",
        element("table", element("thead", head), element("tbody", *body)),
        class_="scroll",
        tabindex="0",
    )


def _cells(each: _Tested) -> list[Markup]:
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


def _by_group(tested: Sequence[_Tested], attachments: Attachments) -> list[Markup]:
    """A dot for the share of each group that is inside; nothing with fewer than two groups."""
    sizes: dict[str, int] = {}
    for each in tested:
        for group in dict.fromkeys(each.groups):
            sizes[group] = max(sizes.get(group, 0), each.groups.count(group))
    sizes.pop("", None)
    if len(sizes) < 2:
        return []
    _by_group_table(tested, sorted(sizes, key=natural), attachments)
    shown = sorted(sorted(sizes, key=lambda name: (-sizes[name], natural(name)))[:_MOST], key=natural)
    dots = []
    for group in shown:
        own = [(each, np.array(each.groups) == group) for each in tested]
        shares = tuple(
            (float(each.inside[mine].mean()), each.family.order) for each, mine in own if mine.any()
        )
        dots.append(Dots(f"{group} (n {sizes[group]})", shares))
    key = [(each.family.short, each.family.order) for each in tested]
    what = "Share of the true scores inside, by group"
    described = f"{what}: " + "; ".join(
        f"{row.name} {min(row.dots)[0]:.2f} to {max(row.dots)[0]:.2f}" for row in dots
    )
    drawing = figures.draw_dots(dots, key, "share of true scores inside", what, described, 430)
    kept = f" The {_MOST} largest of {len(sizes)} groups." if len(sizes) > _MOST else ""
    promised = f"{what}; {_percent(LEVEL)} are meant, and shares of few samples scatter widely.{kept}"
    return [attachments.figure("interval_coverage", drawing, promised)]


def _by_group_table(tested: Sequence[_Tested], groups: Sequence[str], attachments: Attachments) -> None:
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


def _risk(tested: Sequence[_Tested], attachments: Attachments) -> list[Markup]:
    """The error of those that are kept where the widest intervals go to a human; nothing where all are as
    wide.
    """
    curves = []
    for each in tested:
        width = np.round(each.width, 6)
        if np.ptp(width) > 0:
            kept, error = risk_coverage(each.predicted - each.true, width)
            curves.append(Curve(each.family.short, each.family.order, 100 * kept, error))
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
