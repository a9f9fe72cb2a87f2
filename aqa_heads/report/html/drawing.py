"""A matplotlib figure as it is stored and shown: PNG on white, PDF, and SVG in the colours of the page it
stands in.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from aqa_cache.errors import missing

from .style import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

LETTER = 6.4  # mean width of one in the small text of figures, in pixels
PNG_DPI = 72 * 2.5
PNG_MARGIN = 0.12  # inches
_PNG_LEVEL = 4  # of zlib: as small as 6 for flat colours, in half the time


@dataclass(frozen=True)
class Size:
    """The size of a figure in CSS pixels (one is 1/72 inch in the PNG); `labels` is the room for names
    right of the axes.
    """

    width: int
    height: int
    labels: int = 14


@dataclass(frozen=True)
class Drawing:
    """A figure as it is stored and shown: bytes of a PNG and of a PDF file, and markup to stand inside an
    HTML page.

    Args:
        shared: what stands in figures of one page alike (`frames.Frame`), by its id; the markup has a `<use>`
            in its place.
    """

    png: bytes
    svg: str
    narrow_svg: str | None = None
    pdf: bytes = b""
    shared: Mapping[str, str] = field(default_factory=dict)


def render(
    draw: Callable[[Size], "Figure"], size: Size, title: str, description: str, narrow: Size | None = None
) -> Drawing:
    """Draw a figure, and once more where narrow pages want another shape.

    Args:
        draw: makes the figure; its first axes are those that the title stands above.
        title: stands above the PNG; on the page the caption says it.
        description: what the figure shows, for those who do not see it.

    Raises:
        MissingDependency: matplotlib is missing or broken.
    """
    with drawing():
        figure = draw(size)
        svg = _svg(figure, size, description)
        png, box = _png(figure, title, description)
        narrow_svg = None if narrow is None else _svg(draw(narrow), narrow, description)
        return Drawing(png, svg, narrow_svg, pdf_file(figure, box, description))


@contextmanager
def drawing() -> Iterator[None]:
    """In the block, matplotlib draws as figures of a report are drawn.

    Raises:
        MissingDependency: matplotlib is missing or broken.
    """
    try:
        import matplotlib
        import matplotlib.figure
    except Exception as error:  # not installed, or broken
        raise missing("matplotlib", "figures", error) from error
    with (
        matplotlib.rc_context({**matplotlib.rcParamsDefault, **_settings()}),
        warnings.catch_warnings(),
    ):
        # Matplotlib's own font lacks some scripts: boxes in the PNG, while the page's text is the reader's
        # font.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        yield


def _settings() -> dict:
    """Matplotlib's settings for all figures."""
    return {
        "backend": "agg",
        # Text stays text: it takes the reader's own sans-serif font and can be searched and read aloud.
        "svg.fonttype": "none",
        "svg.hashsalt": "aqa-report",
        "pdf.fonttype": 3,  # outlines: a font of its own in each file takes four times as long
        "font.family": "sans-serif",
        "font.size": 12,
        "text.color": on_white("ink"),
        "axes.edgecolor": on_white("muted"),
        "axes.labelcolor": on_white("ink"),
        "xtick.color": on_white("muted"),
        "ytick.color": on_white("muted"),
        "axes.unicode_minus": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": on_white("grid"),
        "grid.linewidth": 0.8,
        "axes.axisbelow": True,
        "axes.facecolor": "none",
        "axes.linewidth": 0.8,
        "path.simplify": True,
    }


