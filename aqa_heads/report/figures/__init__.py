"""The figures of a report: curves, rows of intervals or dots, predicted over true, tables of shares."""

from .curves import (
    ERROR_LABEL,
    LOSS_LABEL,
    MANY,
    PLAIN,
    SMALL,
    TEST_LABEL,
    VALIDATION_LABEL,
    WIDE,
    WORD_LOSS_LABEL,
    Curve,
    draw_curves,
)
from .matrix import draw_matrix
from .rows import Dots, Interval, Mark, draw_dots, draw_intervals
from .scatter import Dot, draw_scatter, scatter_frame

__all__ = [
    "ERROR_LABEL",
    "LOSS_LABEL",
    "MANY",
    "PLAIN",
    "SMALL",
    "TEST_LABEL",
    "VALIDATION_LABEL",
    "WIDE",
    "WORD_LOSS_LABEL",
    "Curve",
    "Dot",
    "Dots",
    "Interval",
    "Mark",
    "draw_curves",
    "draw_dots",
    "draw_intervals",
    "draw_matrix",
    "draw_scatter",
    "scatter_frame",
]
