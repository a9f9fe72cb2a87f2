"""A matplotlib figure as it is stored and shown: PNG on white, and SVG in the colours of the page it stands
in.
"""

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING

from aqa_cache.errors import missing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
LETTER = 6.4  # mean width of one in the small text of figures, in pixels
_PNG_DPI = 72 * 2.5


@dataclass(frozen=True)
class Size:
    """Of a figure, in CSS pixels (one is 1/72 inch in the PNG); `labels` is the room for names right of the
    axes.
    """

    width: int
    height: int
    labels: int = 14


@dataclass(frozen=True)
class Drawing:
    """A figure as it is stored and shown: bytes of a PNG file, and markup to stand inside an HTML page."""

    png: bytes
    svg: str
    narrow_svg: str | None = None


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
    try:
        import matplotlib
        import matplotlib.figure
    except Exception as error:  # not installed, or broken
        raise missing("matplotlib", "figures", error) from error
    # Text stays text: it takes the reader's own sans-serif font and can be searched and read aloud.
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "aqa-report",
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
    with (
        matplotlib.rc_context({**matplotlib.rcParamsDefault, **settings, "backend": "agg"}),
        warnings.catch_warnings(),
    ):
        # Matplotlib's own font lacks some scripts: boxes in the PNG, while the page's text is the reader's
        # font.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        figure = draw(size)
        svg = _svg(figure, size, description)
        png = io.BytesIO()
        height = max(
            text.get_window_extent().y1 for text in (*figure.axes[0].texts, figure.axes[0].yaxis.label)
        )
        above = max(8.0, height - figure.axes[0].bbox.y1 + 6)
        figure.axes[0].set_title(title, loc="left", pad=above, fontsize=13, parse_math=False)
        figure.savefig(
            png,
            format="png",
            dpi=_PNG_DPI,
            facecolor="white",
            bbox_inches="tight",
            pad_inches=0.12,
            metadata={"Description": description},
        )
        return Drawing(
            png.getvalue(), svg, None if narrow is None else _svg(draw(narrow), narrow, description)
        )


def _svg(figure, size: Size, description: str) -> str:
    """The figure as an `<svg>` element whose colours are the page's variables, so that it follows light and
    dark.
    """
    stream = io.StringIO()
    figure.savefig(stream, format="svg", facecolor="none", edgecolor="none", metadata={"Date": None})
    markup = stream.getvalue()
    unused = r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*|<style.*?</style>\s*"
    markup = re.sub(unused, "", markup[markup.index("<svg") :], flags=re.DOTALL)
    opening = (
        f'<svg width="{size.width}" viewBox="0 0 {size.width} {size.height}" style="max-width:{size.width}px"'
        f' role="img" aria-label="{escape(description)}">'
    )
    markup = opening + markup[markup.index(">") + 1 :]
    for name, (drawn, _) in COLOURS.items():
        markup = re.sub(re.escape(drawn) + r"(?=[;\"'\s])", f"var(--{name})", markup, flags=re.IGNORECASE)
    # One page holds many figures, and matplotlib counts the names of their parts from one in each.
    prefix = _digest(markup)
    markup = re.sub(r'\bid="', f'id="{prefix}-', markup)
    markup = re.sub(r'((?:xlink:)?href="|url\()#', rf"\1#{prefix}-", markup)
    return re.sub(r"font: (\d+px) [^;\"]*", r"font-size: \1", re.sub(r"\n\s*", "\n", markup)).strip()


def _digest(text: str) -> str:
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
