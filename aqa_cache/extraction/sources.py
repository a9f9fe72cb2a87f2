"""Which samples to extract: from an annotations table, or one whole video each."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ..annotations import Columns, Sample, ids_of_videos, read_table
from ..annotations_found import Found, find_table
from ..errors import AqaError, escaped, some
from ..remote.url import is_url
from ..video.frame_folder import IMAGE_SUFFIXES
from ..video.missing import spelt_on_disk, why_missing
from ..video.outside import said_outside, videos_outside
from ..video.recognition import VIDEO_SUFFIXES, is_video
from ..video.same_file import copies, names_of_one_file
from ..video.times import with_frames
from .source import Source, said_seen

_KINDS_SHOWN = 8
_COPIES_SHOWN = 5


def find_samples(
    videos: str | Path,
    annotations: str | Path | None = None,
    *,
    columns: Columns | None = None,
    stream: int | None = None,
) -> Source:
    """Find the samples of a folder of videos, of a folder of frame folders, or of one video.

    Names in the table that are on the disk in another Unicode form (NFC, NFD) are given as they are there.
    A video whose own name is not UTF-8 is given with its name escaped, under which no file lies.

    Args:
        videos: a video file, a folder of images, a folder that holds either, at any depth, or the URL of a
            folder of video files.
        annotations: an annotations table; None looks for one in the folder (`annotations_found.find_table`),
            and without one every video is a sample named after its path.
        columns: names of the table's columns that are not the known ones.
        stream: index of the video stream, by whose times the times of a table become frames.

    Raises:
        AqaError: nothing there, or the table cannot be used, or it was not named and leads out of the folder.
    """
    if is_url(videos):
        from .remote_sources import find_remote_samples

        return find_remote_samples(str(videos), annotations, columns=columns)
    videos = Path(videos)
    if not videos.exists():
        raise AqaError(f"{videos}: no such video or folder{why_missing(videos)}")
    try:
        single = is_video(videos)
        seen = Found(None) if annotations or videos.is_file() else find_table(videos, single, columns)
        single = single and seen.path is None
    except OSError as error:
        raise _unreadable(videos, error) from None
    if videos.is_file() and not single:
        raise AqaError(
            f"{videos}: is not known as a video by its name; expected {_known(VIDEO_SUFFIXES)}, or a row for"
            " it in an annotations table, which may name any file"
        )
    folder = videos.parent if single else videos
    if annotations or seen.path:
        table = Path(annotations or seen.path or "")
        return _annotated(folder, table, columns, stream, videos if single else None, bool(annotations))
    if columns is not None and (columns.names or columns.unit):
        raise AqaError(
            f"{videos}: has no annotations table for --columns{said_seen(seen.seen)}; give --annotations"
        )
    found, notes = ([videos], ()) if single else _videos_below(folder)
    if not found:
        raise AqaError(
            f"{videos}: holds no videos; expected files ending in {_known(VIDEO_SUFFIXES)}, or folders of"
            f" images ({_known(IMAGE_SUFFIXES)}){''.join(f'. {note}' for note in notes)}"
        )
    names = [escaped(path.relative_to(folder).as_posix()) for path in found]
    ids = ids_of_videos(names, {name for name, path in zip(names, found) if path.is_dir()})
    samples = [Sample(ids[name], name) for name in names]
    same, said = _copies(folder, samples)
    return Source(folder, samples, None, (*notes, *said), seen.seen, same)


def videos_at(videos: str) -> Source:
    """Videos of which another process has found the samples.

    Args:
        videos: a folder, or the URL of one.
    """
    if is_url(videos):
        from .remote_sources import remote_videos_at

        return remote_videos_at(videos)
    return Source(Path(videos), [], None)


def _annotated(
    folder: Path,
    table: Path,
    columns: Columns | None,
    stream: int | None,
    single: Path | None,
    is_named: bool,
) -> Source:
    """The samples of a table; of those of one video alone, where it is `single`."""
    read = read_table(table, columns)
    samples, notes = _as_on_disk(folder, read.samples)
    notes = (*notes, *read.notes)
    if outside := videos_outside(folder, (sample.video for sample in samples)):
        said = said_outside(folder, outside)
        if not is_named:
            raise AqaError(
                f"{table}: {said}; a table that is found in the folder may not lead out of it. If you"
                f" trust it, name it: --annotations {table}"
            )
        notes = (*notes, f"{table}: {said}.")
    samples, said = _under_one_name(folder, samples)
    same, said_too = _copies(folder, samples)
    notes = (*notes, *said, *said_too)
    if single is not None:
        samples = [sample for sample in samples if folder / sample.video == single]
        if not samples:
            raise AqaError(f"{table}: has no sample of {single.name}; its column 'video' must name the file")
    else:
        notes = (*notes, *_without_row(folder, table, samples))
    source = Source(folder, samples, table, notes, copies=same)
    if read.times:
        if missing := source.missing():
            raise AqaError(
                f"{table}: gives times, which only the videos can turn into frames, and {len(missing)} are"
                f" not there: {some([_with_reason(folder, video) for video in missing], 3)}"
            )
        samples = with_frames(folder, samples, read.times, stream)
        notes = (*notes, f"{table.name}: times became frames by the time stamps of each video.")
    return Source(folder, samples, table, notes, copies=same)


def _under_one_name(folder: Path, samples: list[Sample]) -> tuple[list[Sample], list[str]]:
    """The samples with one name for each video, so that a leak between two names of it is found."""
    videos = list(dict.fromkeys(sample.video for sample in samples))
    notes = []
    if one := names_of_one_file(folder, videos):
        samples = [replace(sample, video=one.get(sample.video, sample.video)) for sample in samples]
        pairs = [f"{escaped(name)} is {escaped(best)}" for name, best in one.items()]
        notes.append(f"{len(one)} name(s) lead to a video that another row names otherwise: {some(pairs)}.")
    return samples, notes


def _copies(folder: Path, samples: list[Sample]) -> tuple[frozenset[str], list[str]]:
    """The videos of which there are copies, and what is to be said of them."""
    notes: list[str] = []
    sides: dict[str, set[str]] = {}
    for sample in samples:
        sides.setdefault(sample.video, set()).add(sample.split or "no split")
    found = copies(folder, sides)
    for copy, original in found.items():
        apart = sides[copy] ^ sides[original]
        where = f", with rows in {' and '.join(sorted(sides[copy] | sides[original]))}" if apart else ""
        advice = "aqa-train refuses to test on what it trains on; delete one" if apart else "delete one"
        notes.append(
            f"{escaped(copy)} is a copy of {escaped(original)}{where}; unless that is meant, {advice}."
        )
    more = len(notes) - _COPIES_SHOWN
    said = [*notes[:_COPIES_SHOWN], *([f"… and {more} more copies."] if more > 0 else [])]
    return frozenset(found) | frozenset(found.values()), said


def _without_row(folder: Path, table: Path, samples: list[Sample]) -> list[str]:
    """A line that lists the videos in the folder that no row names."""
    try:
        found, _ = _videos_below(folder)
    except AqaError:  # not what was asked for
        return []
    rows = {os.path.realpath(folder / sample.video) for sample in samples}
    left = [
        escaped(path.relative_to(folder).as_posix()) for path in found if os.path.realpath(path) not in rows
    ]
    if not left:
        return []
    return [
        f"{len(left)} of {len(found)} videos have no row in {table.name}, and are not extracted:"
        f" {some(left)}. Add a row for each that is a sample"
    ]


def _with_reason(folder: Path, video: str) -> str:
    return f"{escaped(video)}{why_missing(folder / video)}"


def _videos_below(folder: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The videos at any depth, in the order of their paths, and what is to be said of the rest.

    A folder is entered once, under its own name rather than that of a link to it, so that links which lead
    back end.
    """
    found: list[Path] = []
    left_out: list[Path] = []
    entered: set[tuple[int, int]] = set()
    twice: list[Path] = []
    folders, links = [folder], []
    while folders or links:
        place = folders.pop() if folders else links.pop(0)
        try:
            stat = place.stat()
            if (stat.st_dev, stat.st_ino) in entered:
                twice.append(place)
                continue
            entered.add((stat.st_dev, stat.st_ino))
            if place != folder and is_video(place):
                found.append(place)
                continue
            children = sorted(child for child in place.iterdir() if not child.name.startswith("."))
            for child in children:
                if child.is_dir():
                    (links if child.is_symlink() else folders).append(child)
                else:
                    (found if is_video(child) else left_out).append(child)
        except OSError as error:
            raise _unreadable(place, error) from None
    notes = []
    if left_out:
        notes.append(f"Left out, since their names are not those of videos: {_by_kind(folder, left_out)}")
    if twice:
        names = sorted(escaped(place.relative_to(folder).as_posix()) for place in twice)
        notes.append(f"Left out, since they link to folders that are here already: {some(names)}")
    return sorted(found, key=lambda path: path.relative_to(folder).parts), tuple(notes)


