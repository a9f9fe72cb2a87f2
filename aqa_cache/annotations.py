"""The annotations table: one row per sample, that is, one action to be scored.

The columns and their meaning are documented in `docs/annotations.md`; everything but `sample_id` and `video`
may be missing.
"""

import functools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .disk.csv_file import read_rows, write_rows
from .errors import AnnotationError

FILE_NAME = "annotations.csv"
SPLITS = ("train", "val", "test")
CLASS_PREFIX = "class_"

_MOST_LETTERS = 500  # of what is said of a row
_MOST_DIGITS = 15  # of a frame's number: less than 2^53
_JUDGE = re.compile(r"judge_([1-9][0-9]{0,8})$")
_HALF = re.compile("[\ud800-\udfff]")
_PLAIN_COLUMNS = (
    "sample_id",
    "video",
    "start_frame",
    "end_frame",
    "split",
    "group",
    "fold",
    "final_score",
    "difficulty",
    "caption",
)


@dataclass(frozen=True)
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
    classes: dict[str, str] = field(default_factory=dict)
    caption: str | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """Of the caption; none where it is missing or blank."""
        return (self.caption or "").split()


def read_annotations(path: str | Path) -> list[Sample]:
    """Read an annotations table.

    Args:
        path: a CSV file, UTF-8, comma-separated, with a header.

    Raises:
        AnnotationError: every mistake in the table at once, each with its line number (at most twenty are
            written out).
    """
    path = Path(path)
    try:
        rows = read_rows(path)
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise AnnotationError(
            f"{path}: is not UTF-8 text (byte {error.start}); save it as CSV UTF-8"
        ) from None
    except ValueError as error:
        raise AnnotationError(f"{path}: is not a valid CSV file: {error}") from None
    header = [name.strip() for name in rows[0][1]] if rows else []
    rows = [(line, row) for line, row in rows[1:] if any(cell.strip() for cell in row)]
    header, rows = _without_empty_columns(header, rows)
    _check_header(path, header)
    if not rows:
        raise AnnotationError(f"{path}: has a header but no samples; add one row per sample")

    samples, mistakes, seen = [], [], {}
    for line, cells in rows:
        try:
            sample = _parse_row(header, cells)
            if sample.sample_id in seen:
                raise ValueError(
                    f"sample_id {sample.sample_id!r} is already on line {seen[sample.sample_id]}; make it"
                    " unique"
                )
            seen[sample.sample_id] = line
            samples.append(sample)
        except ValueError as error:
            mistakes.append(f"line {line}: {error}"[:_MOST_LETTERS])
    if mistakes:
        more = f"\n  … and {len(mistakes) - 20} more" if len(mistakes) > 20 else ""
        raise AnnotationError(
            f"{path}: {len(mistakes)} unusable row(s):\n  " + "\n  ".join(mistakes[:20]) + more
        )
    return samples


def write_annotations(path: str | Path, samples: Iterable[Sample]) -> None:
    """Write an annotations table that `read_annotations` reads back as equal samples, but for white space at
    the ends of a text, which reading drops.

    Raises:
        AnnotationError: a text that no table can hold; nothing is written.
    """
    samples = list(samples)
    table = to_columns(samples)
    for name, cells in table.items():
        for sample, cell in zip(samples, cells, strict=True):
            try:
                _check_text(name, cell)
            except ValueError as error:
                raise AnnotationError(f"sample {sample.sample_id!r}: {error}") from None
    write_rows(path, [list(table), *zip(*table.values(), strict=True)])


def to_columns(samples: Sequence[Sample]) -> dict[str, list[str]]:
    """The samples as text, column by column, columns that nobody uses left out; '' where a value is
    missing.
    """

    def cell(value) -> str:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        return repr(value) if isinstance(value, float) else str(value)

    columns = {name: [cell(getattr(sample, name)) for sample in samples] for name in _PLAIN_COLUMNS}
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
    return [_parse_row(header, cells) for cells in zip(*columns.values(), strict=True)]


def class_names(samples: Iterable[Sample]) -> list[str]:
    """The class columns in use, without their prefix, in the order of their first appearance."""
    return list(dict.fromkeys(name for sample in samples for name in sample.classes))


def extra_columns(samples: Iterable[Sample]) -> list[str]:
    """The columns in use that this project gives no meaning to."""
    return list(dict.fromkeys(name for sample in samples for name in sample.extra))


def _without_empty_columns(header: list[str], rows: list[tuple[int, list[str]]]) -> tuple[list[str], list]:
    """Spreadsheets leave columns without name and content behind; those that have content keep their empty
    name.
    """
    empty = {
        place
        for place, name in enumerate(header)
        if not name and not any(row[place].strip() for _, row in rows if len(row) > place)
    }
    if not empty:
        return header, rows
    keep = [place for place in range(len(header)) if place not in empty]
    return [header[place] for place in keep], [
        (line, [row[place] for place in keep] if len(row) == len(header) else row) for line, row in rows
    ]


def _check_header(path: Path, header: list[str]) -> None:
    for name in ("sample_id", "video"):
        if name not in header:
            raise AnnotationError(
                f"{path}: has no column {name!r} (its columns: {', '.join(header)[:500] or 'none'}); "
                "the first line must name the columns, and sample_id and video are required"
            )
    for name in header:
        if not name:
            raise AnnotationError(
                f"{path}: column {header.index(name) + 1} has no name but has content; name it, or delete it"
            )
        if name == CLASS_PREFIX or "\0" in name:
            raise AnnotationError(
                f"{path}: column {name!r:.60} has no usable name; name the class after {CLASS_PREFIX!r}"
            )
        if header.count(name) > 1:
            raise AnnotationError(f"{path}: column {name!r:.60} appears {header.count(name)} times; keep one")
    judges = sorted(int(match[1]) for name in header if (match := _JUDGE.match(name)))
    if judges != list(range(1, len(judges) + 1)):
        raise AnnotationError(
            f"{path}: judge columns must be judge_1, judge_2, … without a gap, got {judges[:20]}"
        )


def _parse_row(header: list[str], cells: Sequence[str]) -> Sample:
    if len(cells) != len(header):
        raise ValueError(f"has {len(cells)} cells but the header names {len(header)} columns")
    row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    for name, cell in row.items():
        _check_text(name, cell)
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
    numbers = {name: int(found[1]) for name in header if (found := _JUDGE.match(name))}
    judges = sorted(numbers, key=lambda name: numbers[name])
    classes = [name for name in header if name.startswith(CLASS_PREFIX)]
    return judges, classes, [name for name in header if name not in {*_PLAIN_COLUMNS, *judges, *classes}]


def _check_text(name: str, cell: str) -> None:
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
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} is {cell!r:.60}, expected a finite number, or nothing if it is not known")
    return value