def _png(figure: "Figure", title: str, description: str) -> tuple[bytes, "Bbox"]:
    """The figure on white, below its title, without margins; and what it takes up, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    set_title(figure.axes[0], title)
    # "tight" would draw all once more, to the same end.
    figure.set_dpi(PNG_DPI)
    box = figure.get_tightbbox(canvas.get_renderer()).padded(PNG_MARGIN)
    pixels = io.BytesIO()
    figure.savefig(pixels, format="rgba", dpi=PNG_DPI, facecolor="white", bbox_inches=box)
    width, height = (int(length * PNG_DPI) for length in (box.width, box.height))
    picture = np.frombuffer(pixels.getvalue(), np.uint8).reshape(height, width, 4)
    return png_file(picture, description), box


def set_title(axes: "Axes", title: str) -> "Text":
    """Above the axes and what sticks out of them, of a figure whose canvas is Agg's."""
    renderer = axes.figure.canvas.get_renderer()
    height = max(text.get_window_extent(renderer).y1 for text in (*axes.texts, axes.yaxis.label))
    above = max(8.0, height - axes.bbox.y1 + 6)
    return axes.set_title(title, loc="left", pad=above, fontsize=13, parse_math=False)


def png_file(pixels: np.ndarray, description: str) -> bytes:
    """Shape: pixels: `(height, width, 4)` uint8, opaque."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    said = PngInfo()
    said.add_text("Description", description)
    file = io.BytesIO()
    # Without the fourth channel a quarter of the time goes into finding that it is opaque.
    picture = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    picture.save(file, format="png", dpi=(PNG_DPI, PNG_DPI), pnginfo=said, compress_level=_PNG_LEVEL)
    return file.getvalue()


def pdf_file(figure: "Figure", box: "Bbox", description: str) -> bytes:
    """What lies in `box`, in inches, on nothing."""
    file = io.BytesIO()
    said = {"CreationDate": None, "Creator": None, "Producer": None, "Subject": description}
    figure.savefig(file, format="pdf", facecolor="none", bbox_inches=box, metadata=said)
    return file.getvalue()


def _svg(figure: "Figure", size: Size, description: str) -> str:
    """The figure as an `<svg>` element whose colours are the page's variables, so that it follows light and
    dark.
    """
    return svg_element(size, description, svg_content(figure, description))


def svg_element(size: Size, description: str, content: str) -> str:
    return (
        f'<svg width="{size.width}" viewBox="0 0 {size.width} {size.height}" style="max-width:{size.width}px"'
        f' role="img" aria-label="{escape(description)}">{content}</svg>'
    )


def svg_content(figure: "Figure", description: str) -> str:
    """What stands in the `<svg>` element of a figure, with ids of its own."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", facecolor="none", edgecolor="none", metadata={"Date": None})
    markup = stream.getvalue()
    markup = markup[markup.index(">", markup.index("<svg")) + 1 : markup.rindex("</svg>")]
    unused = r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*|<style.*?</style>\s*"
    markup = _recoloured(re.sub(unused, "", markup, flags=re.DOTALL))
    # One page holds many figures, and matplotlib counts the names of their parts from one in each.
    prefix = digest(description + markup)
    markup = re.sub(r'\bid="', f'id="{prefix}-', markup)
    markup = re.sub(r'((?:xlink:)?href="|url\()#', rf"\1#{prefix}-", markup)
    return re.sub(r"font: (\d+px) [^;\"]*", r"font-size: \1", re.sub(r"\n\s*", "\n", markup)).strip()


def use(name: str) -> str:
    """What stands for a shared part."""
    return f'<use href="#{name}"/>'


def _recoloured(markup: str) -> str:
    for name, (drawn, _) in COLOURS.items():
        markup = re.sub(re.escape(drawn) + r"(?=[;\"'\s])", f"var(--{name})", markup, flags=re.IGNORECASE)
    return markup


def digest(text: str) -> str:
    return "f" + sha256(text.encode()).hexdigest()[:8]


def new_axes(size: Size, left: int = 60, top: int = 12, bottom: int = 46):
    """A figure and its axes, with room around them in pixels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size.width / 72, size.height / 72), dpi=72)
    box = (left / size.width, bottom / size.height, (size.width - left - size.labels) / size.width)
    return figure, figure.add_axes((*box, (size.height - bottom - top) / size.height))


def on_white(name: str) -> str:
    """A colour of the page as it is drawn; the markup then names it instead."""
    return COLOURS[name][0]


def cut(text: str, length: int) -> str:
    """
    >>> cut("difficulty", 5)
    'diff…'
    """
    return text if len(text) <= length else text[: length - 1] + "…"
