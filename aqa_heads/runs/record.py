"""Records in files, JSON and CSV, read as bounded values of known kinds."""

import csv
import json
import math
import os
import reprlib
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

# Bytes of a JSON file, characters of a line of a CSV file, levels of a JSON value.
_LARGEST_JSON, _LONGEST_LINE = 2**26, 2**20
_DEEPEST = 20
_LARGEST_NUMBER = 1e100  # whose square is a number, too
_SAFE_DIGITS = 40  # what has more is no number of ours, and Python takes no more than some thousands


@dataclass(frozen=True)
class Whole:
    """A whole number, ends included."""

    lowest: int = 0
    highest: int = 2**53

    def __str__(self) -> str:
        return f"a whole number from {self.lowest} to {self.highest}"

    def has(self, value) -> bool:
        return type(value) is int and self.lowest <= value <= self.highest


@dataclass(frozen=True)
class Number:
    """A finite number, ends included; it may miss them by rounding."""

    lowest: float = -_LARGEST_NUMBER
    highest: float = _LARGEST_NUMBER

    def __str__(self) -> str:
        if self.highest < _LARGEST_NUMBER:
            return f"a number from {self.lowest:g} to {self.highest:g}"
        return "a number from 0 on" if self.lowest == 0 else "a number that is finite"

    def has(self, value) -> bool:
        return type(value) in (int, float) and self.lowest - 1e-6 <= value <= self.highest + 1e-6


@dataclass(frozen=True)
class Text:
    """Unicode text.

    Args:
        longest: characters that it may have.
    """

    longest: int = 100_000

    def __str__(self) -> str:
        return "text" if self == _TEXT else f"text of at most {self.longest:,} characters"

    def has(self, value) -> bool:
        return isinstance(value, str) and len(value) <= self.longest


_TEXT = Text()
FINITE = Number()


@dataclass(frozen=True)
class Needed:
    """A value that must be there and not be null.

    Args:
        kind: of it.
    """

    kind: object


_TYPES = {str: "text", bool: "true or false"}


def check(value, kind, name: str, depth: int = 0) -> None:
    """Whether a value of a JSON file is of its kind; null is of every kind that is not `Needed`.

    Args:
        kind: `str`, `bool`, a `Text`, `Whole` or `Number`; [kind of the items]; {name: kind, ...: kind of
            what has another name}, which is `object` where nothing is said, or None: no other may stand
            there; `object`: anything JSON has.
        name: of the value, for the message.

    Raises:
        ValueError: it is not, or is what no file of ours holds: a number that is not finite, text that is not
            Unicode, more than 20 levels.
    """
    if isinstance(kind, Needed):
        kind = kind.kind
        if value is None:
            raise ValueError(f"{name} is null, expected {_expected(kind)}")
    if value is None:
        return
    if depth > _DEEPEST:
        raise ValueError(f"it has more than {_DEEPEST} levels, expected fewer")
    if not _is_of(value, kind):
        raise ValueError(f"{name} is {_shown(value)}, expected {_expected(kind)}")
    if isinstance(value, str):
        _check_text(value, name, _TEXT)
    elif isinstance(value, dict):
        kinds = {...: object} | (kind if isinstance(kind, dict) else {})
        for key, item in value.items():
            _check_text(key, f"a name in {name}", Text(1000))
            of = kinds.get(key, kinds[...])
            if of is None:
                known = ", ".join(known for known in kinds if known is not ...)
                raise ValueError(f"{name} has {_shown(key)}, expected {known}")
            check(item, of, key, depth + 1)
        for key, of in kinds.items():
            if key is not ... and isinstance(of, Needed) and key not in value:
                raise ValueError(f"{name} has no {key}, expected {_expected(of.kind)}")
    elif isinstance(value, list):
        for item in value:
            check(item, kind[0] if isinstance(kind, list) else object, f"an item of {name}", depth + 1)


def _is_of(value, kind) -> bool:
    if isinstance(kind, Whole | Number | Text):
        return kind.has(value)
    if isinstance(kind, dict | list):
        return isinstance(value, type(kind))
    if kind is object:
        return isinstance(value, bool | str | dict | list) or FINITE.has(value)
    return isinstance(value, kind)


def _expected(kind) -> str:
    if kind is object:
        return "a finite number, text, a list or an object"
    if isinstance(kind, dict | list):
        return "an object" if isinstance(kind, dict) else "a list"
    return _TYPES[kind] if isinstance(kind, type) else str(kind)


