"""What a cell says: numbers with decimal commas, whole numbers with a fraction of 0, words for nothing known,
words for the parts of a split, times.
"""

import math
import re
from collections.abc import Sequence

from ..errors import some
from .columns import CLASS_PREFIX, END, JUDGE, SCALE, SECONDS, START

_FRAMES = ("start_frame", "end_frame")
_NUMBERS = ("final_score", "difficulty", *SCALE)
_TEXTS = ("group", "fold", "caption")
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
# Words for nothing known; in columns of text only those that are no names.
_NOTHING = {"nan", "n/a", "#n/a", "na", "null", "none", "-", "–", "—", "?"}
_NOTHING_IN_TEXT = {"NaN", "nan", "n/a", "N/A", "#N/A"}
_WHOLE = re.compile(r"([0-9]+)[.,]0+$")
_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+$")
_DIGITS = re.compile(r"[+-]?[0-9.,]+$")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+$")
_POINTED = re.compile(r"[1-9][0-9]{0,2}(\.[0-9]{3})+$")
_FAR = 10  # times as large
_TIME = re.compile(r"(?:(?:([0-9]{1,3}):)?([0-9]{1,4}):)([0-9]{1,2}(?:[.,][0-9]+)?)$")
_SECONDS = re.compile(r"[0-9]{1,9}(?:[.,][0-9]+)?$")


def as_written_here(
    header: Sequence[str], rows: Sequence[tuple[int, list[str]]]
) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """The rows with every cell as this project writes it, and what made the difference.

    A cell that may be read in two ways stays as it is, and is refused by who reads it.

    Raises:
        ValueError: the points in a column may stand between thousands.
    """
    said: list[str] = []
    with_commas: list[str] = []
    rows = [(line, [cell.strip() for cell in cells]) for line, cells in rows]
    _check_points(header, rows)
    for place, name in enumerate(header):
        kind = _kind(name)
        if kind is None:
            continue
        cells = [cells[place] for _, cells in rows if len(cells) == len(header)]
        commas = kind == "number" and _decimal_commas(cells)
        counts = {"nothing": 0}
        words: dict[str, str] = {}
        for _, row in rows:
            if len(row) != len(header):
                continue
            cell = row[place]
            if cell in _NOTHING_IN_TEXT or (kind != "text" and cell.casefold() in _NOTHING):
                row[place] = ""
                counts["nothing"] += 1
                words.setdefault(cell, "")
            elif kind == "number" and commas and _COMMA.match(cell):
                row[place] = cell.replace(",", ".")
            elif kind == "frame" and (whole := _WHOLE.match(cell)):
                row[place] = whole[1]
            elif kind == "split" and (split := _SPLITS.get(cell.casefold())) and split != cell:
                row[place] = split
                words[cell] = split
        if counts["nothing"]:
            empty = some([repr(word) for word, meant in words.items() if not meant], 3)
            said.append(f"{empty} in {name} as not known ({counts['nothing']} cells)")
        if commas:
            with_commas.append(name)
        if taken := [f"{word!r} as {meant}" for word, meant in words.items() if meant]:
            said.append(f"{name} {some(taken)}")
    return rows, [*([f"decimal commas in {some(with_commas)}"] if with_commas else []), *said]


def seconds_of(cell: str, unit: str | None) -> float | None:
    """A time in seconds: `1:05.2`, `0:01:05,2`, or a number in a unit; None where nothing stands there.

    Raises:
        ValueError: neither, or a number whose unit is not said.
    """
    if not cell or cell.casefold() in _NOTHING:
        return None
    if time := _TIME.match(cell):
        hours, minutes, seconds = int(time[1] or 0), int(time[2]), float(time[3].replace(",", "."))
        if seconds >= 60 or (time[1] and minutes >= 60):
            raise ValueError(f"{cell!r:.60} is no time; expected minutes:seconds or hours:minutes:seconds")
        return 3600.0 * hours + 60.0 * minutes + seconds
    if not _SECONDS.match(cell):
        raise ValueError(f"{cell!r:.60} is no time; expected seconds, or minutes:seconds such as 1:05.2")
    factor = SECONDS.get(unit or "")
    if factor is None:
        raise ValueError(
            f"{cell!r:.60} may be seconds or frames; say which: --columns start=NAME,end=NAME,unit=s, or name"
            " the columns start_frame and end_frame"
        )
    if unit == "ms" and "," in cell:
        raise ValueError(f"{cell!r:.60} may have a comma between thousands; write milliseconds without one")
    return float(cell.replace(",", ".")) * factor


def number_trouble(cell: str) -> str:
    """Why a cell is not read as a number, as the end of a sentence; '' where nothing more can be said."""
    if not _DIGITS.match(cell):
        return "; write the number alone, without a unit" if re.search(r"[0-9]", cell) else ""
    if "," not in cell:
        return ""
    return (
        "; a comma is a decimal one only where no number of its column has a point, and not all have three"
        " digits behind the comma, as between thousands: write numbers with a point"
    )


def _kind(name: str) -> str | None:
    if name in _FRAMES:
        return "frame"
    if name in _NUMBERS or JUDGE.match(name):
        return "number"
    if name == "split":
        return "split"
    if name in (START, END):
        return "time"
    return "text" if name in _TEXTS or name.startswith(CLASS_PREFIX) else None


def _check_points(header: Sequence[str], rows: Sequence[tuple[int, list[str]]]) -> None:
    """Refuse `1.021` as a number where another column has decimal commas, or where 987 stands in its own
    column: then the point stands between thousands.
    """
    columns = {
        name: [cells[place] for _, cells in rows if len(cells) == len(header)]
        for place, name in enumerate(header)
        if _kind(name) == "number"
    }
    commas = [name for name, cells in columns.items() if _decimal_commas(cells)]
    for name, cells in columns.items():
        pointed = [cell for cell in cells if "." in cell]
        if not pointed or not all(_POINTED.match(cell) for cell in pointed):
            continue
        whole = [number_of(cell) for cell in cells if cell.isdecimal()]
        far = bool(whole) and min(whole) >= _FAR * max(map(number_of, pointed))
        if commas or far:
            beside = f"{commas[0]} has decimal commas" if commas else f"others are {min(whole):g} and more"
            raise ValueError(
                f"{name} has {pointed[0]!r}, and {beside}, so that its point may stand between thousands;"
                " write these numbers without points between thousands, or with a point before decimals in"
                " all columns"
            )


def _decimal_commas(cells: Sequence[str]) -> bool:
    """Whether the commas in a column are decimal ones: none has a point too, and not all look like
    separators of thousands.
    """
    having = [cell for cell in cells if _COMMA.match(cell)]
    points = any("." in cell for cell in cells)
    return bool(having) and not points and not all(_THOUSANDS.match(cell) for cell in having)


def number_of(cell: str) -> float:
    """The number that a cell is; NaN where it is none, or none that is finite. Python's `1_000` is none."""
    try:
        value = math.nan if "_" in cell else float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
