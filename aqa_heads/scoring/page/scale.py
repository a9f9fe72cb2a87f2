"""Points on a scale: a drawing whose lengths are shares of its width, so that its words keep their size."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ...report.html import Markup, element

_MARGIN = 0.03  # of the width, left and right of the scale
_ROW = 26  # pixels
_BINS = 24


@dataclass
class Drawing:
    """Rows on a common scale, from the top down.

    Args:
        low, high: ends of the scale, in points.
    """

    low: float
    high: float
    _parts: list[Markup] = field(default_factory=list)
    _behind: list[Markup] = field(default_factory=list)
    _height: float = 4

    def x(self, points: float) -> str:
        """
        >>> Drawing(0, 100).x(50)
        '50.00%'
        """
        share = (points - self.low) / ((self.high - self.low) or 1)
        return f"{100 * (_MARGIN + (1 - 2 * _MARGIN) * min(1.0, max(0.0, share))):.2f}%"

    def histogram(self, values: Sequence[float], said: str) -> None:
        """How often there are such values, with a line of words above."""
        width = (self.high - self.low) or 1
        bins = [0] * _BINS
        for value in values:
            bins[min(_BINS - 1, int((value - self.low) / width * _BINS))] += 1
        self._words(said)
        height = 44
        for place, count in enumerate(bins):
            if count:
                left, right = (self.low + width * edge / _BINS for edge in (place, place + 1))
                tall = height * count / max(bins)
                share = 100 * (1 - 2 * _MARGIN) / _BINS
                self._parts.append(
                    element(
                        "rect",
                        element("title", f"{count} from {left:.1f} to {right:.1f} points"),
                        x=self.x(left),
                        y=f"{self._height + height - tall:.1f}",
                        width=f"{0.94 * share:.2f}%",
                        height=f"{tall:.1f}",
                        class_="bin",
                    )
                )
        self._height += height + 6

    def interval(self, points: float, ends: tuple[float, float] | None, said: str) -> None:
        """A value with the interval around it."""
        self._words(said, "strong")
        y = self._height + 8
        if ends is not None:
            self._line(ends[0], ends[1], y, "interval")
        self._dot(points, y, 7, "value")
        self._height += 22

    def mark(self, points: float, said: str, kind: str) -> None:
        """A value with a few words beside it, on the side where there is room."""
        y = self._height + _ROW / 2
        self._dot(points, y, 4.5, kind)
        self._beside(points, y, said)
        self._height += _ROW

    def floor(self, points: float, said: str) -> None:
        """A value as a line through all rows, its name at the bottom."""
        self._behind.append(
            element("line", x1=self.x(points), x2=self.x(points), y1="0", y2="100%", class_="level")
        )
        self._beside(points, self._height + _ROW / 2, said, "muted")
        self._height += _ROW

    def alone(self, points: float, ends: tuple[float, float] | None) -> Markup:
        """A value with its interval, in one line of a table."""
        ends_said = "" if ends is None else f", {ends[0]:.1f} to {ends[1]:.1f}"
        if ends is not None:
            self._line(ends[0], ends[1], 9, "interval")
        self._dot(points, 9, 5, "value")
        said = {"role": "img", "aria_label": f"{points:.1f}{ends_said}"}
        track = element("line", x1=self.x(self.low), x2=self.x(self.high), y1="9", y2="9", class_="axis")
        title = element("title", f"{points:.1f}{ends_said}")
        return element("svg", title, track, *self._parts, class_="scale", width="100%", height="18", **said)

    def drawn(self, what: str) -> Markup:
        """All of it, above an axis.

        Args:
            what: it shows, for those who do not see it.
        """
        y, parts = self._height + 4, []
        parts.append(
            element("line", x1=self.x(self.low), x2=self.x(self.high), y1=f"{y}", y2=f"{y}", class_="axis")
        )
        for tick in ticks(self.low, self.high):
            parts.append(
                element("line", x1=self.x(tick), x2=self.x(tick), y1=f"{y}", y2=f"{y + 5}", class_="axis")
            )
            parts.append(_text(self.x(tick), y + 20, f"{tick:g}", "muted", "middle"))
        return element(
            "svg",
            *self._behind,
            *self._parts,
            *parts,
            class_="scale",
            width="100%",
            style=f"height:{y + 26:.0f}px",
            role="img",
            aria_label=what,
        )

    def _words(self, said: str, kind: str = "muted") -> None:
        self._parts.append(_text(f"{100 * _MARGIN:.0f}%", self._height + 14, said, kind))
        self._height += 20

    def _line(self, low: float, high: float, y: float, kind: str) -> None:
        y = f"{y:.1f}"
        self._parts.append(element("line", x1=self.x(low), x2=self.x(high), y1=y, y2=y, class_=kind))

    def _dot(self, points: float, y: float, radius: float, kind: str) -> None:
        self._parts.append(element("circle", cx=self.x(points), cy=f"{y:.1f}", r=radius, class_=kind))

    def _beside(self, points: float, y: float, said: str, kind: str = "") -> None:
        left = points <= (self.low + self.high) / 2
        inside = element("tspan", said, dx=9 if left else -9)
        anchor = "start" if left else "end"
        self._parts.append(_text(self.x(points), y + 4.5, inside, kind, anchor))


def ends_of(values: Iterable[float | None]) -> tuple[float, float]:
    """A scale that holds all of the values."""
    known = [value for value in values if value is not None]
    low, high = min(known), max(known)
    return (low, high) if high > low else (low - 1, high + 1)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between two ends, two to seven of them.

    >>> ticks(12.3, 88), ticks(-0.4, 0.7)
    ([20.0, 40.0, 60.0, 80.0], [-0.4, -0.2, 0.0, 0.2, 0.4, 0.6])
    """
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.6)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def bar(share: float, kind: str = "probability") -> Markup:
    """A share of 1 as a bar."""
    return element(
        "svg",
        element("rect", width="100%", height="100%", class_="track"),
        element("rect", width=f"{100 * share:.1f}%", height="100%", class_=kind),
        class_="bar",
        width="100%",
        height="10",
        aria_hidden="true",
    )


def _text(x: str, y: float, said, kind: str = "", anchor: str = "start") -> Markup:
    return element("text", said, x=x, y=f"{y:.1f}", class_=kind or None, text_anchor=anchor)