def _check_text(text: str, name: str, kind: Text) -> None:
    if not kind.has(text):
        raise ValueError(f"{name} is {_shown(text)} of {len(text):,} characters, expected {kind}")
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        raise ValueError(f"{name} is {ascii(text[:50])}, expected Unicode text") from None


def _shown(value) -> str:
    """As much of a value as tells what it is, printable."""
    if isinstance(value, Decimal):
        digits = str(value)
        return f"{digits[:18]}...{digits[-18:]}"
    return reprlib.repr(value).encode("utf-8", "backslashreplace").decode()


def read_json(path: Path, kind: Any) -> Any:
    """The content of a JSON file.

    Args:
        kind: of it, as `check` takes it.

    Raises:
        ValueError: it is no JSON, not of its kind, too large, or no plain file; or a name is twice in an
            object.
        OSError: it cannot be read.
    """
    with _opened(path, _LARGEST_JSON) as file:
        return parse_json(file.read(_LARGEST_JSON + 1), kind)


def parse_json(text: str, kind: Any) -> Any:
    """As `read_json`, of text."""
    try:
        value = json.loads(text, parse_int=_whole, object_pairs_hook=_each_once)
    except RecursionError:
        raise ValueError(f"it has more than {_DEEPEST} levels, expected fewer") from None
    check(value, Needed(kind), "its content")
    return value


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _SAFE_DIGITS else Decimal(digits)


def _each_once(pairs: Sequence[tuple[str, object]]) -> dict[str, Any]:
    record: dict[str, object] = {}
    for name, value in pairs:
        if name in record:
            raise ValueError(f"the name {ascii(name[:50])} is twice in one object")
        record[name] = value
    return record


def read_table(
    path: Path, columns: Sequence[str], largest: int, others: bool = True
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file by their numbers, from 1, one after the other.

    Args:
        columns: that it has; where `others` is true, it may have more.
        largest: bytes that it may have.

    Raises:
        ValueError, csv.Error: it is no such table, too large, or no plain file.
        OSError: it cannot be read.
    """
    with _opened(path, largest) as file:
        reader = csv.reader(_lines(file), strict=True)
        found = next(reader, [])
        if absent := [name for name in columns if name not in found]:
            raise ValueError(
                f"it has no column {', '.join(absent)}; its header is {_shortened(found) or 'empty'}"
            )
        if len(set(found)) < len(found) or (not others and len(found) > len(columns)):
            raise ValueError(f"its columns are {_shortened(found)}, expected {', '.join(columns)}, each once")
        number = 0
        for cells in reader:
            if not cells:  # an empty line
                continue
            number += 1
            if len(cells) != len(found):
                raise ValueError(f"row {number} has not {len(found)} cells, one per column")
            yield number, dict(zip(found, cells, strict=True))


def number_in(row: Mapping[str, str], name: str, number: int, kind: Number = FINITE) -> float | None:
    """The number in a cell of row `number`; None where it is empty.

    Raises:
        ValueError: it holds something else.
    """
    cell = row[name]
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not kind.has(value):
        raise ValueError(f"row {number}: {name} is {_shown(cell)}, expected {kind} or an empty cell")
    return value


def whole_in(row: Mapping[str, str], name: str, number: int, kind: Whole) -> int:
    """The whole number in a cell of row `number`.

    Raises:
        ValueError: it holds something else.
    """
    cell = row[name]
    if not (cell.isascii() and cell.isdigit() and len(cell) <= _SAFE_DIGITS and kind.has(int(cell))):
        raise ValueError(f"row {number}: {name} is {_shown(cell)}, expected {kind}")
    return int(cell)


def _opened(path: Path, largest: int) -> TextIO:
    # A FIFO without a writer would be waited for; Windows has none.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise ValueError("it is no plain file")
    if status.st_size > largest:
        os.close(handle)
        raise ValueError(f"it has {status.st_size:,} bytes, expected at most {largest:,}")
    return open(handle, newline="", encoding="utf-8")


def _lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise ValueError(f"it has a line of more than {_LONGEST_LINE:,} characters")
        yield line


def _shortened(header: Sequence[str]) -> str:
    text = ", ".join(header)
    return text if len(text) <= 1000 else f"{text[:1000]}…"
