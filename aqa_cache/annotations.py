"""The annotations table: one row per sample, that is, one action to be scored.

The columns and their meaning are documented in `docs/annotations.md`; everything but `video` may
be missing.
"""

import logging
import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .disk.csv_file import write_rows
from .errors import AnnotationError, listed, some
from .sample import (
    SPLITS,
    Sample,
    check_text,
    class_names,
    extra_columns,
    from_columns,
    parse_row,
    to_columns,
)
from .tables.columns import (
    CLASS_PREFIX,
    DURATION,
    END,
    JUDGE,
    SCALE,
    START,
    Columns,
    columns_known,
    is_known,
    named,
    nearest,
)
from .tables.forms import Form, read_form
from .tables.values import as_written_here, number_of, number_trouble, seconds_of

_log = logging.getLogger(__name__)

__all__ = [
    "CLASS_PREFIX",
    "FILE_NAME",
    "SPLITS",
    "Columns",
    "Sample",
    "Table",
    "class_names",
    "extra_columns",
    "from_columns",
    "ids_of_videos",
    "read_annotations",
    "read_table",
    "read_written",
    "table_of",
    "to_columns",
    "write_annotations",
]

FILE_NAME = "annotations.csv"

_MOST_LETTERS = 500  # of what is said of a row

Row = tuple[int, list[str]]


@dataclass(frozen=True)
class Table:
    """What an annotations table holds.

    Args:
        samples: in the table's order.
        times: by sample_id, begin and end in seconds from the first frame on, where the table gives times in
            place of frames.
        notes: how it was read, where that is not word for word, and what may be a mistake; a line each.
    """

    samples: list[Sample]
    times: dict[str, tuple[float | None, float | None]]
    notes: tuple[str, ...]


def read_annotations(
    path: str | Path, columns: Columns | None = None, video_needed: bool = True
) -> list[Sample]:
    """Read an annotations table whose frames are numbers.

    Args:
        path, columns, video_needed: see `read_table`.

    Raises:
        AnnotationError: as `read_table`; or it gives times, which only its videos can turn into frames.
    """
    table = read_table(path, columns, video_needed)
    if table.times:
        raise AnnotationError(
            f"{path}: gives times in place of frames; aqa-extract, which has the videos, reads them"
        )
    for note in table.notes:
        _log.warning(note)
    return table.samples


def read_table(path: str | Path, columns: Columns | None = None, video_needed: bool = True) -> Table:
    """Read an annotations table as people have them (docs/annotations.md).

    Args:
        path: a file of UTF-8 or UTF-16 text with commas, semicolons or tabs between cells, or an .xlsx; with
            a header.
        columns: names of columns that are not the known ones.
        video_needed: False: without a column video each sample is a video of its own, named after it.

    Raises:
        AnnotationError: every mistake in the table at once, each with its line number (at most twenty are
            written out); or it can be read in two ways.
        MissingDependency: an .xlsx without openpyxl.
    """
    path = Path(path)
    form = read_form(path, lambda header: columns_known(header, columns))
    return table_of(path, form, columns, video_needed=video_needed)


def table_of(
    path: Path, form: Form, columns: Columns | None = None, word: str = "line", video_needed: bool = True
) -> Table:
    """The table that rows of text are, see `read_table`.

    Args:
        path: where they were read; word: what is numbered in them.
    """
    own, rows = _without_blanks(form.rows)
    try:
        header = named(own, columns)
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from None
    read = [*form.said]
    if not video_needed and "video" not in header and "sample_id" in header:
        place, count = header.index("sample_id"), len(header)
        header, own = [*header, "video"], [*own, "video"]
        rows = [(line, [*cells, cells[place]] if len(cells) == count else cells) for line, cells in rows]
        read.append("each sample as a video of its own, since there is no column video")
    _check_header(path, header, own, ("video",) if video_needed or "video" in header else ("sample_id",))
    try:
        rows, said = as_written_here(header, rows)
    except ValueError as error:
        raise AnnotationError(f"{path}: {error}") from None
    other = [f"{name!r} as {known}" for name, known in zip(own, header, strict=True) if name != known]
    read += [*([f"column {some(other, 20)}"] if other else []), *said]
    framed = {"start_frame", "end_frame"} & set(header)
    timed = () if framed and not (columns and columns.gives_times()) else (START, END)
    if columns and DURATION in columns.names:
        timed = (START, DURATION)
    times: list[tuple[float | None, float | None]] = []
    samples = _parse_rows(path, header, rows, timed, columns.unit if columns else None, times, word)
    notes = [f"{path.name}: read with {'; '.join(read)}."] if read else []
    timed = {sample.sample_id: time for sample, time in zip(samples, times) if time != (None, None)}
    return Table(samples, timed, (*notes, *_doubts(path, header, samples)))


