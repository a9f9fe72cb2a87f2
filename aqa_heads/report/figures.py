"""The figures of a report that have numbers on both axes or rows of them: curves, intervals, dots, predicted
over true.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .html import SERIES, drawing
from .html.drawing import LETTER, Drawing, Size, cut, new_axes, on_white
from .html.frames import Frame

_LINE_STYLES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)))
_MARKERS = "oDs^"
_RASTER_POINTS = 1500
_KEY_COLUMNS, _KEY_LINE = 4, 18
# From so many rows on, the figure of each has all rows behind it, itself among them: then it is one frame.
MANY = 25
LOSS_LABEL = "training loss"
WORD_LOSS_LABEL = "caption loss per word (nats)"
TEST_LABEL = "Spearman's ρ, test set"
VALIDATION_LABEL = "Spearman's ρ, validation"
ERROR_LABEL = "mean absolute error (points)"
_LOSSES = (LOSS_LABEL, WORD_LOSS_LABEL)

WIDE, NARROW, SMALL = Size(1000, 430, 190), Size(350, 340, 132), Size(500, 240, 132)
PLAIN = Size(430, 220, 66)
SQUARE = Size(250, 250)


@dataclass(frozen=True)
class Curve:
    """Values over the epochs, of a run or the mean of several. Shape: epochs, values: `(epochs,)`; NaN where
    nothing was measured.

    Args:
        members: epochs and values of each run, where there are several, drawn thin.
        chosen: epoch and value of what is reported of each run, marked by a ring.
    """

    name: str
    colour: int
    epochs: np.ndarray
    values: np.ndarray
    members: tuple[tuple[np.ndarray, np.ndarray], ...] = ()
    chosen: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Interval:
    """A row's value and its interval; low and high are None where there is none."""

    name: str
    colour: int
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Dots:
    """A row of dots: value and colour of each."""

    name: str
    dots: tuple[tuple[float, int], ...]


def draw_curves(
    curves: Sequence[Curve],
    label: str,
    size: Size,
    title: str,
    description: str,
    floors: Sequence[tuple[str, float]] = (),
    context: Sequence[Curve] = (),
    frames: dict[tuple, Frame] | None = None,
    over: str = "epoch",
) -> Drawing:
    """Lines over epochs, each named at its end; at least one.

    Args:
        label: of the values' axis, one of those that stand above.
        size: `WIDE` draws a `NARROW` variant as well, and no members; `SMALL` has room for the names of
            floors, `PLAIN` has none.
        floors: (name, value) of dashed horizontal lines.
        context: further curves, drawn thin and grey behind, without names; they decide the axes too, so that
            the figures of several runs compare.
        frames: what figures of one page with the same label, size and context share, filled here; the time
            and the page would grow with the square of the rows if each drew all others anew.
        over: what the curves go over, where it is not epochs, on whole numbers too.
    """

    longest = max(len(name) for name in (*(curve.name for curve in curves), *(name for name, _ in floors)))
    members = () if size is WIDE else [member for curve in curves for member in curve.members]
    limits = _limits([*context, *curves], members, [value for _, value in floors], label)

    def behind(size: Size):
        figure, axes = new_axes(size)
        _scale(axes, limits, label, over)
        for _, value in floors:
            axes.axhline(value, color=on_white("muted"), linewidth=1.3, linestyle=(0, (5, 3)), zorder=1.5)
        for curve in context:
            axes.plot(curve.epochs, curve.values, color=on_white("context"), linewidth=0.8, zorder=1)
        return figure

    def mark(axes, size: Size) -> None:
        ends = [(value, name, on_white("muted"), None) for name, value in floors]
        for curve in curves:
            ends += _draw_curve(curve, bool(members), axes)
        _name_ends(axes, ends, size)

    def draw(size: Size):
        if size in (WIDE, NARROW):  # the others stand side by side, with axes of one width
            size = replace(size, labels=min(size.labels, round(26 + longest * LETTER)))
        figure = behind(size)
        mark(figure.axes[0], size)
        return figure

    if frames is None:
        return drawing.render(draw, size, title, description, NARROW if size is WIDE else None)
    key = (limits, *floors)
    if key not in frames:
        frames[key] = Frame(behind, size)
    return frames[key].render(lambda axes: mark(axes, size), title, description)


