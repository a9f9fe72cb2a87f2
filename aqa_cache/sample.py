"""One action to be scored, and its row of an annotations table as text."""

import functools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .short_repr import short_repr
from .tables.columns import CLASS_PREFIX, JUDGE, PLAIN
from .tables.values import number_of, number_trouble

SPLITS = ("train", "val", "test")

_MOST_DIGITS = 15  # of a frame's number: less than 2^53
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Sample:
    """One action to be scored.

    Args:
        sample_id: unique in its table.
        video: file or frame folder, relative to the folder of videos, with forward slashes.
        start_frame, end_frame: 0-based, half-open; None means from the first and to the last frame.
        split: one of `SPLITS`, or None where nothing is said.
        group: what must not be on both sides of a split (the competition, the patient, the session).
        fold: an official fold's name.
        final_score: in points.
        difficulty: the factor by which the execution score is multiplied.
        judges: the marks, in the order of the columns `judge_1` …; NaN where a judge gave none. Empty: not
            known.
        classes: class name by column name without the prefix `class_`; a missing label has no entry.
        caption: what a commentator said, words separated by spaces.
        extra: columns this project gives no meaning to, kept as they are.
    """

    sample_id: str
    video: str
    start_frame: int | None = None
    end_frame: int | None = None
    split: str | None = None
    group: str | None = None
    fold: str | None = None
    final_score: float | None = None
    difficulty: float | None = None
    judges: tuple[float, ...] = ()
    classes: dict[str, str] = field(default_factory=dict[str, str])
    caption: str | None = None
    extra: dict[str, str] = field(default_factory=dict[str, str])

    __repr__ = short_repr

    @property
    def words(self) -> list[str]:
        """Of the caption; none where it is missing or blank."""
        return (self.caption or "").split()


def to_columns(samples: Sequence[Sample]) -> dict[str, list[str]]:
    """The samples as text, column by column, columns that nobody uses left out; '' where a value is
    missing.
    """

    def cell(value: object) -> str:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        return repr(value) if isinstance(value, float) else str(value)

    columns = {name: [cell(getattr(sample, name)) for sample in samples] for name in PLAIN}
    columns = {name: cells for name, cells in columns.items() if name in ("sample_id", "video") or any(cells)}
    caption = columns.pop("caption", None)
    for number in range(max((len(sample.judges) for sample in samples), default=0)):
        columns[f"judge_{number + 1}"] = [
            cell(sample.judges[number]) if number < len(sample.judges) else "" for sample in samples
        ]
    for name in class_names(samples):
        columns[CLASS_PREFIX + name] = [sample.classes.get(name, "") for sample in samples]
    for name in dict.fromkeys(name for sample in samples for name in sample.extra):
        columns[name] = [sample.extra.get(name, "") for sample in samples]
    if caption is not None:
        columns["caption"] = caption
    return columns


def from_columns(columns: dict[str, Sequence[str]]) -> list[Sample]:
    """The inverse of `to_columns`.

    Raises:
        ValueError: a value that its column does not admit.
    """
    header = list(columns)
    return [parse_row(header, cells) for cells in zip(*columns.values(), strict=True)]


def class_names(samples: Iterable[Sample]) -> list[str]:
    """The class columns in use, without their prefix, in the order of their first appearance."""
    return list(dict.fromkeys(name for sample in samples for name in sample.classes))


def extra_columns(samples: Iterable[Sample]) -> list[str]:
    """The columns in use that this project gives no meaning to."""
    return list(dict.fromkeys(name for sample in samples for name in sample.extra))


def parse_row(header: list[str], cells: Sequence[str]) -> Sample:
    """A row of text as a sample.

    Raises:
        ValueError: a value that its column does not admit.
    """
    if len(cells) != len(header):
        raise ValueError(f"has {len(cells)} cells but the header names {len(header)} columns")
    row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    for name, cell in row.items():
        check_text(name, cell)
    for name in ("sample_id", "video"):
        if not row[name]:
            raise ValueError(f"{name} is empty")
    if row["sample_id"] in (".", ".."):
        raise ValueError(f"sample_id is {row['sample_id']!r}, which names a folder; choose another name")
    if bad := next((name for name, cell in row.items() if "\0" in cell), None):
        raise ValueError(f"{bad} is {row[bad]!r:.60}, which holds a NUL character; take it out")
    start, end = _integer(row, "start_frame"), _integer(row, "end_frame")
    if start is not None and end is not None and end <= start:
        raise ValueError(
            f"end_frame {end} must be greater than start_frame {start} (frames [start, end), 0-based)"
        )
    split = row.get("split") or None
    if split is not None and split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; use one of {', '.join(SPLITS)}, or leave it empty")
    difficulty = _number(row, "difficulty")
    if difficulty is not None and difficulty <= 0:
        raise ValueError(
            f"difficulty is {difficulty}, it must be greater than 0; leave it empty if there is none"
        )
    judge_columns, class_columns, other_columns = _kinds(tuple(header))
    judges = tuple(math.nan if (mark := _number(row, name)) is None else mark for name in judge_columns)
    return Sample(
        sample_id=row["sample_id"],
        video=row["video"],
        start_frame=start,
        end_frame=end,
        split=split,
        group=row.get("group") or None,
        fold=row.get("fold") or None,
        final_score=_number(row, "final_score"),
        difficulty=difficulty,
        judges=() if all(math.isnan(mark) for mark in judges) else judges,
        classes={name[len(CLASS_PREFIX) :]: row[name] for name in class_columns if row[name]},
        caption=row.get("caption") or None,
        extra={name: row[name] for name in other_columns if row[name]},
    )


@functools.lru_cache(maxsize=8)
def _kinds(header: tuple[str, ...]) -> tuple[list[str], list[str], list[str]]:
    """The columns of judges in their order, of classes, and those without a meaning here."""
    numbers = {name: int(found[1]) for name in header if (found := JUDGE.match(name))}
    judges = sorted(numbers, key=lambda name: numbers[name])
    classes = [name for name in header if name.startswith(CLASS_PREFIX)]
    return judges, classes, [name for name in header if name not in {*PLAIN, *judges, *classes}]


def check_text(name: str, cell: str) -> None:
    """Raise a ValueError for text that no table can hold."""
    if half := _HALF.search(name + cell):
        raise ValueError(
            f"{name!r} holds {half[0]!r}, half of a surrogate pair, which is no character and cannot be"
            f" stored: {cell!r}"
        )


def _integer(row: dict[str, str], name: str) -> int | None:
    cell = row.get(name)
    if not cell:
        return None
    if not cell.isascii() or not cell.isdigit() or len(cell) > _MOST_DIGITS:
        raise ValueError(f"{name} is {cell!r:.60}, expected a whole number of frames from 0 up")
    return int(cell)


def _number(row: dict[str, str], name: str) -> float | None:
    cell = row.get(name)
    if not cell:
        return None
    value = number_of(cell)
    if math.isnan(value):
        raise ValueError(
            f"{name} is {cell!r:.60}, expected a finite number, or nothing if it is not"
            f" known{number_trouble(cell)}"
        )
    return value
