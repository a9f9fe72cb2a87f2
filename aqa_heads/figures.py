"""The figures of a report, drawn by matplotlib: as PNG on white, and as SVG in the colours of the page it stands in."""

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from html import escape

import numpy as np

from aqa_cache.errors import missing

# Name of the CSS variable: (on white, on dark). Told apart with any of the common colour vision deficiencies
# (after Okabe & Ito); figures name each line directly as well.
COLOURS = {
    "series-0": ("#1f2328", "#f0f3f6"),
    "series-1": ("#0072b2", "#58b0ee"),
    "series-2": ("#d55e00", "#ff8b3d"),
    "series-3": ("#009e73", "#2fcf9f"),
    "series-4": ("#b5478c", "#ee93c8"),
    "series-5": ("#b98600", "#ecbe3b"),
    "series-6": ("#3fa3dc", "#a5dcff"),
    "series-7": ("#7a5230", "#cfa27c"),
    "ink": ("#20262d", "#e6eaef"),
    "muted": ("#5b6570", "#a3adb8"),
    "grid": ("#e3e6ea", "#30363d"),
    "context": ("#c9cfd6", "#454d57"),
}
SERIES = 8
_LINE_STYLES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)))
_PNG_DPI = 72 * 2.5
_RASTER_POINTS = 1500
_LETTER = 6.4
LOSS_LABEL = "training loss"
RHO_LABEL = "Spearman's ρ, test set"


@dataclass(frozen=True)
class Size:
    """Of a figure, in CSS pixels (one is 1/72 inch in the PNG); `labels` is the room for names right of the axes."""

    width: int
    height: int
    labels: int = 14


WIDE, NARROW, SMALL = Size(1000, 430, 190), Size(350, 340, 132), Size(500, 240, 132)
SQUARE = Size(250, 250)


@dataclass(frozen=True)
class Curve:
    """One run's values over the epochs. Shape: epochs, values: `(epochs,)`; NaN where nothing was measured."""

    name: str
    colour: int
    epochs: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Interval:
    """One run's correlation and its interval; low and high are None where there is none."""

    name: str
    colour: int
    rho: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Drawing:
    """A figure as it is stored and shown: bytes of a PNG file, and markup to stand inside an HTML page."""

    png: bytes
    svg: str
    narrow_svg: str | None = None


