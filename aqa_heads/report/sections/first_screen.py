"""The first screen: what was compared on what, the answer, what is to be known before it is believed, and all
models in one figure.
"""

from collections.abc import Sequence

from ..answer import answer
from ..attachments import Attachments
from ..families import Family
from ..figures import TEST_LABEL, Interval, Mark, draw_intervals
from ..floors import floor_lines
from ..html import Markup, element, join, term
from ..intervals import GROUPS
from ..report import Report
from ..results import natural
from ..wording import PERCENT, counted, grouped, listed, rho_text, whose
from .caveats import warnings

_MOST_WARNINGS = 4
_ENOUGH_GROUPS = 30  # below, an interval from whole groups is somewhat too narrow


def first_screen(report: Report, title: str, attachments: Attachments) -> list[Markup]:
    """Title, what was compared, the answer, warnings where they are due, and the figure."""
    first, *more = answer(report)
    said = [element("p", first, class_="answer")]
    said += [element("p", " ".join(more), class_="lead")] if more else []
    return [
        element("h1", title),
        element("p", _byline(report), class_="byline"),
        *said,
        *_box(warnings(report)),
        *_figure(report, attachments),
    ]


def _byline(report: Report) -> str:
    families = report.families
    sizes = sorted({len(family.tested_on) for family in families})
    tested = "no test samples" if sizes in ([0], []) else f"{listed(f'{n:,}' for n in sizes)} test samples"
    groups = {len(family.groups) for family in families if family.groups}
    if len(groups) == 1:
        tested += f" of {counted(groups.pop(), 'group')}"
    seeds = sorted({str(result.seed) for result in report.results if result.seed is not None}, key=natural)
    counts = counted(len(report.results), "run") + (
        f" in {counted(len(families), 'row')}" if len(families) < len(report.results) else ""
    )
    parts = [listed(report.data) if len(report.data) < 4 else counted(len(report.data), "feature cache")]
    parts += [report.trained_on, tested, counts]
    parts += [f"{'seed' if len(seeds) == 1 else 'seeds'} {listed(seeds)}"] if seeds else []
    return " · ".join(part for part in parts if part)


def _box(lines: Sequence[str]) -> list[Markup]:
    """What has to be known before a number is believed."""
    if not lines:
        return []
    shown = [element("li", line) for line in lines]
    content = [element("ul", *shown[:_MOST_WARNINGS])]
    if len(shown) > _MOST_WARNINGS:
        more = element("summary", f"and {len(shown) - _MOST_WARNINGS} more")
        content.append(element("details", more, element("ul", *shown[_MOST_WARNINGS:])))
    return [element("div", *content, class_="banner", role="note")]


def _figure(report: Report, attachments: Attachments) -> list[Markup]:
    ranked = report.ranked
    if not ranked:
        return []
    intervals = {row.order: report.intervals.of(row) for row in ranked}
    bars = []
    for row in ranked:
        spread = row.std(row.numbers("spearman"))
        ends = intervals[row.order] or (None, None)
        bars.append(Interval(row.short, row.colour, row.number("spearman"), *ends, spread, limit=1.0))
    marks = [Mark(name, value) for name, value in floor_lines(report.floors)]
    if len(judges := {ceiling.spearman for ceiling, _ in report.ceilings}) == 1:
        marks.append(Mark(f"one judge {max(judges):.2f}", max(judges), above=True))
    what = "Spearman's ρ of every model" + (
        f", with its 95{PERCENT} interval" if any(intervals.values()) else ""
    )
    said = "; ".join(f"{row.short} {rho_text(row, intervals[row.order])}" for row in ranked)
    drawing = draw_intervals(bars, marks, TEST_LABEL, what, f"{what}: {said}")
    return [
        attachments.figure(
            "correlation_intervals",
            drawing,
            join(_caption(report, marks, intervals, any(bar.cut for bar in bars))),
        )
    ]


def _caption(report: Report, marks: Sequence[Mark], intervals: dict, cut: bool) -> list[Markup | str]:
    ranked = report.ranked
    known = [row for row in ranked if intervals[row.order] is not None]
    parts: list[Markup | str] = [term("Spearman’s ρ"), " of every model (dot)"]
    if known:
        parts += [
            " and its ",
            term("95 % interval", f"95{PERCENT} interval"),
            f" (bar, {_drawn(report, known)})",
        ]
    thin = [row for row in ranked if row not in known and row.spread_over]
    if thin:
        parts += [
            f"; thin line: ± standard deviation over {listed(sorted({row.spread_over for row in thin}))}"
            + (", cut where ρ ends (±1)" if cut else "")
        ]
    parts.append(".")
    if any(not mark.above for mark in marks):
        parts += [" Dashed: ", term("Floor", "floors"), ", predictions without the video."]
    if any(mark.above for mark in marks):
        parts += [" Dotted: the ", term("Ceiling", "ceiling"), "."]
    lacking = grouped([row for row in ranked if row not in known], report.intervals.lacking)
    for why, rows in lacking.items():
        who = "".join(f" of {names}" for names in whose(rows, ranked))
        parts.append(f" No interval{who}: {why}.")
    return parts


def _drawn(report: Report, known: Sequence[Family]) -> str:
    """What was drawn to make the intervals."""
    said = []
    for (drawn, groups), rows in grouped(
        known, lambda row: (report.intervals.drawn(row), len(row.groups))
    ).items():
        of_what = (
            f"from drawing whole groups, of {groups}"
            + (f", somewhat too narrow with fewer than {_ENOUGH_GROUPS}" if groups < _ENOUGH_GROUPS else "")
            if drawn == GROUPS
            else "from drawing samples" + (f" of {counted(groups, 'group')}" if groups else "")
        )
        said.append(of_what + "".join(f" in {names}" for names in whose(rows, known)))
    return "; ".join(said)
