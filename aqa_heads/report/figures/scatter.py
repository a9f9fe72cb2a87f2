"""Predicted over true scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from ..html import SERIES
from ..html.drawing import Drawing, Size, new_axes, on_white
from ..html.frames import Frame

_RASTER_POINTS = 1500
_ALPHA = 0.55
SQUARE = Size(250, 250)


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


@dataclass(frozen=True)
class Dot:
    """A sample of a figure.

    Args:
        true, predicted: in score points, finite.
        said: what shows when a pointer is on it.
        link: place on the page, without `#`; empty: none.
    """

    true: float
    predicted: float
    said: str = ""
    link: str = ""


def draw_scatter(frame: Frame, dots: Sequence[Dot], colour: int, title: str, description: str) -> Drawing:
    """Predicted over true score; points beyond the limits of the frame lie on the edge, as triangles. On the
    page each dot names its sample, and leads to it.
    """
    true, predicted = (np.array([getattr(dot, name) for dot in dots]) for name in ("true", "predicted"))

    def mark(axes) -> None:
        low, high = axes.get_xlim()
        shown, beyond = np.clip(predicted, low, high), (predicted < low) | (predicted > high)
        for marker, chosen, size_points in (("o", ~beyond, 3.6), ("^", beyond, 6)):
            if chosen.any():
                axes.plot(
                    true[chosen],
                    shown[chosen],
                    marker,
                    color=on_white(f"series-{colour % SERIES}"),
                    alpha=_ALPHA,
                    markersize=size_points,
                    markeredgewidth=0,
                    clip_on=False,
                    rasterized=len(dots) > _RASTER_POINTS,
                )

    def as_links(axes) -> str:
        low, high = axes.get_xlim()
        places = axes.transData.transform(np.stack([true, np.clip(predicted, low, high)], axis=1))
        places[:, 1] = SQUARE.height - places[:, 1]
        shown = (
            _linked(dot, x, y, low <= dot.predicted <= high) for dot, (x, y) in zip(dots, places, strict=True)
        )
        return (
            f'<g class="dots" fill="var(--series-{colour % SERIES})" fill-opacity="{_ALPHA}">'
            f"{''.join(shown)}</g>"
        )

    return frame.render(mark, title, description, as_links if len(dots) <= _RASTER_POINTS else None)


def _linked(dot: Dot, x: float, y: float, inside: bool) -> str:
    shape = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>'
        if inside
        else f'<path d="M{x:.1f},{y - 3.5:.1f}l3.5,6.5h-7z"/>'
    )
    said = f"<title>{escape(dot.said)}</title>{shape}"
    return f'<a href="#{escape(dot.link)}" tabindex="-1">{said}</a>' if dot.link else f"<g>{said}</g>"