def _limits(
    shown: Sequence[Curve], members: Sequence[tuple], marks: Sequence[float], label: str
) -> tuple[float, float, float, float, bool]:
    """First and last epoch, lowest and highest value of axes that hold all of it; whether they are
    logarithmic.
    """
    values = [*(curve.values for curve in shown), *(values for _, values in members)]
    epochs = np.concatenate([*(curve.epochs for curve in shown), *(epochs for epochs, _ in members)])
    return float(epochs.min()), float(epochs.max()), *_value_range(values, marks, label)


def _scale(axes, limits: tuple[float, float, float, float, bool], label: str, over: str) -> None:
    """Axes of `_limits` that say what they are of."""
    first, last, low, high, logarithmic = limits
    axes.set_xlim(first - 0.5 if first == last else first, last + 0.5 if first == last else last)
    if logarithmic:
        axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.set_xlabel(over)
    axes.set_ylabel(label + (" (log scale)" if logarithmic else ""))
    axes.xaxis.get_major_locator().set_params(integer=True)


def _draw_curve(curve: Curve, with_members: bool, axes) -> list[tuple]:
    """Its line, members and marks; its end, for its name: height, name, colour, epoch; none if all is NaN."""
    colour = on_white(f"series-{curve.colour % SERIES}")
    style = _LINE_STYLES[curve.colour // SERIES % 4]
    for epochs, values in curve.members if with_members else ():
        axes.plot(epochs, values, color=colour, linewidth=0.9, alpha=0.45, zorder=2)
    axes.plot(curve.epochs, curve.values, color=colour, linewidth=1.7, linestyle=style, zorder=3)
    ring = {"markerfacecolor": "none", "markeredgecolor": colour, "markeredgewidth": 1.4, "markersize": 8}
    for x, y in curve.chosen:
        axes.plot([x], [y], "o", **ring, zorder=4, clip_on=False)
    finite = np.flatnonzero(np.isfinite(curve.values))
    if not len(finite):
        return []
    x, y = curve.epochs[finite[-1]], curve.values[finite[-1]]
    if not curve.chosen:
        axes.plot([x], [y], "o", color=colour, markersize=4.5, zorder=4, clip_on=False)
    return [(y, curve.name, colour, x)]


def draw_intervals(
    intervals: Sequence[Interval],
    marks: Sequence[tuple[str, float]],
    label: str,
    title: str,
    description: str,
) -> Drawing:
    """One row per run: its value as a dot, its interval as a bar, the marks as dashed vertical lines. The
    axis has 0.
    """

    longest = max(len(interval.name) for interval in intervals)

    def draw(size: Size):
        top = 16 + 15 * len(marks)
        figure, axes = _rows([i.name for i in intervals], longest, size, label, top)
        values = [v for i in intervals for v in (i.value, i.low, i.high) if v is not None and np.isfinite(v)]
        values += [value for _, value in marks] + [0.0]
        margin = 0.04 * (max(values) - min(values) or 1)
        axes.set_xlim(min(values) - margin, max(values) + margin)
        colours = [on_white(f"series-{interval.colour % SERIES}") for interval in intervals]
        bars = [(row, i.low, i.high, colours[row]) for row, i in enumerate(intervals) if i.low is not None]
        if bars:
            rows, lows, highs, shades = zip(*bars, strict=True)
            axes.hlines(rows, lows, highs, colors=shades, linewidth=2.4, zorder=2)
        for colour in dict.fromkeys(colours):
            rows = [row for row, other in enumerate(colours) if other == colour]
            shown = [intervals[row].value for row in rows]
            axes.plot(shown, rows, "o", color=colour, markersize=7, zorder=2.1)
        left, right = axes.get_xlim()
        for line, (name, value) in enumerate(sorted(marks, key=lambda mark: mark[1])):
            axes.axvline(value, color=on_white("muted"), linewidth=1.3, linestyle=(0, (5, 3)), zorder=1.5)
            to_the_left = value - left > 0.5 * (right - left)
            axes.annotate(
                name,
                (value, 1),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                xytext=(4 if not to_the_left else 2, 4 + 15 * (len(marks) - 1 - line)),
                ha="right" if to_the_left else "left",
                color=on_white("muted"),
                fontsize=11,
                parse_math=False,
            )
        return figure

    height = 80 + 15 * len(marks) + 26 * len(intervals)
    return drawing.render(draw, Size(960, height), title, description, Size(350, height))


def draw_dots(
    rows: Sequence[Dots], key: Sequence[tuple[str, int]], label: str, title: str, description: str, width: int
) -> Drawing:
    """One row per name, with a dot per run in the run's colour; the axis has 0.

    Args:
        key: name and colour of each run; stands below the axes.
        width: of the figure.
    """

    longest = max(len(row.name) for row in rows)
    lines = -(-len(key) // _KEY_COLUMNS)
    size = Size(width, 80 + 22 * len(rows) + _KEY_LINE * lines)

    def draw(size: Size):
        figure, axes = _rows([row.name for row in rows], longest, size, label, 16, 46 + _KEY_LINE * lines)
        values = [value for row in rows for value, _ in row.dots] + [0.0]
        margin = 0.04 * (max(values) - min(values) or 1)
        axes.set_xlim(min(values) - margin, max(values) + margin)
        of_run: dict[int, list[tuple[float, int]]] = {}
        for place, row in enumerate(rows):
            axes.axhline(place, color=on_white("grid"), linewidth=0.8, zorder=1)
            for value, colour in row.dots:
                of_run.setdefault(colour, []).append((value, place))
        for colour in sorted(of_run, reverse=True):  # the first row of the results lies on top
            axes.plot(*zip(*of_run[colour], strict=True), **_marker(colour), alpha=0.8)
        shown = [axes.plot([], [], **_marker(colour), label=cut(name, 14))[0] for name, colour in key]
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


def scatter_frame(limits: tuple[float, float]) -> Frame:
    """Axes from one score to another, in points, with the line where true and predicted are equal."""

    def draw(size: Size):
        from matplotlib.ticker import MaxNLocator

        figure, axes = new_axes(size, left=48)
        low, high = limits
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_xlabel("true score (points)")
        axes.set_ylabel("predicted score (points)")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5))
        axes.plot([low, high], [low, high], color=on_white("muted"), linewidth=1, zorder=1.5)
        return figure

    return Frame(draw, SQUARE)


