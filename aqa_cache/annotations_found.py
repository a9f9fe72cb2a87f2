"""The annotations table in a folder of videos that nobody has named."""

from dataclasses import dataclass
from pathlib import Path

from .annotations import FILE_NAME
from .errors import AnnotationError, AqaError, some
from .tables.columns import Columns, columns_known, named
from .tables.forms import SUFFIXES, read_form

# Files that people keep tables in and that are not read here.
_OTHER_SUFFIXES = (".xls", ".ods", ".numbers")


@dataclass(frozen=True)
class Found:
    """What lies in a folder.

    Args:
        path: the table; None where there is none that can be told.
        seen: names of files that may be tables, and why each is not taken.
    """

    path: Path | None
    seen: tuple[str, ...] = ()


def find_table(folder: Path, of_frames: bool = False, columns: Columns | None = None) -> Found:
    """The table of a folder: `annotations.csv`, else the one named so in another case or of another kind,
    else the only one with a column `video`.

    Args:
        of_frames: whether the folder is one of frames, beside which only a table of that name is looked for.
        columns: names of the table's columns that are not the known ones.

    Raises:
        AnnotationError: more than one may be it.
    """
    if (folder / FILE_NAME).is_file():
        return Found(folder / FILE_NAME)
    try:
        files = sorted(
            path for path in folder.iterdir() if not path.name.startswith((".", "~$")) and path.is_file()
        )
    except OSError:  # who looks for videos there says it
        return Found(None)
    tables = [path for path in files if path.suffix.lower() in SUFFIXES]
    name = Path(FILE_NAME).stem
    best = [path for path in tables if path.stem.strip().casefold() == name]
    why: dict[Path, str] = {path: "not a kind that is read" for path in files if _is_other(path)}
    if not best and not of_frames:
        for path in tables:
            if reason := _why_not(path, columns):
                why[path] = reason
            else:
                best.append(path)
    if len(best) > 1:
        raise AnnotationError(
            f"{folder}: {len(best)} files may be the annotations ({some([path.name for path in best])});"
            f" name the one that is: --annotations {best[0]}"
        )
    if best:
        return Found(best[0])
    return Found(None, tuple(f"{path.name} ({reason})" for path, reason in sorted(why.items())))


def _is_other(path: Path) -> bool:
    return path.suffix.lower() in _OTHER_SUFFIXES


def _why_not(path: Path, columns: Columns | None) -> str:
    """Why a file is not the annotations; '' where it may be."""
    try:
        rows = read_form(path, lambda names: columns_known(names, columns)).rows
        header = named(rows[0][1], columns) if rows else []
    except AqaError as error:
        return str(error).removeprefix(f"{path}: ")
    return "" if "video" in header else "no column video, which --columns video=NAME may say"
