"""Lines over epochs, each named at its end."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..html import SERIES, drawing
from ..html.drawing import LETTER, Drawing, Size, new_axes, on_white
from ..html.frames import Frame
from .line_names import name_ends

_LINE_STYLES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)))
# From so many rows on, the figure of each has all rows behind it, itself among them: then it is one frame.
MANY = 4
LOSS_LABEL = "training loss"
WORD_LOSS_LABEL = "caption loss per word (nats)"
TEST_LABEL = "Spearman's ρ, test set"
VALIDATION_LABEL = "Spearman's ρ, validation"
ERROR_LABEL = "mean absolute error (points)"
_LOSSES = (LOSS_LABEL, WORD_LOSS_LABEL)

WIDE, NARROW, SMALL = Size(1000, 430, 190), Size(350, 340, 132), Size(500, 240, 132)
PLAIN = Size(430, 220, 66)


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
        name_ends(axes, ends, size)

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