def draw_scatter(
    frame: Frame,
    true: np.ndarray,
    predicted: np.ndarray,
    colour: int,
    title: str,
    description: str,
) -> Drawing:
    """Predicted over true score; points beyond the limits of the frame lie on the edge.

    Shape: true, predicted: `(samples,)`, in score points, finite.
    """

    def mark(axes) -> None:
        low, high = axes.get_xlim()
        shown, beyond = np.clip(predicted, low, high), (predicted < low) | (predicted > high)
        raster = len(true) > _RASTER_POINTS
        for marker, chosen, size_points in (("o", ~beyond, 3.6), ("^", beyond, 6)):
            if not chosen.any():
                continue
            axes.plot(
                true[chosen],
                shown[chosen],
                marker,
                color=on_white(f"series-{colour % SERIES}"),
                alpha=0.55,
                markersize=size_points,
                markeredgewidth=0,
                clip_on=False,
                rasterized=raster,
            )

    return frame.render(mark, title, description)


def _marker(colour: int) -> dict:
    return {
        "marker": _MARKERS[colour // SERIES % 4],
        "color": on_white(f"series-{colour % SERIES}"),
        "linestyle": "none",
        "markersize": 6.5,
        "markeredgewidth": 0,
    }


def _rows(names: Sequence[str], longest: int, size: Size, label: str, top: int, bottom: int = 46):
    """Axes with a named row for each, from top to bottom."""
    wide = size.width > 500
    left = min(180 if wide else 110, round(20 + longest * LETTER))
    figure, axes = new_axes(size, left=left, top=top, bottom=bottom)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), [cut(name, 24 if wide else 13) for name in names])
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.tick_params(axis="y", length=0, labelcolor=on_white("ink"))
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(label)
    return figure, axes


