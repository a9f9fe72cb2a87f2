"""The rows of a table, whatever kind of file it is: commas, semicolons or tabs between cells, or .xlsx."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..disk.csv_file import read_rows
from ..errors import AnnotationError, some
from .xlsx import ZIP, read_xlsx

SUFFIXES = (".csv", ".tsv", ".xlsx")

_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
_UTF16 = b"\xff\xfe", b"\xfe\xff"
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_DECLARED = re.compile(r'"?sep=([,;\t])"?\r?\n?$', re.IGNORECASE)  # what Excel reads in the first line


@dataclass(frozen=True)
class Form:
    """What a file holds.

    Args:
        rows: the first one names the columns; each with the number of its line, or row of the sheet.
        said: how the file was read, where that is not as UTF-8 with commas.
    """

    rows: list[tuple[int, list[str]]]
    said: tuple[str, ...] = ()


def read_form(path: Path, columns_known: Callable[[Sequence[str]], int]) -> Form:
    """Read the rows of a table.

    Args:
        columns_known: how many of the names in a first row mean something; it decides between separators, and
            between the sheets of a book.

    Raises:
        AnnotationError: it cannot be read, or in more than one way.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(4) if path.is_file() else b""
        if start.startswith(ZIP):
            return Form(*read_xlsx(path, columns_known))
        if start == _OLD_EXCEL:
            raise AnnotationError(
                f"{path}: is of the old Excel kind (.xls); save it as .xlsx, or as CSV UTF-8"
            )
        encoding = "utf-16" if start.startswith(_UTF16) else "utf-8-sig"
        separator, declared = _separator(path, encoding, columns_known)
        rows = read_rows(path, separator, encoding)
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        kind = "UTF-16" if error.encoding.startswith("utf-16") else "UTF-8"
        raise AnnotationError(
            f"{path}: is not {kind} text (byte {error.start}); save it as CSV UTF-8"
        ) from None
    except ValueError as error:
        raise AnnotationError(f"{path}: is not a valid CSV file: {error}") from None
    said = [f"{_SEPARATORS[separator]} between cells"] if separator != "," else []
    if encoding == "utf-16":
        said.append("UTF-16 text")
    return Form(rows[1:] if declared else rows, tuple(said))


def _separator(path: Path, encoding: str, columns_known: Callable) -> tuple[str, bool]:
    """What stands between cells, and whether the first line is there to say so."""
    if not path.is_file():
        return ",", False  # a pipe is read once
    errors = "surrogatepass" if encoding == "utf-8-sig" else "strict"
    with open(path, encoding=encoding, errors=errors, newline="") as file:
        first = file.readline(1 << 20)
    if declared := _DECLARED.fullmatch(first):
        return declared[1], True
    headers = {}
    for separator in _SEPARATORS:
        try:
            headers[separator] = next(csv.reader(io.StringIO(first), delimiter=separator, strict=True), [])
        except csv.Error:  # a quote that only another separator closes, or a name of two lines
            continue
    known = {separator: columns_known(names) for separator, names in headers.items()}
    most = max(known.values(), default=0)
    best = [separator for separator, count in known.items() if count == most]
    if not most:
        best = [separator for separator, names in headers.items() if len(names) > 1]
    if len(best) > 1 and most:
        longest = max(len(headers[separator]) for separator in best)
        best = [separator for separator in best if len(headers[separator]) == longest]
    if len(best) > 1 and "," not in best:
        raise AnnotationError(
            f"{path}: its first line may have {some([_SEPARATORS[one] for one in best])} between cells; save"
            " it as CSV with commas"
        )
    return ("," if "," in best or not best else best[0]), False
