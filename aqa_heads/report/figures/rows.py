"""Figures with a named line for each row: intervals, and dots."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np

from ..html import SERIES, drawing
from ..html.drawing import LETTER, Drawing, Size, cut, new_axes, on_white

_MARKERS = "oDs^"
_KEY_COLUMNS, _KEY_LINE = 3, 18
_WIDE, _NARROW = 960, 350


@dataclass(frozen=True)
class Interval:
    """A row's value and its interval; low and high are None where there is none, and then the spread (a
    standard deviation over runs) is drawn, where there is one, no further than values can be.
    """

    name: str
    colour: int
    value: float
    low: float | None
    high: float | None
    spread: float | None = None
    limit: float = float("inf")

    @property
    def thin(self) -> tuple[float, float] | None:
        """The ends of the spread, where it is drawn."""
        if self.low is not None or self.spread is None:
            return None
        return max(self.value - self.spread, -self.limit), min(self.value + self.spread, self.limit)

    @property
    def cut(self) -> bool:
        """Whether the spread reaches further than values can be."""
        return self.thin is not None and abs(self.value) + (self.spread or 0.0) > self.limit

    @property
    def ends(self) -> tuple[float, ...]:
        """All that the axis has to hold."""
        more = self.thin or ()
        return tuple(v for v in (self.value, self.low, self.high, *more) if v is not None and np.isfinite(v))


@dataclass(frozen=True)
class Mark:
    """A value that all rows are read against; dashed, or dotted where it is above them, as a ceiling is."""

    name: str
    value: float
    above: bool = False


@dataclass(frozen=True)
class Dots:
    """A row of dots: value and colour of each."""

    name: str
    dots: tuple[tuple[float, int], ...]


def draw_intervals(
    intervals: Sequence[Interval],
    marks: Sequence[Mark],
    label: str,
    title: str,
    description: str,
) -> Drawing:
    """One row per run: its value as a dot, its interval as a bar (its spread as a thin one), the marks as
    vertical lines. The axis has 0.
    """

    def draw(size: Size):
        top = 16 + 15 * len(marks)
        figure, axes = _rows([i.name for i in intervals], size, label, top)
        values = [v for i in intervals for v in i.ends] + [mark.value for mark in marks]
        _fit(axes, values)
        _draw_bars(intervals, axes)
        _draw_marks(marks, axes)
        return figure

    longest = max(len(interval.name) for interval in intervals)
    height = 80 + 15 * len(marks) + 26 * len(intervals)
    narrow = height + (12 * len(intervals) if longest > _names_fit(_NARROW) else 0)
    return drawing.render(draw, Size(_WIDE, height), title, description, Size(_NARROW, narrow))


def _fit(axes, values: Sequence[float]) -> None:
    """Let the axis have all values, and 0."""
    values = [*values, 0.0]
    margin = 0.04 * (max(values) - min(values) or 1)
    axes.set_xlim(min(values) - margin, max(values) + margin)


def _draw_bars(intervals: Sequence[Interval], axes) -> None:
    """Few artists for many rows."""
    colours = [on_white(f"series-{each.colour % SERIES}") for each in intervals]
    bars = [(row, i.low, i.high, colours[row]) for row, i in enumerate(intervals) if i.low is not None]
    thin = [(row, *i.thin, colours[row]) for row, i in enumerate(intervals) if i.thin is not None]
    for lines, width in ((bars, 2.4), (thin, 1)):
        if lines:
            rows, lows, highs, shades = zip(*lines, strict=True)
            axes.hlines(rows, lows, highs, colors=shades, linewidth=width, zorder=2)
    for row, low, high, colour in thin:
        # No end is drawn where it is cut.
        ends = [end for end in (low, high) if abs(end) < intervals[row].limit]
        axes.plot(ends, [row] * len(ends), "|", color=colour, markersize=9, zorder=2)
    for colour in dict.fromkeys(each.colour for each in intervals):
        rows = [row for row, other in enumerate(intervals) if other.colour == colour]
        shown = [intervals[row].value for row in rows]
        axes.plot(shown, rows, **_marker(colour) | {"markersize": 7}, zorder=2.1)


def _draw_marks(marks: Sequence[Mark], axes) -> None:
    left, right = axes.get_xlim()
    for line, mark in enumerate(sorted(marks, key=lambda mark: mark.value)):
        style = (0, (1, 2)) if mark.above else (0, (5, 3))
        axes.axvline(mark.value, color=on_white("muted"), linewidth=1.3, linestyle=style, zorder=1.5)
        to_the_left = mark.value - left > 0.5 * (right - left)
        axes.annotate(
            mark.name,
            (mark.value, 1),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            xytext=(4 if not to_the_left else 2, 4 + 15 * (len(marks) - 1 - line)),
            ha="right" if to_the_left else "left",
            color=on_white("muted"),
            fontsize=11,
            parse_math=False,
        )


def draw_dots(
    rows: Sequence[Dots], key: Sequence[tuple[str, int]], label: str, title: str, description: str, width: int
) -> Drawing:
    """One row per name, with a dot per run in the run's colour; the axis has 0.

    Args:
        key: name and colour of each run; stands below the axes.
        width: of the figure.
    """

    lines = -(-len(key) // _KEY_COLUMNS)
    size = Size(width, 80 + 22 * len(rows) + _KEY_LINE * lines)

    def draw(size: Size):
        figure, axes = _rows([row.name for row in rows], size, label, 16, 46 + _KEY_LINE * lines)
        values = [value for row in rows for value, _ in row.dots]
        _fit(axes, values)
        of_run: dict[int, list[tuple[float, int]]] = {}
        for place, row in enumerate(rows):
            axes.axhline(place, color=on_white("grid"), linewidth=0.8, zorder=1)
            for value, colour in row.dots:
                of_run.setdefault(colour, []).append((value, place))
        for colour in sorted(of_run, reverse=True):  # the first row of the results lies on top
            axes.plot(*zip(*of_run[colour], strict=True), **_marker(colour), alpha=0.8)
        shown = [axes.plot([], [], **_marker(colour), label=cut(name, 20))[0] for name, colour in key]
        legend = figure.legend(
            handles=shown,
            loc="lower left",
            bbox_to_anchor=(0, 0),
            ncols=_KEY_COLUMNS,
            frameon=False,
            fontsize=11,
            handletextpad=0.1,
            columnspacing=0.8,
            labelspacing=0.3,
            borderaxespad=0.1,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
        return figure

    return drawing.render(draw, size, title, description)


def _marker(colour: int) -> dict:
    return {
        "marker": _MARKERS[colour // SERIES % 4],
        "color": on_white(f"series-{colour % SERIES}"),
        "linestyle": "none",
        "markersize": 6.5,
        "markeredgewidth": 0,
    }


def _names_fit(width: int) -> int:
    """Letters of a row's name that stand in one line, in a figure so wide."""
    return 48 if width > 700 else 22 if width > 400 else 17


def _rows(names: Sequence[str], size: Size, label: str, top: int, bottom: int = 46):
    """Axes with a named row for each, from top to bottom; a long name stands in two lines."""
    fits = _names_fit(size.width)
    shown = [_in_lines(name, fits) for name in names]
    longest = max(len(line) for name in shown for line in name.split("\n"))
    figure, axes = new_axes(size, left=round(20 + longest * LETTER), top=top, bottom=bottom)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), shown)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
        text.set_linespacing(0.95)
        if size.width <= 500:
            text.set_fontsize(11)
    axes.tick_params(axis="y", length=0, labelcolor=on_white("ink"))
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(label)
    return figure, axes


def _in_lines(name: str, fits: int) -> str:
    """The name in at most two lines.

    >>> _in_lines("lstm encoder, lr 3e-4", 14)
    'lstm encoder,\\nlr 3e-4'
    """
    if len(name) <= fits:
        return name
    first, *more = wrap(name, fits)
    return "\n".join([first, cut(" ".join(more), fits)]) if more else first
