"""Names at the ends of lines."""

from collections.abc import Sequence

import numpy as np

from ..html.drawing import LETTER, Size, cut


def name_ends(axes, ends: list[tuple], size: Size) -> None:
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
