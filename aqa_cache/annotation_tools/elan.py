"""ELAN's tab-delimited text: annotations of tiers, one a row, or a column for each tier."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import AnnotationError, some
from ..tables.forms import Form
from .export import Asked, Export, file_name, rows_of, with_said

ELAN = "ELAN tab-delimited text"
_TIME_COLUMN = re.compile(r"(begin|end|duration) time - |(duration) - ", re.IGNORECASE)
_CLOCK = re.compile(r"\d{1,3}:\d\d:\d\d\.\d{3}$")
_TIER, _PARTICIPANT, _ANNOTATION = "tier", "participant", "annotation"
_FILES = ("file name", "file path", "file", "linked file path - 1")
_CLOCK_UNIT, _SECONDS, _MS = "hh:mm:ss.ms", "ss.msec", "msec"


@dataclass(frozen=True)
class _Said:
    """An annotation: of a tier, from begin to end in seconds, in a file."""

    tier: str
    participant: str
    start: float
    end: float
    value: str
    file: str


def is_elan(header: Sequence[str]) -> bool:
    """Whether a first row is ELAN's header, or, as it may lack one, an annotation."""
    return sum(bool(_TIME_COLUMN.match(name)) for name in header) >= 2 or times_in(header) >= 2


def times_in(cells: Sequence[str]) -> int:
    """How many cells are times as ELAN writes them."""
    return sum(bool(_CLOCK.match(cell.strip())) for cell in cells)


def read_elan(path: Path, form: Form, asked: Asked) -> Export:
    """The annotations of one tier are actions; those of others that have their middle in one are what is said
    of it, in a column of the tier's name. With a column for each tier, every row is an action.

    Raises:
        AnnotationError: it is not of this form, or several tiers may be the actions.
    """
    header = [name.strip() for name in form.rows[0][1]]
    if times_in(header) >= 2:  # an annotation
        header, rows = _without_header(path, form.rows[0][1]), form.rows
    else:
        rows = form.rows[1:]
    plain = {name.casefold(): place for place, name in enumerate(header)}
    begin, end, unit = _bounds(path, plain)
    if _TIER not in plain:
        return _columns_of_tiers(path, header, rows, plain, (begin, end), unit)
    said = []
    for line, cells in rows:
        if len(cells) != len(header):
            raise AnnotationError(f"{path}: line {line} has {len(cells)} cells, expected {len(header)}")
        texts = {name: cells[place].strip() for name, place in plain.items()}
        start, stop = (_seconds(path, line, cells[place], unit) for place in (begin, end))
        file = next((texts[name] for name in _FILES if texts.get(name)), "")
        value = texts.get(_ANNOTATION, cells[-1].strip())
        said.append(_Said(texts[_TIER], texts.get(_PARTICIPANT, ""), start, stop, value, file))
    return _actions(path, said, asked)


def _actions(path: Path, said: Sequence[_Said], asked: Asked) -> Export:
    tiers = list(dict.fromkeys(one.tier for one in said))
    if not tiers:
        raise AnnotationError(f"{path}: has a header but no annotation; export the tiers again")
    tier = asked.tier or (tiers[0] if len(tiers) == 1 else None)
    if tier is None:
        raise AnnotationError(
            f"{path}: has {len(tiers)} tiers ({some(tiers)}); say whose annotations are the actions:"
            f" --tier {tiers[0]!r}"
        )
    if tier not in tiers:
        raise AnnotationError(f"{path}: has no tier {tier!r}; its tiers: {some(tiers, 20)}")
    entries, used = [], 0
    others = [one for one in said if one.tier != tier]
    for action in (one for one in said if one.tier == tier):
        entry: dict[str, object] = {"start": f"{action.start:.3f}", "end": f"{action.end:.3f}"}
        if action.file:
            entry = {"video": file_name(action.file), **entry}
        if action.participant:
            entry[_PARTICIPANT] = action.participant
        within = {tier: [action.value]}
        for one in others:
            if one.file == action.file and action.start <= (one.start + one.end) / 2 < action.end:
                within.setdefault(one.tier, []).append(one.value)
                used += 1
        entries.append(with_said(entry, {name: "; ".join(each) for name, each in within.items()}, str(path)))
    notes = [f"{path.name}: the annotations of tier {tier!r} are the actions."] if len(tiers) > 1 else []
    if left := len(others) - used:
        notes.append(f"{path.name}: {left} annotation(s) of other tiers are in no action, and left out.")
    return Export(ELAN, rows_of(entries), _groups(entries), "s", notes=notes)


def _columns_of_tiers(
    path: Path,
    header: list[str],
    rows: Sequence[tuple[int, list[str]]],
    plain: Mapping[str, int],
    bounds: tuple[int, int],
    unit: str,
) -> Export:
    times = {place for name, place in plain.items() if _TIME_COLUMN.match(name)}
    files = [plain[name] for name in _FILES if name in plain]
    entries = []
    for line, cells in rows:
        if len(cells) != len(header):
            raise AnnotationError(f"{path}: line {line} has {len(cells)} cells, expected {len(header)}")
        start, end = (_seconds(path, line, cells[place], unit) for place in bounds)
        entry: dict[str, object] = {"start": f"{start:.3f}", "end": f"{end:.3f}"}
        if name := next((cells[place] for place in files if cells[place].strip()), ""):
            entry["video"] = file_name(name)
        entries.append(
            entry
            | {header[place]: cells[place] for place in range(len(header)) if place not in {*times, *files}}
        )
    return Export(ELAN, rows_of(entries), _groups(entries), "s")


def _groups(entries: Sequence[Mapping]) -> dict[str, str]:
    return {"group": _PARTICIPANT} if any(entry.get(_PARTICIPANT) for entry in entries) else {}


def _without_header(path: Path, cells: Sequence[str]) -> list[str]:
    """Names for the columns: tier, participant, times, the annotation."""
    places = [place for place, cell in enumerate(cells) if _CLOCK.match(cell.strip())]
    first = places[0]
    if first not in (1, 2) or len(cells) < places[1] + 1:
        raise AnnotationError(
            f"{path}: has no header, and its columns are not tier, participant, begin, end, …; export it from"
            " ELAN with column labels"
        )
    names = [_TIER, _PARTICIPANT][:first] + [f"column {place}" for place in range(first, len(cells))]
    for kind, place in zip(("Begin Time - ", "End Time - ", "Duration - "), places):
        names[place] = kind + _CLOCK_UNIT
    if not _CLOCK.match(cells[-1].strip()):
        names[-1] = _ANNOTATION
    return names


def _bounds(path: Path, plain: Mapping[str, int]) -> tuple[int, int, str]:
    """The places of begin and end, and how their times are written."""
    for unit in (_SECONDS, _CLOCK_UNIT, _MS):
        begin, end = (plain.get(f"{name} time - {unit}") for name in ("begin", "end"))
        if begin is not None and end is not None:
            return begin, end, unit
    raise AnnotationError(
        f"{path}: has no columns 'Begin Time - {_CLOCK_UNIT}' and 'End Time - {_CLOCK_UNIT}'; export it from"
        " ELAN with begin and end times in this format"
    )


def _seconds(path: Path, line: int, cell: str, unit: str) -> float:
    try:
        if unit == _CLOCK_UNIT:
            hours, minutes, seconds = cell.strip().split(":")
            time = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        else:
            time = float(cell) / (1000 if unit == _MS else 1)
        if not math.isfinite(time):  # "nan" would be a cell without a time
            raise ValueError
        return time
    except (ValueError, OverflowError):
        raise AnnotationError(f"{path}: line {line}: {cell!r:.60} is no time of the form {unit}") from None
