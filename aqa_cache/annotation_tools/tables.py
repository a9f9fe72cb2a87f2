"""Tables of annotation tools: BORIS, ELAN, and any other with columns of begin and end."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import AnnotationError
from ..tables.columns import DURATION, END, START, columns_known
from ..tables.forms import Form, read_form
from .elan import is_elan, read_elan, times_in
from .export import Asked, Export, file_name

BORIS, GENERIC = "BORIS aggregated events", "a table"
_ROLES = {
    START: re.compile(r"(start|begin|in|position|from)( ?time)?$"),
    END: re.compile(r"(stop|end|out|to)( ?time)?$"),
    DURATION: re.compile(r"(duration|length)$"),
}
_UNITS = {"s": "s", "sec": "s", "secs": "s", "seconds": "s", "ms": "ms", "msec": "ms"} | {
    "hh:mm:ss": None,
    "hh:mm:ss.ms": None,
    "mm:ss": None,
    "ss.msec": "s",
}
_WITH_UNIT = re.compile(r"(.*?)\s*(?:-\s+|\(|\[)\s*([a-z:.]+)\s*[)\]]?$")
_VIDEO = re.compile(r"(media|video)[ _]?(file)?s?([ _]?(name|path))?$")
_SEVERAL = re.compile(r"[;|]")


def read_table_of_tool(path: Path, asked: Asked) -> Export:
    """A row is an action.

    Raises:
        AnnotationError: it cannot be read, or does not say where actions begin and end.
    """
    form = read_form(path, lambda header: _known(header) + columns_known(header, asked.columns))
    if not form.rows:
        raise AnnotationError(f"{path}: is empty; export the annotations again")
    header = [name.strip() for name in form.rows[0][1]]
    if is_elan(header):
        return read_elan(path, form, asked)
    plain = {name.casefold() for name in header}
    is_boris = {"behavior", "behavior type"} <= plain or "observation id" in plain
    if is_boris and not _times(header):
        raise AnnotationError(
            f"{path}: are single events of BORIS, whose begins and ends are rows of their own; export"
            " 'aggregated events' instead"
        )
    names, unit = _times(header) or ({}, None)
    if asked.columns.gives_times():
        names = {}
    names |= _videos(header)
    return (_boris if is_boris else _generic)(path, form, header, names, unit)


def _generic(path: Path, form: Form, header: list[str], names: dict[str, str], unit: str | None) -> Export:
    return Export(GENERIC, _with_file_names(path, form, header, names), names, unit)


def _boris(path: Path, form: Form, header: list[str], names: dict[str, str], unit: str | None) -> Export:
    """Without the events that are of a moment; the subject is the group, behaviour and modifiers are
    classes.
    """
    own = {name.casefold(): name for name in header}
    rows, left = form.rows, 0
    if kind := own.get("behavior type"):
        place = header.index(kind)
        kept = [row for row in rows[1:] if row[1][place : place + 1] != ["POINT"]]
        left, rows = len(rows) - 1 - len(kept), [rows[0], *kept]
    if not rows[1:]:
        raise AnnotationError(
            f"{path}: all {left} events are of a moment (POINT), expected states, which have begin and end"
        )
    if "subject" in own:
        names = {**names, "group": own["subject"]}
    classes = [name for name in header if re.match(r"(behavior|modifiers?( #?\d+)?)$", name.casefold())]
    classes = [name for name in classes if any(row[1][header.index(name) :][:1] != [""] for row in rows[1:])]
    notes = [f"{path.name}: {left} event(s) of a moment (POINT) are left out."] if left else []
    form = Form(rows, form.said)
    return Export(BORIS, _with_file_names(path, form, header, names), names, unit, classes, notes)


def _times(header: Sequence[str]) -> tuple[dict[str, str], str | None] | None:
    """The columns of begin, end or duration, and their unit; None where there are none."""
    found: dict[tuple[str, str | None], str] = {}
    for name in header:
        plain = re.sub(r"[_\s]+", " ", name.strip().casefold())
        unit, bare = None, plain
        if (match := _WITH_UNIT.match(plain)) and match[2] in _UNITS:
            bare, unit = match[1], _UNITS[match[2]]
        for role, pattern in _ROLES.items():
            if pattern.match(bare.strip()):
                found.setdefault((role, unit), name)
    for unit in ("s", "ms", None):
        for last in (END, DURATION):
            if (START, unit) in found and (last, unit) in found:
                return {START: found[START, unit], last: found[last, unit]}, unit
    return None


def _videos(header: Sequence[str]) -> dict[str, str]:
    named = [name for name in header if _VIDEO.match(name.strip().casefold()) and name.casefold() != "media"]
    return {"video": named[0]} if len(named) == 1 else {}


def _with_file_names(path: Path, form: Form, header: list[str], names: Mapping[str, str]) -> Form:
    """With the names of videos alone, not where they lay where the tool ran."""
    if "video" not in names:
        return form
    place = header.index(names["video"])
    rows = [form.rows[0]]
    for line, cells in form.rows[1:]:
        cells = list(cells)
        if place < len(cells):
            if _SEVERAL.search(cells[place]):
                raise AnnotationError(
                    f"{path}: line {line} is of several videos ({cells[place]!r:.80}), whose times the tool"
                    " counts through; make an observation of each, and export again"
                )
            cells[place] = file_name(cells[place])
        rows.append((line, cells))
    return Form(rows, form.said)


def _known(header: Sequence[str]) -> int:
    """How many columns are of tools; of ELAN's tables without a header, how many cells are times."""
    return 2 * len((_times(header) or ({}, None))[0]) + len(_videos(header)) + times_in(header)
