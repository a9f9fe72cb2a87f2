"""Which samples to extract: from an annotations table, or one whole video each."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..annotations import FILE_NAME, Sample, read_annotations
from ..errors import AqaError, escaped, some
from ..video.frame_folder import IMAGE_SUFFIXES
from ..video.missing import spelt_on_disk, why_missing
from ..video.outside import said_outside, videos_outside
from ..video.recognition import VIDEO_SUFFIXES, is_video

_KINDS_SHOWN = 8


@dataclass(frozen=True)
class Source:
    """Samples and the folder their `video` columns are relative to.

    Args:
        annotations: the table they come from; None where every video is one sample.
        notes: what a person should know of how they were found, a line each.
    """

    folder: Path
    samples: list[Sample]
    annotations: Path | None
    notes: tuple[str, ...] = ()

    def path(self, sample: Sample) -> Path:
        return self.folder / sample.video


def find_samples(videos: str | Path, annotations: str | Path | None = None) -> Source:
    """Find the samples of a folder of videos, of a folder of frame folders, or of one video.

    Names in the table that are on the disk in another Unicode form (NFC, NFD) are given as they are there.
    A video whose own name is not UTF-8 is given with its name escaped, under which no file lies.

    Args:
        videos: a video file, a folder of images, or a folder that holds either, at any depth.
        annotations: an annotations table; None looks for `annotations.csv` in the folder, and without one
            every video is a sample named after its path.

    Raises:
        AqaError: nothing there, or the table cannot be used, or it was not named and leads out of the folder.
    """
    videos = Path(videos)
    if not videos.exists():
        raise AqaError(f"{videos}: no such video or folder{why_missing(videos)}")
    try:
        single = is_video(videos) and not (videos / FILE_NAME).is_file()
    except OSError as error:
        raise _unreadable(videos, error) from None
    if videos.is_file() and not single:
        raise AqaError(
            f"{videos}: is not known as a video by its name; expected {_known(VIDEO_SUFFIXES)}, or a row for"
            " it in an annotations table, which may name any file"
        )
    folder = videos.parent if single else videos
    table = Path(annotations) if annotations else folder / FILE_NAME
    if annotations or (not single and table.is_file()):
        samples, notes = _as_on_disk(folder, read_annotations(table))
        if outside := videos_outside(folder, (sample.video for sample in samples)):
            said = said_outside(folder, outside)
            if not annotations:
                raise AqaError(
                    f"{table}: {said}; a table that is found in the folder may not lead out of it. If you"
                    f" trust it, name it: --annotations {table}"
                )
            notes = (*notes, f"{table}: {said}.")
        if single:
            samples = [sample for sample in samples if folder / sample.video == videos]
            if not samples:
                raise AqaError(
                    f"{table}: has no sample of {videos.name}; its column 'video' must name the file"
                )
        return Source(folder, samples, table, notes)
    found, notes = ([videos], ()) if single else _videos_below(folder)
    if not found:
        raise AqaError(
            f"{videos}: holds no videos; expected files ending in {_known(VIDEO_SUFFIXES)}, or folders of"
            f" images ({_known(IMAGE_SUFFIXES)}){''.join(f'. {note}' for note in notes)}"
        )
    names = [escaped(path.relative_to(folder).as_posix()) for path in found]
    stems = [
        name if path.is_dir() else name.rsplit(".", 1)[0] for name, path in zip(names, found, strict=True)
    ]
    count = Counter(stems)
    ids = [stem if count[stem] == 1 else name for stem, name in zip(stems, names, strict=True)]
    samples = [Sample(sample_id, name) for sample_id, name in zip(ids, names, strict=True)]
    return Source(folder, samples, None, notes)


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