def draw_curves(
    curves: Sequence[Curve],
    label: str,
    size: Size,
    title: str,
    description: str,
    floors: Sequence[tuple[str, float]] = (),
    context: Sequence[Curve] = (),
) -> Drawing:
    """Lines over epochs, each named at its end; at least one.

    Args:
        label: of the values' axis, `LOSS_LABEL` or `RHO_LABEL`.
        size: `WIDE` draws a `NARROW` variant as well.
        floors: (name, value) of dashed horizontal lines.
        context: further curves, drawn thin and grey behind, without names; they decide the axes too, so that the
            figures of several runs compare.
        title: stands above the PNG; on the page the caption says it.
        description: what the figure shows, for those who do not see it.
    """

    longest = max(len(name) for name in (*(curve.name for curve in curves), *(name for name, _ in floors)))

    def draw(size: Size):
        if size is not SMALL:  # its loss and correlation stand side by side, with axes of one width
            size = replace(size, labels=min(size.labels, round(26 + longest * _LETTER)))
        figure, axes = _axes(size)
        shown = [*context, *curves]
        low, high, logarithmic = _value_range([c.values for c in shown], [value for _, value in floors], label)
        epochs = np.concatenate([c.epochs for c in shown])
        first, last = float(epochs.min()), float(epochs.max())
        axes.set_xlim(first - 0.5 if first == last else first, last + 0.5 if first == last else last)
        if logarithmic:
            axes.set_yscale("log")
        axes.set_ylim(low, high)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label + (" (log scale)" if logarithmic else ""))
        axes.xaxis.get_major_locator().set_params(integer=True)
        ends = []
        for name, value in floors:
            axes.axhline(value, color=_hex("muted"), linewidth=1.3, linestyle=(0, (5, 3)), zorder=1.5)
            ends.append((value, name, _hex("muted"), None))
        for curve in context:
            axes.plot(curve.epochs, curve.values, color=_hex("context"), linewidth=0.8, zorder=1)
        for curve in curves:
            colour, style = _hex(f"series-{curve.colour % SERIES}"), _LINE_STYLES[curve.colour // SERIES % 4]
            axes.plot(curve.epochs, curve.values, color=colour, linewidth=1.7, linestyle=style, zorder=3)
            finite = np.flatnonzero(np.isfinite(curve.values))
            if len(finite):
                x, y = curve.epochs[finite[-1]], curve.values[finite[-1]]
                axes.plot([x], [y], "o", color=colour, markersize=4.5, zorder=4, clip_on=False)
                ends.append((y, curve.name, colour, x))
        _name_ends(axes, ends, size)
        return figure

    return _render(draw, size, title, description, NARROW if size is WIDE else None)


def draw_intervals(
    intervals: Sequence[Interval], floors: Sequence[tuple[str, float]], title: str, description: str
) -> Drawing:
    """One row per run: its correlation as a dot, its interval as a bar, the floors as dashed vertical lines."""

    longest = max(len(interval.name) for interval in intervals)

    def draw(size: Size):
        figure, axes = _axes(
            size, left=min(180 if size.width > 500 else 110, round(20 + longest * _LETTER)), top=16 + 15 * len(floors)
        )
        values = [v for i in intervals for v in (i.rho, i.low, i.high) if v is not None and np.isfinite(v)]
        values += [value for _, value in floors] + [0.0]
        margin = 0.04 * (max(values) - min(values) or 1)
        axes.set_xlim(min(values) - margin, max(values) + margin)
        axes.set_ylim(len(intervals) - 0.4, -0.6)
        axes.set_yticks(range(len(intervals)), [_short(i.name, 24 if size.width > 500 else 13) for i in intervals])
        for label in axes.get_yticklabels():
            label.set_parse_math(False)
        axes.tick_params(axis="y", length=0, labelcolor=_hex("ink"))
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(RHO_LABEL)
        for row, interval in enumerate(intervals):
            colour = _hex(f"series-{interval.colour % SERIES}")
            if interval.low is not None:
                axes.plot([interval.low, interval.high], [row, row], color=colour, linewidth=2.4, solid_capstyle="butt")
            axes.plot([interval.rho], [row], "o", color=colour, markersize=7)
        left, right = axes.get_xlim()
        for line, (name, value) in enumerate(sorted(floors, key=lambda floor: floor[1])):
            axes.axvline(value, color=_hex("muted"), linewidth=1.3, linestyle=(0, (5, 3)), zorder=1.5)
            to_the_left = value - left > 0.5 * (right - left)
            axes.annotate(
                name, (value, 1), xycoords=("data", "axes fraction"), textcoords="offset points",
                xytext=(4 if not to_the_left else 2, 4 + 15 * (len(floors) - 1 - line)),
                ha="right" if to_the_left else "left", color=_hex("muted"), fontsize=11, parse_math=False,
            )  # fmt: skip
        return figure

    height = 80 + 15 * len(floors) + 26 * len(intervals)
    return _render(draw, Size(960, height), title, description, Size(350, height))


def draw_scatter(
    true: np.ndarray, predicted: np.ndarray, colour: int, limits: tuple[float, float], title: str, description: str
) -> Drawing:
    """Predicted over true score with the line where both are equal; points beyond the limits lie on the edge.

    Shape: true, predicted: `(samples,)`, in score points, finite.
    """

    def draw(size: Size):
        from matplotlib.ticker import MaxNLocator

        figure, axes = _axes(size, left=48)
        low, high = limits
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_xlabel("true score (points)")
        axes.set_ylabel("predicted score (points)")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5))
        axes.plot([low, high], [low, high], color=_hex("muted"), linewidth=1, zorder=1.5)
        shown, beyond = np.clip(predicted, low, high), (predicted < low) | (predicted > high)
        raster = len(true) > _RASTER_POINTS
        for marker, chosen, size_points in (("o", ~beyond, 3.6), ("^", beyond, 6)):
            axes.plot(
                true[chosen], shown[chosen], marker, color=_hex(f"series-{colour % SERIES}"), alpha=0.55,
                markersize=size_points, markeredgewidth=0, clip_on=False, rasterized=raster,
            )  # fmt: skip
        return figure

    return _render(draw, SQUARE, title, description)


def _render(draw, size: Size, title: str, description: str, narrow: Size | None = None) -> Drawing:
    try:
        import matplotlib
        import matplotlib.figure
    except Exception as error:  # not installed, or broken
        raise missing("matplotlib", "figures", error) from error
    # Text stays text: it takes the reader's own sans-serif font and can be searched and read aloud.
    settings = {
        "svg.fonttype": "none", "svg.hashsalt": "aqa-report", "font.family": "sans-serif", "font.size": 12,
        "text.color": _hex("ink"), "axes.edgecolor": _hex("muted"), "axes.labelcolor": _hex("ink"),
        "xtick.color": _hex("muted"), "ytick.color": _hex("muted"), "axes.unicode_minus": True,
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": _hex("grid"),
        "grid.linewidth": 0.8, "axes.axisbelow": True, "axes.facecolor": "none", "axes.linewidth": 0.8,
        "path.simplify": True,
    }  # fmt: skip
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **settings, "backend": "agg"}), warnings.catch_warnings():
        # Matplotlib's own font lacks some scripts: boxes in the PNG, while the page's text is the reader's font.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        figure = draw(size)
        svg = _svg(figure, size, description)
        png = io.BytesIO()
        height = max(text.get_window_extent().y1 for text in (*figure.axes[0].texts, figure.axes[0].yaxis.label))
        above = max(8.0, height - figure.axes[0].bbox.y1 + 6)
        figure.axes[0].set_title(title, loc="left", pad=above, fontsize=13, parse_math=False)
        figure.savefig(png, format="png", dpi=_PNG_DPI, facecolor="white", bbox_inches="tight", pad_inches=0.12,
                       metadata={"Description": description})  # fmt: skip
        return Drawing(png.getvalue(), svg, None if narrow is None else _svg(draw(narrow), narrow, description))