def read_written(path: str | Path) -> list[Sample]:
    """Read what `write_annotations` wrote, word for word.

    Raises:
        AnnotationError: as `read_table`.
    """
    path = Path(path)
    header, rows = _without_blanks(read_form(path, lambda header: int("sample_id" in header)).rows)
    _check_header(path, header, header, ("sample_id", "video"))
    return _parse_rows(path, header, rows, (), None, [])


def _without_blanks(rows: list[Row]) -> tuple[list[str], list[Row]]:
    """The header, and the rows that hold something."""
    header = [name.strip() for name in rows[0][1]] if rows else []
    rows = [(line, row) for line, row in rows[1:] if any(cell.strip() for cell in row)]
    return _without_empty_columns(header, rows)


def _parse_rows(
    path: Path,
    header: list[str],
    rows: list[Row],
    columns_of_times: Sequence[str],
    unit: str | None,
    times: list[tuple[float | None, float | None]],
    word: str = "line",
) -> list[Sample]:
    """The samples; their times are appended to `times`."""
    if not rows:
        raise AnnotationError(f"{path}: has a header but no samples; add one row per sample")
    timed = [place for place, name in enumerate(header) if name in columns_of_times]
    kept = [place for place in range(len(header)) if place not in timed]
    names = [header[place] for place in kept]
    samples: list[Sample] = []
    mistakes: list[str] = []
    seen: dict[str, int] = {}
    ids = None if "sample_id" in header else _ids_from_videos(header, rows)
    if ids is not None:
        names = ["sample_id", *names]
    for number, (line, cells) in enumerate(rows):
        try:
            if len(cells) != len(header):
                raise ValueError(f"has {len(cells)} cells but the header names {len(header)} columns")
            values = [cells[place] for place in kept]
            sample = parse_row(names, values if ids is None else [ids[number], *values])
            if timed:
                row = dict(zip(header, cells, strict=True))
                times.append(_times(row, sample, unit, DURATION if DURATION in columns_of_times else END))
            for name in SCALE:
                if (end := sample.extra.get(name)) and math.isnan(number_of(end)):
                    raise ValueError(f"{name} is {end!r:.60}, expected a finite number{number_trouble(end)}")
            if sample.sample_id in seen:
                raise ValueError(
                    f"sample_id {sample.sample_id!r} is already on {word} {seen[sample.sample_id]}; make it"
                    " unique"
                    if ids is None
                    else f"is the same part of {sample.video} as {word} {seen[sample.sample_id]}; delete one,"
                    " add a column sample_id, or say where each begins and ends: start_frame and end_frame,"
                    " or --columns start=NAME,end=NAME,unit=s"
                )
            seen[sample.sample_id] = line
            samples.append(sample)
        except ValueError as error:
            mistakes.append(f"{word} {line}: {error}"[:_MOST_LETTERS])
    if mistakes:
        raise AnnotationError(f"{path}: {len(mistakes)} unusable row(s):{listed(mistakes, 20)}")
    return samples


def _ids_from_videos(header: list[str], rows: list[Row]) -> list[str]:
    """A name for each row: that of its video, as where no table is; where several are of one video, with
    their begin and end behind it, which do not change with the order of rows.
    """
    videos = [dict(zip(header, cells)).get("video", "") for _, cells in rows]
    names = ids_of_videos(list(dict.fromkeys(videos)))
    counts = Counter(videos)
    begins, ends = ("start_frame", START), ("end_frame", END)

    def part(cells: list[str]) -> str:
        row = dict(zip(header, cells))
        bounds = [next((row[name] for name in kind if row.get(name)), "") for kind in (begins, ends)]
        return f"_{bounds[0]}-{bounds[1]}".replace(":", ".").replace(",", ".") if any(bounds) else ""

    return [
        names[video] if counts[video] == 1 else names[video] + part(cells)
        for video, (_, cells) in zip(videos, rows, strict=True)
    ]


