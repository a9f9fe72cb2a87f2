"""From a tool's export to samples: which tool, which reader, what the table says."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ..annotations import Sample, Table, table_of
from ..errors import AnnotationError, listed, some
from ..sample import extra_columns, to_columns
from ..tables.columns import END, START
from ..tables.forms import Form
from ..tables.xlsx import ZIP
from .cvat import read_cvat
from .documents import json_of, read_text, xml_of
from .export import Asked, Export
from .formats import AUTO, CVAT, LABEL_STUDIO, SPORTSCODE, TABLE, VIA
from .label_studio import read_label_studio
from .sportscode import read_sportscode
from .tables import read_table_of_tool
from .via import read_via_csv, read_via_project

_XML = {"file": SPORTSCODE, "annotations": CVAT}
_READERS = {SPORTSCODE: read_sportscode, CVAT: read_cvat}


@dataclass(frozen=True)
class Imported:
    """What was found in an export.

    Args:
        tool: whose export it is.
        samples: with frames, or with begin and end as times in the columns start and end.
        notes: what a person should know of it, one line each.
    """

    tool: str
    samples: list[Sample]
    notes: tuple[str, ...]

    def columns(self) -> str:
        """The columns of the table, with the number of rows that have a value where that is not all."""
        filled = {name: sum(map(bool, cells)) for name, cells in to_columns(self.samples).items()}
        return ", ".join(
            name if count == len(self.samples) else f"{name} ({count:,} rows)"
            for name, count in filled.items()
        )


def import_annotations(
    path: Path, kind: str = AUTO, asked: Asked | None = None, videos: Path | None = None
) -> Imported:
    """Read what an annotation tool has exported.

    Args:
        kind: one of `formats.FORMATS`.
        videos: the folder of the videos, in which their names are looked for, and by which times become
            frames.

    Raises:
        AnnotationError: it cannot be read, or is not what it should be; or a video is not in the folder.
        VideoError: a video cannot be read.
    """
    asked = asked or Asked()
    export = _read(path, kind, asked)
    table = _table(path, export, asked)
    samples, notes = table.samples, [*export.notes, *table.notes]
    if videos is not None:
        samples = _as_in(videos, samples)
    names = dict(zip((sample.sample_id for sample in samples), _names(samples, table)))
    times = {names[key]: value for key, value in table.times.items()}
    samples = [replace(sample, sample_id=names[sample.sample_id]) for sample in samples]
    if videos is not None and times:
        from ..video.times import with_frames

        samples = with_frames(videos, samples, times)
    elif times:
        samples = [_with_times(sample, *times.get(sample.sample_id, (None, None))) for sample in samples]
    if kept := [name for name in extra_columns(samples) if name not in (START, END)]:
        notes.append(
            f"Kept as they are, without a meaning to this program: {some(kept, 20)}. To give one a meaning:"
            " --columns class_NAME=COLUMN, or final_score=, group=, caption=, …"
        )
    return Imported(export.tool, samples, tuple(notes))


def _read(path: Path, kind: str, asked: Asked) -> Export:
    try:
        with open(path, "rb") as file:
            start = file.read(4)
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror or error}") from None
    if kind == TABLE or start.startswith(ZIP):
        return read_table_of_tool(path, asked)
    text = read_text(path)
    begin = text.lstrip()[:1]
    if begin == "<":
        return _read_xml(path, text, kind, asked)
    if begin in ("{", "["):
        return _read_json(path, text, kind, asked)
    if begin == "#" or kind == VIA:
        return read_via_csv(path, text, asked)
    if kind != AUTO:
        raise AnnotationError(
            f"{path}: is neither XML nor JSON, expected a file of {kind}; leave --format out"
        )
    return read_table_of_tool(path, asked)


def _read_xml(path: Path, text: str, kind: str, asked: Asked) -> Export:
    root = xml_of(path, text)
    if root.tag == "ANNOTATION_DOCUMENT":
        raise AnnotationError(
            f"{path}: is ELAN's own file; export it: File, Export As, Tab-delimited Text, with column labels"
        )
    found = _XML.get(root.tag)
    if found is None:
        raise AnnotationError(
            f"{path}: is XML whose root is {root.tag!r:.60}, expected that of Sportscode ('file') or of CVAT"
            " for video ('annotations'); export it as a table"
        )
    return _READERS[_agreed(path, kind, found)](path, root, asked)


def _read_json(path: Path, text: str, kind: str, asked: Asked) -> Export:
    content = json_of(path, text)
    if isinstance(content, list):
        _agreed(path, kind, LABEL_STUDIO)
        return read_label_studio(path, content, asked)
    if "metadata" in content and "view" in content:
        _agreed(path, kind, VIA)
        return read_via_project(path, content, asked)
    raise AnnotationError(
        f"{path}: is JSON with {some(sorted(content)) or 'nothing'}, expected a list of tasks (Label Studio),"
        " or a project of VIA 3 (metadata, view); export it as a table"
    )


def _agreed(path: Path, kind: str, found: str) -> str:
    if kind not in (AUTO, found):
        raise AnnotationError(f"{path}: is of the format {found}, not {kind}; leave --format out")
    return found


def _table(path: Path, export: Export, asked: Asked) -> Table:
    """The rows as a table, every row with a number in place of a name."""
    (line, header), *rows = export.form.rows
    columns = export.columns(asked.columns)
    if asked.video is not None:
        header, rows = _all_of(asked.video, header, rows)
        names = {known: own for known, own in columns.names.items() if known != "video"}
        columns = replace(columns, names=names)
    elif "video" not in columns.names and not any(name.strip().casefold() == "video" for name in header):
        raise AnnotationError(f"{path}: does not say of which video it is; give its name: --video NAME")
    if (
        not any(name.strip().casefold() == "sample_id" for name in header)
        and "sample_id" not in columns.names
    ):
        header = [*header, "sample_id"]
        rows = [(number, [*cells, str(place)]) for place, (number, cells) in enumerate(rows)]
    word = "line" if line else "entry"
    return table_of(path, Form([(line, header), *rows], export.form.said), columns, word)


def _all_of(video: str, header: list[str], rows: list) -> tuple[list[str], list]:
    """With a column `video` that is the same in all rows, in place of one that there is."""
    there = [place for place, name in enumerate(header) if name.strip().casefold() == "video"]
    if len(there) != 1:
        return [*header, "video"], [(number, [*cells, video]) for number, cells in rows]
    (place,) = there
    return header, [(number, [*cells[:place], video, *cells[place + 1 :]]) for number, cells in rows]


def _names(samples: Sequence[Sample], table: Table) -> list[str]:
    """Names that follow from the parts of videos, so that they stay when annotations are added."""
    if any(not sample.sample_id.isdigit() for sample in samples):
        return [sample.sample_id for sample in samples]
    names, seen = [], Counter()
    for sample in samples:
        start, end = table.times.get(sample.sample_id, (sample.start_frame, sample.end_frame))
        part = "" if start is None and end is None else f"_{_short(start)}-{_short(end)}"
        name = PurePosixPath(sample.video).stem + part
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return names


def _short(bound: float | None) -> str:
    return "" if bound is None else f"{bound:.3f}".rstrip("0").rstrip(".")


def _with_times(sample: Sample, start: float | None, end: float | None) -> Sample:
    bounds = {name: _clock(time) for name, time in ((START, start), (END, end)) if time is not None}
    return replace(sample, extra={**bounds, **sample.extra})


def _clock(seconds: float) -> str:
    """A time as hours, minutes and seconds, which no unit is needed for.

    >>> _clock(3661.5)
    '1:01:01.500000'
    """
    microseconds = round(seconds * 1e6)
    minutes, rest = divmod(microseconds, 60_000_000)
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 1_000_000:02}.{rest % 1_000_000:06}"


def _as_in(folder: Path, samples: Sequence[Sample]) -> list[Sample]:
    """The samples with their videos as they are named in the folder, at any depth.

    Raises:
        AnnotationError: one is not there, or more than once.
    """
    from ..video.missing import why_missing
    from ..video.recognition import is_video

    there: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        if is_video(path):
            there.setdefault(path.name, []).append(path.relative_to(folder).as_posix())
    mistakes = []
    for video in dict.fromkeys(sample.video for sample in samples):
        if len(found := there.get(PurePosixPath(video).name, [])) != 1:
            mistakes.append(
                f"{video}: "
                + (f"may be {' or '.join(found)}" if found else f"is not there{why_missing(folder / video)}")
            )
    if mistakes:
        raise AnnotationError(
            f"{folder}: {len(mistakes)} video(s) of the annotations cannot be told"
            f" there:{listed(mistakes, 20)}"
        )
    return [replace(sample, video=there[PurePosixPath(sample.video).name][0]) for sample in samples]