def _svg(figure, size: Size, description: str) -> str:
    """The figure as an `<svg>` element whose colours are the page's variables, so that it follows light and dark."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", facecolor="none", edgecolor="none", metadata={"Date": None})
    markup = stream.getvalue()
    unused = r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*|<style.*?</style>\s*"
    markup = re.sub(unused, "", markup[markup.index("<svg") :], flags=re.DOTALL)
    opening = (
        f'<svg viewBox="0 0 {size.width} {size.height}" style="max-width:{size.width}px" role="img" '
        f'aria-label="{escape(description)}">'
    )
    markup = opening + markup[markup.index(">") + 1 :]
    for name, (on_white, _) in COLOURS.items():
        markup = re.sub(re.escape(on_white) + r"(?=[;\"'\s])", f"var(--{name})", markup, flags=re.IGNORECASE)
    # One page holds many figures, and matplotlib counts the names of their parts from one in each.
    prefix = _digest(markup)
    markup = re.sub(r'\bid="', f'id="{prefix}-', markup)
    markup = re.sub(r'((?:xlink:)?href="|url\()#', rf"\1#{prefix}-", markup)
    return re.sub(r"font: (\d+px) [^;\"]*", r"font-size: \1", re.sub(r"\n\s*", "\n", markup)).strip()


def _digest(text: str) -> str:
    return "f" + sha256(text.encode()).hexdigest()[:8]


def _axes(size: Size, left: int = 60, top: int = 12):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size.width / 72, size.height / 72), dpi=72)
    bottom = 46
    box = (left / size.width, bottom / size.height, (size.width - left - size.labels) / size.width)
    return figure, figure.add_axes((*box, (size.height - bottom - top) / size.height))


def _value_range(series: Sequence[np.ndarray], marks: Sequence[float], label: str) -> tuple[float, float, bool]:
    """Lower end, upper end, and whether the axis is logarithmic: a loss that falls by far, never a correlation."""
    values = np.concatenate([*series, np.asarray(marks, float)])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0, False
    low, high = float(values.min()), float(values.max())
    if label == LOSS_LABEL:
        if low > 0 and high / low > 30:
            return low / 1.3, high * 1.3, True
        return min(0.0, low), high * 1.05 or 1.0, False
    margin = 0.06 * (high - min(low, 0.0)) or 0.05
    return min(0.0, low - margin), min(high + margin, 1.0) if high <= 1 else high + margin, False


def _name_ends(axes, ends: list[tuple], size: Size) -> None:
    """Write every line's name right of the axes at the height of its end, moved apart where names would overlap."""
    if not ends:
        return
    transform = axes.transData
    bottom, top = axes.bbox.y0, axes.bbox.y1
    ends = sorted(ends, key=lambda end: end[0])
    wanted = [float(np.clip(transform.transform((0 if axes.get_yscale() == "linear" else 1, end[0]))[1], bottom, top))
              for end in ends]  # fmt: skip
    heights = _apart(wanted, min(14.5, (top - bottom) / max(len(ends) - 1, 1)), bottom, top)
    right = axes.bbox.x1
    for (y, name, colour, x), height in zip(ends, heights, strict=True):
        start = transform.transform((x, y)) if x is not None else (right, transform.transform((1, y))[1])
        inverse = axes.transAxes.inverted().transform
        # A run that ended early is tied to its name by dots, which cannot be taken for its curve.
        early = start[0] < right - 1
        points = [inverse(start), inverse((right, start[1])), inverse((right + 12, height))]
        axes.plot(
            *np.transpose(points), color=colour, linewidth=0.7, alpha=0.7, transform=axes.transAxes, clip_on=False, zorder=2,
            linestyle=(0, (1, 3)) if early else "-",
        )  # fmt: skip
        axes.annotate(
            _short(name, int((size.labels - 24) / _LETTER)), inverse((right + 14, height)), xycoords="axes fraction",
            va="center_baseline", color=colour, fontsize=11, annotation_clip=False, parse_math=False,
        )  # fmt: skip


def _apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending heights moved as little as it takes to lie `gap` apart between low and high.

    >>> _apart([1, 1, 9], 2, 0, 10)
    [0.0, 2.0, 9.0]
    >>> _apart([9, 9.5, 10], 1, 0, 10)
    [8.0, 9.0, 10.0]
    """
    groups: list[list[float]] = []  # [centre, members]; neighbours that touch become one group around their mean
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
    return [centre + (place - (count - 1) / 2) * gap for centre, count in groups for place in range(int(count))]


def _hex(name: str) -> str:
    return COLOURS[name][0]


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