def ids_of_videos(videos: Sequence[str], folders: Collection[str] = ()) -> dict[str, str]:
    """Names of videos, each once, without what their kind adds, where that tells them apart.

    Args:
        folders: those of the videos that are folders of frames, whose names are whole.
    """

    def stem(video: str) -> str:
        place, _, name = video.rpartition("/")
        cut = name if video in folders or "." not in name[1:] else name.rsplit(".", 1)[0]
        return f"{place}/{cut}" if place else cut

    stems = {video: stem(video) for video in videos}
    count = Counter(stems.values())
    return {video: short if count[short] == 1 else video for video, short in stems.items()}


def _times(
    row: dict[str, str], sample: Sample, unit: str | None, last: str
) -> tuple[float | None, float | None]:
    bounds: list[float | None] = []
    for name, frame in ((START, sample.start_frame), (last, sample.end_frame)):
        try:
            bounds.append(seconds_of(row.get(name, "").strip(), unit))
        except ValueError as error:
            raise ValueError(f"{name} is {error}") from None
        if bounds[-1] is not None and frame is not None:
            raise ValueError(f"has both {name} and {name}_frame; give one of them")
    start, end = bounds
    if last == DURATION and end is not None:
        end += start or 0.0
    if end is not None and end <= (start or 0.0):
        must = "be later than start" if last == END else "be more than 0, behind start"
        raise ValueError(f"{last} {row[last]!r} must {must} {row.get(START) or '0'!r}")
    return start, end


def _doubts(path: Path, header: list[str], samples: list[Sample]) -> list[str]:
    """What of a table may be a mistake."""
    unknown = [name for name in header if not is_known(name) and name not in (START, END, DURATION)]
    doubts: list[str] = []
    for name in unknown:
        if (near := nearest(name)) and near not in header:
            doubts.append(
                f"{path.name}: column {name!r} has no meaning here; if it is {near}, name it so, or give"
                f" --columns {near}={name}"
            )
    labelled = any(
        sample.final_score is not None or sample.judges or sample.classes or sample.caption
        for sample in samples
    )
    if not labelled:
        doubts.append(
            f"{path.name}: no sample has a label (final_score, judge_1 …, class_NAME or caption), so nothing"
            f" can be trained; its columns: {some(header, 20)}. If one is the score: --columns"
            " final_score=NAME"
        )
    return doubts


def write_annotations(path: str | Path, samples: Iterable[Sample]) -> None:
    """Write an annotations table that `read_annotations` reads back as equal samples, but for white space at
    the ends of a text, which reading drops.

    Raises:
        AnnotationError: a text that no table can hold; nothing is written.
    """
    samples = list(samples)
    table = to_columns(samples)
    for name, cells in table.items():
        for sample, cell in zip(samples, cells, strict=True):
            try:
                check_text(name, cell)
            except ValueError as error:
                raise AnnotationError(f"sample {sample.sample_id!r}: {error}") from None
    write_rows(path, [list(table), *zip(*table.values(), strict=True)])


def _without_empty_columns(header: list[str], rows: list[Row]) -> tuple[list[str], list[Row]]:
    """Spreadsheets leave columns without name and content behind; those that have content keep their empty
    name.
    """
    empty = {
        place
        for place, name in enumerate(header)
        if not name and not any(row[place].strip() for _, row in rows if len(row) > place)
    }
    if not empty:
        return header, rows
    keep = [place for place in range(len(header)) if place not in empty]
    return [header[place] for place in keep], [
        (line, [row[place] for place in keep] if len(row) == len(header) else row) for line, row in rows
    ]


def _check_header(path: Path, header: list[str], own: list[str], required: Sequence[str]) -> None:
    """Refuse what cannot be used; `own` are the names as they stand in the table."""
    for name in required:
        if name not in header:
            raise AnnotationError(
                f"{path}: has no column {name!r} (its columns: {', '.join(own)[:500] or 'none'}); the first"
                f" line must name the columns, and {name} is required; if another column is it, say which:"
                f" --columns {name}=NAME"
            )
    for name in header:
        if not name:
            raise AnnotationError(
                f"{path}: column {header.index(name) + 1} has no name but has content; name it, or delete it"
            )
        if name == CLASS_PREFIX or "\0" in name:
            raise AnnotationError(
                f"{path}: column {name!r:.60} has no usable name; name the class after {CLASS_PREFIX!r}"
            )
        if header.count(name) > 1:
            raise AnnotationError(f"{path}: column {name!r:.60} appears {header.count(name)} times; keep one")
    judges = sorted(int(match[1]) for name in header if (match := JUDGE.match(name)))
    if judges != list(range(1, len(judges) + 1)):
        raise AnnotationError(
            f"{path}: judge columns must be judge_1, judge_2, … without a gap, got {judges[:20]}"
        )