def _value_range(
    series: Sequence[np.ndarray], marks: Sequence[float], label: str
) -> tuple[float, float, bool]:
    """Lower end, upper end, and whether the axis is logarithmic: a loss that falls by far, never a
    correlation.
    """
    values = np.concatenate([*series, np.asarray(marks, float)])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0, False
    low, high = float(values.min()), float(values.max())
    if label in _LOSSES:
        if low > 0 and high / low > 30:
            return low / 1.3, high * 1.3, True
        if label == WORD_LOSS_LABEL:
            return low - 0.1 * (high - low or 1), high + 0.1 * (high - low or 1), False
        return min(0.0, low), high * 1.05 or 1.0, False
    margin = 0.06 * (high - min(low, 0.0)) or 0.05
    return min(0.0, low - margin), min(high + margin, 1.0) if high <= 1 else high + margin, False


def _name_ends(axes, ends: list[tuple], size: Size) -> None:
    """Write every line's name right of the axes at the height of its end, moved apart where names would
    overlap.
    """
    if not ends:
        return
    transform = axes.transData
    bottom, top = axes.bbox.y0, axes.bbox.y1
    ends = sorted(ends, key=lambda end: end[0])
    wanted = [
        float(
            np.clip(transform.transform((0 if axes.get_yscale() == "linear" else 1, end[0]))[1], bottom, top)
        )
        for end in ends
    ]
    heights = _apart(wanted, min(14.5, (top - bottom) / max(len(ends) - 1, 1)), bottom, top)
    right = axes.bbox.x1
    for (y, name, colour, x), height in zip(ends, heights, strict=True):
        start = transform.transform((x, y)) if x is not None else (right, transform.transform((1, y))[1])
        inverse = axes.transAxes.inverted().transform
        # A run that ended early is tied to its name by dots, which cannot be taken for its curve.
        early = start[0] < right - 1
        points = [inverse(start), inverse((right, start[1])), inverse((right + 12, height))]
        axes.plot(
            *np.transpose(points),
            color=colour,
            linewidth=0.7,
            alpha=0.7,
            transform=axes.transAxes,
            clip_on=False,
            zorder=2,
            linestyle=(0, (1, 3)) if early else "-",
        )
        axes.annotate(
            cut(name, int((size.labels - 24) / LETTER)),
            inverse((right + 14, height)),
            xycoords="axes fraction",
            va="center_baseline",
            color=colour,
            fontsize=11,
            annotation_clip=False,
            parse_math=False,
        )


def _apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending heights moved as little as it takes to lie `gap` apart between low and high.

    >>> _apart([1, 1, 9], 2, 0, 10)
    [0.0, 2.0, 9.0]
    >>> _apart([9, 9.5, 10], 1, 0, 10)
    [8.0, 9.0, 10.0]
    """
    # [centre, members]; neighbours that touch become one group around their mean
    groups: list[list[float]] = []
    for height in wanted:
        groups.append([float(height), 1])
        while True:
            centre, count = groups[-1]
            half = (count - 1) * gap / 2
            groups[-1][0] = centre = min(max(centre, low + half), high - half)
            if len(groups) < 2:
                break
            before, members = groups[-2]
            if centre - half - gap >= before + (members - 1) * gap / 2 - 1e-9:
                break
            groups[-2:] = [[(before * members + centre * count) / (members + count), members + count]]
    return [
        centre + (place - (count - 1) / 2) * gap for centre, count in groups for place in range(int(count))
    ]
