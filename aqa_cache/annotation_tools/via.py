"""VIA 3 of the VGG: segments of videos with attributes, as CSV or as a project (JSON)."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import AnnotationError
from .documents import json_of
from .export import Asked, Export, expect, file_name, rows_of, with_said

TOOL = "VIA 3"
_HEADER, _ATTRIBUTE = "CSV_HEADER", "ATTRIBUTE"
_COLUMNS = ("file_list", "temporal_coordinates", "spatial_coordinates", "metadata")


@dataclass(frozen=True)
class _Mark:
    """What somebody has marked: `times` of a segment are two, of a moment one, of a whole file none."""

    files: list
    times: list
    region: list
    values: dict


def read_via_csv(path: Path, text: str, asked: Asked) -> Export:
    """Raises:
    AnnotationError: it is not of this form.
    """
    comments = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
    said = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in comments)}
    if _HEADER not in said:
        raise AnnotationError(f"{path}: has no line '# {_HEADER} = …'; export it from VIA 3 again, as CSV")
    header = [name.strip() for name in said[_HEADER].split(",")]
    if lacking := [name for name in _COLUMNS if name not in header]:
        raise AnnotationError(
            f"{path}: its {_HEADER} lacks {', '.join(lacking)}; export it from VIA 3 (not VIA 2), as CSV"
        )
    attributes = json_of(path, said[_ATTRIBUTE]) if said.get(_ATTRIBUTE) else {}
    return _export(path, attributes, list(_marks_of_csv(path, text, header)))


def read_via_project(path: Path, project: Mapping, asked: Asked) -> Export:
    """Raises:
    AnnotationError: it is not of this form.
    """
    files = expect(project.get("file", {}), dict, f"{path}: file")
    views = expect(project.get("view", {}), dict, f"{path}: view")
    marks = []
    for name, mark in expect(project.get("metadata"), dict, f"{path}: metadata").items():
        mark = expect(mark, dict, f"{path}: metadata {name!r}")
        view = expect(views.get(str(mark.get("vid")), {}), dict, f"{path}: view of {name!r}")
        shown = [
            files.get(str(one), {}) for one in expect(view.get("fid_list", []), list, f"{path}: fid_list")
        ]
        names = [expect(one, dict, f"{path}: file of {name!r}").get("fname", "") for one in shown]
        marks.append(_mark(path, name, names, mark.get("z", []), mark.get("xy", []), mark.get("av", {})))
    return _export(path, project.get("attribute", {}), marks)


def _marks_of_csv(path: Path, text: str, header: list[str]) -> Iterator[_Mark]:
    lines = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    try:
        rows = [row for row in csv.reader(io.StringIO(lines), strict=True) if row]
    except csv.Error as error:
        raise AnnotationError(f"{path}: is not a valid CSV file: {error}") from None
    for number, cells in enumerate(rows, 1):
        if len(cells) != len(header):
            raise AnnotationError(
                f"{path}: entry {number} has {len(cells)} cells, expected {len(header)} ({', '.join(header)})"
            )
        row = dict(zip(header, cells))
        yield _mark(path, str(number), *(json_of(path, row[name] or "null") for name in _COLUMNS))


def _mark(path: Path, name: str, files: object, times: object, region: object, values: object) -> _Mark:
    of_it = f"of entry {name!r:.60}"
    return _Mark(
        expect(files, list, f"{path}: the list of files {of_it}"),
        expect(times if times is not None else [], list, f"{path}: the times {of_it}"),
        expect(region if region is not None else [], list, f"{path}: the region {of_it}"),
        expect(values if values is not None else {}, dict, f"{path}: the metadata {of_it}"),
    )


def _export(path: Path, attributes: object, marks: list[_Mark]) -> Export:
    """Segments are actions; what is said of a whole file is of all its segments, or of the file as one."""
    known = expect(attributes, dict, f"{path}: attribute")
    names, options = {}, {}
    for key, attribute in known.items():
        attribute = expect(attribute, dict, f"{path}: attribute {key!r}")
        names[key] = str(attribute.get("aname") or key)
        options[key] = expect(attribute.get("options") or {}, dict, f"{path}: options of {names[key]!r}")
    whole: dict[str, dict[str, object]] = {}
    segments, regions, moments = [], 0, 0
    for mark in marks:
        if mark.region or len(mark.times) == 1:
            regions, moments = regions + bool(mark.region), moments + (not mark.region)
            continue
        video = file_name(str(mark.files[0])) if mark.files else ""
        entry = {"video": video} if video else {}
        said = {names.get(key, key): options.get(key, {}).get(str(v), v) for key, v in mark.values.items()}
        entry = with_said(entry, said, str(path))
        if mark.times:
            segments.append({"start": mark.times[0], "end": mark.times[-1]} | entry)
        else:
            whole.setdefault(video, {}).update(entry)
    segmented = {str(segment.get("video", "")) for segment in segments}
    entries = [whole.get(str(segment.get("video", "")), {}) | segment for segment in segments]
    entries += [entry for video, entry in whole.items() if video not in segmented]
    if not entries:
        raise AnnotationError(
            f"{path}: marks no segment of a video; mark the actions on the time line of VIA 3"
        )
    notes = []
    if regions or moments:
        notes.append(
            f"{path.name}: {regions} region(s) and {moments} moment(s) are no actions, and left out."
        )
    chosen = [names[key] for key in known if options[key]]
    return Export(TOOL, rows_of(entries), unit="s", classes=chosen, notes=notes)
