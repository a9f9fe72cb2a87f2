"""Figures of one page that differ in little: axes and all that stands behind are drawn once."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .drawing import (
    PNG_DPI,
    PNG_MARGIN,
    Drawing,
    Size,
    digest,
    drawing,
    pdf_file,
    png_file,
    set_title,
    svg_content,
    svg_element,
    use,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

_ROUND = 48  # pixels around the figure, for what sticks out of it


class Frame:
    """Axes and what several figures of one page show alike.

    On the page it is written out in the first of them, and the others refer to it. What a figure has for
    itself lies above the frame, whatever its zorder.

    Args:
        draw: makes the figure with one pair of axes, without what differs.
        size: of every figure.

    Raises:
        MissingDependency: matplotlib is missing or broken.
    """

    def __init__(self, draw: Callable[[Size], "Figure"], size: Size):
        self._size = size
        with drawing():
            self._shown, self._pixels = draw(size), draw(size)
            content = svg_content(self._shown, "")
            self._name = f"frame-{digest(content)}"
            self._shared = f'<g id="{self._name}">{content}</g>'
            _hide(self._shown)
            self._background, self._box = _drawn_with_room(self._pixels)

    def render(
        self,
        mark: Callable[["Axes"], None],
        title: str,
        description: str,
        on_page: Callable[["Axes"], str] | None = None,
    ) -> Drawing:
        """A figure in this frame.

        Args:
            mark: draws what it has for itself into the axes, whose limits stay as they are.
            title, description: as of `drawing.render`.
            on_page: gives markup that stands on the page in place of what `mark` draws.
        """
        with drawing():
            if on_page is not None:
                content = on_page(self._shown.axes[0])
            else:
                own = _mark(self._shown, mark)
                content = svg_content(self._shown, description)
                _take_away(own)
            svg = svg_element(self._size, description, use(self._name) + content)
            self._pixels.set_dpi(72)  # where names lie apart is reckoned in the pixels of the page
            own = _mark(self._pixels, mark)
            own.append(set_title(self._pixels.axes[0], title))
            png, box = self._png(own, description)
            pdf = pdf_file(self._pixels, box, description)
            _take_away(own[:-1])
            return Drawing(png, svg, pdf=pdf, shared={self._name: self._shared})

    def _png(self, own: list["Artist"], description: str) -> tuple[bytes, "Bbox"]:
        """The figure as PNG, and what it takes up, in inches."""
        from matplotlib.backends.backend_agg import RendererAgg
        from matplotlib.transforms import Bbox

        self._pixels.set_dpi(PNG_DPI)
        height, width = self._background.shape[:2]
        measuring = RendererAgg(width, height, PNG_DPI)
        box = Bbox.union([self._box, *(artist.get_tightbbox(measuring) for artist in own)])
        box = box.padded(PNG_MARGIN * PNG_DPI)
        renderer = RendererAgg(max(width, int(box.x1) + 1), height, PNG_DPI)
        pixels = np.asarray(renderer.buffer_rgba())
        pixels[...] = 255
        pixels[:, :width] = self._background
        for artist in sorted(own, key=lambda artist: artist.get_zorder()):
            artist.draw(renderer)
        rows = slice(max(0, int(height - box.y1)), int(height - box.y0))
        picture = pixels[rows, max(0, int(box.x0)) : int(box.x1)]
        return png_file(picture, description), Bbox(box.get_points() / PNG_DPI)


def _mark(figure: "Figure", mark: Callable[["Axes"], None]) -> list["Artist"]:
    """What it has drawn."""
    axes = figure.axes[0]
    before = set(axes.get_children())
    mark(axes)
    return [artist for artist in axes.get_children() if artist not in before]


def _take_away(artists: list["Artist"]) -> None:
    for artist in artists:
        artist.remove()


def _hide(figure: "Figure") -> None:
    """All that is in it now."""
    for artist in (figure.patch, *figure.axes[0].get_children()):
        artist.set_visible(False)


def _drawn_with_room(figure: "Figure") -> tuple[np.ndarray, "Bbox"]:
    """Pixels of the figure on white with `_ROUND` around it, and the box of what it shows, in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    axes = figure.axes[0]
    place, (width, height) = axes.bbox.frozen(), figure.get_size_inches() * 72
    wider, higher = width + 2 * _ROUND, height + 2 * _ROUND
    figure.set_size_inches(wider / 72, higher / 72)
    axes.set_position(
        (
            (place.x0 + _ROUND) / wider,
            (place.y0 + _ROUND) / higher,
            place.width / wider,
            place.height / higher,
        )
    )
    figure.set_dpi(PNG_DPI)
    figure.patch.set_facecolor("white")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    inches = figure.get_tightbbox(canvas.get_renderer())
    return np.array(canvas.buffer_rgba()), Bbox(inches.get_points() * PNG_DPI)