def _by_kind(folder: Path, files: Iterable[Path]) -> str:
    """How many files of each suffix there are, with the first of each, in few words for any number."""
    kinds: dict[str, list[str]] = {}
    for path in sorted(files):
        kinds.setdefault(path.suffix.lower(), []).append(escaped(path.relative_to(folder).as_posix()))
    most = sorted(kinds.items(), key=lambda kind: -len(kind[1]))
    return some(
        [
            names[0] if len(names) == 1 else f"{len(names)} {suffix or 'without a suffix'} ({names[0]}, …)"
            for suffix, names in most
        ],
        _KINDS_SHOWN,
    )


def _as_on_disk(folder: Path, samples: list[Sample]) -> tuple[list[Sample], tuple[str, ...]]:
    """The samples with their videos as the disk spells them, and a line that says for which that differs."""
    spelt = {
        video: there
        for video in dict.fromkeys(sample.video for sample in samples)
        if not os.path.lexists(folder / video) and (there := spelt_on_disk(folder, video))
    }
    if not spelt:
        return samples, ()
    note = (
        f"{len(spelt)} video(s) are named in the annotations in another Unicode form (NFC, NFD) than on the"
        f" disk, and were found by the letters: {some(list(spelt.values()))}"
    )
    return [replace(sample, video=spelt.get(sample.video, sample.video)) for sample in samples], (note,)


def _unreadable(place: Path, error: OSError) -> AqaError:
    return AqaError(f"{escaped(str(place))}: cannot be read ({error.strerror})")


def _known(suffixes: Sequence[str] | frozenset[str]) -> str:
    return " ".join(sorted(suffixes))
