"""CSV files that are read back to the bit, whatever characters their cells hold."""

import csv
import errno
import os
import re
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

# Halves of surrogate pairs, which a name on a disk may hold, are written as UTF-8 would write them.
_ENCODING = "utf-8", "surrogatepass"
# A carriage return, too: csv.writer of some versions of Python leaves it bare, and then the row ends there.
# A byte order mark at the start of a file would be taken for the file's.
_QUOTED = re.compile('[",\r\n]|^\ufeff')

# A cell is as long as it is: the file is in memory anyway.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


def write_rows(path: str | Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows of cells, one after the other, as a CSV file, see `csv_bytes`."""
    encoding, errors = _ENCODING
    with open(path, "w", encoding=encoding, errors=errors, newline="") as file:
        file.writelines(map(_line, rows))


def csv_bytes(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows of cells, separated by commas, in UTF-8; None is an empty cell, numbers are exact."""
    return "".join(map(_line, rows)).encode(*_ENCODING)


def _line(row: Sequence[Any]) -> str:
    cells = ["" if cell is None else str(cell) for cell in row]
    if cells == [""]:
        return '""\n'  # else it would be no row
    quoted = ('"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell for cell in cells)
    return ",".join(quoted) + "\n"


def read_rows(
    path: str | Path, separator: str = ",", encoding: str = "utf-8-sig"
) -> list[tuple[int, list[str]]]:
    """The rows of a file that any program wrote, each with the number of its last line; lines without
    anything are none.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is not of this encoding.
        ValueError: it is not CSV: something stands beside a quoted cell, or a quote has no end.
    """
    errors = "surrogatepass" if encoding == "utf-8-sig" else "strict"
    with open(path, encoding=encoding, errors=errors, newline="", opener=_opened) as file:
        reader = csv.reader(file, delimiter=separator, strict=True)
        try:
            return [(reader.line_num, row) for row in reader if row]
        except csv.Error as error:
            raise ValueError(f"line {reader.line_num}: {error}") from None


def _opened(path: str, flags: int) -> int:
    """A pipe into which nobody writes is empty, and not waited for; a device has no end."""
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # Windows has neither
    if stat.S_ISCHR(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.ENODEV, "is a device", path)
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(handle, True)
    return handle
