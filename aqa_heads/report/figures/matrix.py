"""The figures of a report that are tables of shares: what was confused with what, which clip was looked
at.
"""

from collections.abc import Sequence

import numpy as np

from ..html import drawing
from ..html.drawing import LETTER, Drawing, Size, cut, new_axes, on_white

_CELL_WIDTH, _CELL_HEIGHT = 38, 26
_WIDEST = 700
_LONGEST = 20
# Numbers stay readable on the darkest cell, on a light page and on a dark one.
_DARKEST = 0.55


def draw_matrix(
    shares: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    labels: tuple[str, str],
    title: str,
    description: str,
    texts: Sequence[Sequence[str]] | None = None,
) -> Drawing:
    """Cells that are the darker the larger their share.

    Args:
        labels: what rows and columns are.
        texts: what stands in the cells, where they are wide enough; None: nothing.

    Shape:
        - shares: `(rows, columns)`, 0 to 1; NaN is left empty.
    """
    cell = max(4.0, min(_CELL_WIDTH, _WIDEST / len(columns)))
    every = int(np.ceil(16 / cell))  # where cells are narrow, not every column has room for its name
    row_names, column_names = ([cut(str(name), _LONGEST) for name in names] for names in (rows, columns))
    widest = LETTER * max(map(len, column_names))
    upright = widest > cell * every - 4
    left, bottom = round(46 + LETTER * max(map(len, row_names))), 46 + (round(widest) if upright else 0)
    size = Size(round(left + cell * len(columns)) + 14, bottom + _CELL_HEIGHT * len(rows) + 12)

    def draw(size: Size):
        from matplotlib.patches import Rectangle

        figure, axes = new_axes(size, left=left, bottom=bottom)
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xticks(range(0, len(columns), every), column_names[::every], rotation=90 if upright else 0)
        axes.set_yticks(range(len(rows)), row_names)
        for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            text.set_parse_math(False)
            text.set_fontsize(11)
        axes.tick_params(length=0, labelcolor=on_white("ink"))
        axes.grid(visible=False)
        axes.set_ylabel(labels[0])
        axes.set_xlabel(labels[1])
        for row, column in np.ndindex(shares.shape):
            if np.isfinite(share := shares[row, column]):
                axes.add_patch(
                    Rectangle(
                        (column - 0.47, row - 0.46),
                        0.94,
                        0.92,
                        linewidth=0,
                        facecolor=on_white("series-1"),
                        alpha=_DARKEST * float(share),
                    )
                )
            if texts is not None and cell > 24:
                axes.text(column, row, texts[row][column], ha="center", va="center_baseline", fontsize=11)
        return figure

    return drawing.render(draw, size, title, description)
