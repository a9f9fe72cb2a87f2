"""Excel's .xlsx: the rows of the one sheet that is the table, as text."""

import datetime
import re
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import AnnotationError, first_line, missing, some

ZIP = b"PK\x03\x04"

# Far beyond any table of samples; openpyxl holds some fifty times as much in memory as the file unpacks to.
_MOST_BYTES = 1 << 26
_MOST_FILES = 2000
_MOST_CELLS = 5_000_000
_MOST_COLUMNS = 1000
_DECLARATION = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)

Row = tuple[int, list[str]]


def read_xlsx(path: Path, columns_known: Callable[[Sequence[str]], int]) -> tuple[list[Row], tuple[str, ...]]:
    """The rows that hold something, each with its number, and how the book was read.

    Of several sheets with content, the one whose first row has columns that are known.

    Raises:
        AnnotationError: it is no such file, too large, more than one sheet may be the table, or cells have no
            value of their own (merged, or a formula that was never computed).
        MissingDependency: openpyxl is not there.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise missing("openpyxl", f"reading {path.name}", error) from None
    _check_size(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it leaves out: validation, pictures
            with open(path, "rb") as file:  # by its name openpyxl refuses some
                values = openpyxl.load_workbook(file, data_only=True)
                formulas = openpyxl.load_workbook(file)
        sheets = [sheet for sheet in values.worksheets if _has_content(path, sheet)]
    except AnnotationError:
        raise
    except Exception as error:  # openpyxl lets through whatever zipfile and its XML parser raise
        raise AnnotationError(
            f"{path}: cannot be read as .xlsx ({type(error).__name__}: {first_line(error)}); save it again,"
            " or as CSV UTF-8"
        ) from None
    if not sheets:
        return [], ()
    said = ()
    if len(sheets) > 1:
        known = {sheet.title: columns_known(_rows(sheet)[0][1]) for sheet in sheets}
        best = [sheet for sheet in sheets if known[sheet.title] == max(known.values())]
        if len(best) > 1:
            raise AnnotationError(
                f"{path}: {len(best)} of its sheets may be the table ({some([one.title for one in best])});"
                " save the one that is meant as a file of its own"
            )
        said = (f"sheet {best[0].title!r} of {some([one.title for one in sheets])}",)
        sheets = best
    (sheet,) = sheets
    if merged := sorted(str(cells) for cells in sheet.merged_cells.ranges):
        raise AnnotationError(
            f"{path}: has merged cells ({some(merged)}), of which only the first holds the value; undo that,"
            " and fill in every row"
        )
    _check_formulas(path, sheet, formulas[sheet.title])
    if percent := _percentages(sheet):
        said = (*said, f"cells shown in % as shares of 1, 50 % as 0.5 (column {some(percent)})")
    return _rows(sheet), said


def _check_size(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            files = archive.infolist()
            if not any(one.filename.startswith("xl/") for one in files):
                raise AnnotationError(
                    f"{path}: is an archive, but not an Excel one (.xlsx); save it as .xlsx or CSV UTF-8"
                )
            size = sum(one.file_size for one in files)
            if size > _MOST_BYTES or len(files) > _MOST_FILES:
                raise AnnotationError(
                    f"{path}: unpacks to {len(files):,} files of {size:,} bytes, expected up to"
                    f" {_MOST_FILES:,} of {_MOST_BYTES:,}; save the table alone, or as CSV UTF-8"
                )
            for one in files:
                if one.filename.endswith((".xml", ".rels")) and _DECLARATION.search(archive.read(one)):
                    raise AnnotationError(
                        f"{path}: {one.filename!r} declares entities, which no spreadsheet program writes;"
                        " save it as CSV UTF-8"
                    )
    except AnnotationError:
        raise
    except Exception as error:  # zipfile lets through whatever its decompressors raise
        raise AnnotationError(
            f"{path}: is a damaged or encrypted .xlsx ({first_line(error)}); save it again without a password"
        ) from None


def _has_content(path: Path, sheet) -> bool:
    cells = sheet.max_row * sheet.max_column
    if cells > _MOST_CELLS or sheet.max_column > _MOST_COLUMNS:
        raise AnnotationError(
            f"{path}: sheet {sheet.title!r} reaches to row {sheet.max_row:,} and column"
            f" {sheet.max_column:,}, expected up to {_MOST_COLUMNS:,} columns and {_MOST_CELLS:,} cells;"
            " delete the empty rows and columns, or save it as CSV UTF-8"
        )
    return bool(_rows(sheet))


def _rows(sheet) -> list[Row]:
    rows = (
        (number, [_text(value) for value in cells])
        for number, cells in enumerate(sheet.iter_rows(values_only=True), 1)
    )
    return [(number, cells) for number, cells in rows if any(cell.strip() for cell in cells)]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime.timedelta):
        hours, rest = divmod(value.total_seconds(), 3600)
        return f"{int(hours)}:{int(rest // 60):02d}:{rest % 60:06.3f}"
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    return str(value)


def _percentages(sheet) -> list[str]:
    """The columns with numbers that a spreadsheet shows in percent, and holds as shares."""
    return list(
        dict.fromkeys(
            cell.column_letter
            for row in sheet.iter_rows()
            for cell in row
            if isinstance(cell.value, int | float) and "%" in cell.number_format
        )
    )


def _check_formulas(path: Path, sheet, formulas) -> None:
    without = [
        cell.coordinate
        for row in formulas.iter_rows()
        for cell in row
        if cell.data_type == "f" and sheet[cell.coordinate].value is None
    ]
    if without:
        raise AnnotationError(
            f"{path}: {len(without)} cell(s) hold formulas whose value was never computed"
            f" ({some(without)}); open and save it in a spreadsheet program"
        )
