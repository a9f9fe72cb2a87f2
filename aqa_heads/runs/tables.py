"""Tables of a run folder, read: cells as text, and the numbers in them."""

import csv
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path


def read_table(path: Path, columns: Sequence[str], others: bool = True) -> list[dict[str, str]]:
    """The rows of a table that has these columns, and where `others` may have more."""
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, strict=True)
        found = reader.fieldnames or ()
        if absent := [name for name in columns if name not in found]:
            raise ValueError(
                f"it has no column {', '.join(absent)}; its header is {', '.join(found) or 'empty'}"
            )
        if len(set(found)) < len(found) or (not others and len(found) > len(columns)):
            raise ValueError(f"its columns are {', '.join(found)}, expected {', '.join(columns)}, each once")
        rows = list(reader)
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise ValueError(f"row {number} has not {len(found)} cells, one per column")
    return rows


def number_in(row: Mapping[str, str], name: str, number: int) -> float | None:
    try:
        return float(row[name]) if row[name] else None
    except ValueError:
        raise ValueError(
            f"row {number}: {name} is {reprlib.repr(row[name])}, expected a number or an empty cell"
        ) from None
