"""Which samples to extract where the videos are at a URL."""

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from ..annotations import FILE_NAME, Columns, Sample, Table, ids_of_videos, read_table
from ..errors import AnnotationError, AqaError, escaped, some
from ..remote.fetched import Abandoned, Fetched
from ..remote.place import Item, Place
from ..remote.url import is_url, local_path
from ..remote.videos import RemoteVideos
from ..tables.forms import SUFFIXES
from ..video.decoder import Stopped
from ..video.held import Videos
from ..video.recognition import VIDEO_SUFFIXES
from .source import Source
from .sources import find_samples

_MOST_TABLE_BYTES = 1 << 30


@dataclass(frozen=True)
class RemoteSource(Source):
    """Samples whose videos are below a URL.

    Args:
        remote: the videos; `folder` is of no use.
    """

    remote: RemoteVideos = field(kw_only=True)
    far: ClassVar[bool] = True

    @property
    def at(self) -> str:
        return self.remote.place.url

    def stamp(self, video: str) -> tuple[int, int]:
        return self.remote.stamp(video)

    def why_mended(self, video: str) -> str | None:
        return None  # that takes a look into the video

    def sha256(self, video: str) -> str | None:
        raise AqaError(
            f"{self.at}: --verify sha256 would fetch every video once more; leave it out, and a video is"
            " known by its size and the time that the store says"
        )

    @contextlib.contextmanager
    def held(self, order: Iterable[str], most_bytes: int) -> Iterator[Videos]:
        with self.remote.fetched(order, most_bytes) as fetched:
            yield FarVideos(self.remote, fetched)

    def missing(self) -> list[str]:
        return [video for video in self.videos() if video not in self.remote.items]

    def why_missing(self, video: str) -> str:
        return ""

    def said_missing(self, video: str) -> str:
        return self.remote.missing(video)


class FarVideos:
    """Videos that are fetched while they are decoded (`video.held.Videos`)."""

    far = True

    def __init__(self, remote: RemoteVideos, fetched: Fetched):
        self._remote, self._fetched = remote, fetched

    def path(self, video: str) -> Path:
        return Path(video)

    def stamp(self, video: str) -> tuple[int, int]:
        return self._remote.stamp(video)

    def missing(self, video: str) -> str:
        return self._remote.missing(video)

    @contextlib.contextmanager
    def at_hand(self, video: str, go_on: Callable[[], bool]) -> Iterator[Path]:
        try:
            with self._fetched.at_hand(video, go_on) as path:
                yield path
        except Abandoned:
            raise Stopped from None


def find_remote_samples(
    url: str, annotations: str | Path | None = None, *, columns: Columns | None = None
) -> Source:
    """As `find_samples`, of videos below a URL. A `file://` URL is a folder of this machine.

    Args:
        annotations: a path, or the URL of a table; None: `annotations.csv` below `url`, else the one table
            there, else none.

    Raises:
        AqaError: nothing there, the table cannot be used or gives times, or names a video elsewhere.
    """
    if (path := local_path(url)) is not None:
        return find_samples(path, annotations, columns=columns)
    place = Place(url)
    remote = RemoteVideos(place)
    if annotations is None:
        annotations = _table_in(remote)
    if annotations is None:
        return _every_video(remote)
    table = _read(annotations, remote, columns)
    if table.times:
        raise AnnotationError(
            f"{annotations}: gives times, which only the videos can turn into frames, and these are at a URL:"
            " each process would have to fetch all of them for that alone; expected start_frame and end_frame"
        )
    names, outside = remote.names_of(sample.video for sample in table.samples)
    if outside:
        raise AnnotationError(f"{annotations}: {remote.said_outside(outside)}")
    samples = [replace(sample, video=names[sample.video]) for sample in table.samples]
    notes = list(table.notes)
    named = {sample.video for sample in samples}
    if left := [name for name in _videos_of(remote) if name not in named]:
        notes.append(
            f"{len(left)} video(s) at {url} have no row in the annotations, and are not extracted:"
            f" {some([escaped(name) for name in left])}. Add a row for each that is a sample"
        )
    said = annotations if isinstance(annotations, Path) else escaped(str(annotations))
    return RemoteSource(Path(), samples, said, tuple(notes), remote=remote)


def remote_videos_at(url: str) -> RemoteSource:
    """As `videos_at`, of a URL."""
    return RemoteSource(Path(), [], None, remote=RemoteVideos(Place(url)))


def _every_video(remote: RemoteVideos) -> Source:
    names = _videos_of(remote)
    if not names:
        raise AqaError(
            f"{remote.place.url}: holds no videos; expected files ending in"
            f" {' '.join(sorted(VIDEO_SUFFIXES))} (there are {len(remote.items)} other files; folders of"
            " frames are read from a disk only)"
        )
    ids = ids_of_videos(names)
    others = sorted(set(remote.items) - set(names))
    notes = (f"Left out, since their names are not those of videos: {some(others)}",) if others else ()
    return RemoteSource(Path(), [Sample(ids[name], name) for name in names], None, notes, remote=remote)


def _videos_of(remote: RemoteVideos) -> list[str]:
    return [name for name in remote.items if Path(name).suffix.lower() in VIDEO_SUFFIXES]


def _table_in(remote: RemoteVideos) -> str | None:
    """The URL of the table beside the videos, as `annotations_found.find_table` takes it."""
    tables = [name for name in remote.items if "/" not in name and Path(name).suffix.lower() in SUFFIXES]
    if FILE_NAME in tables:
        tables = [FILE_NAME]
    if len(tables) > 1:
        raise AnnotationError(
            f"{remote.place.url}: {len(tables)} files may be the annotations ({some(tables)}); name the"
            f" one that is: --annotations {remote.place.url}/{tables[0]}"
        )
    return f"{remote.place.url}/{tables[0]}" if tables else None


def _read(annotations: str | Path, remote: RemoteVideos, columns: Columns | None) -> Table:
    if not is_url(annotations):
        return read_table(annotations, columns)
    url, _, name = str(annotations).rpartition("/")
    place = remote.place if url == remote.place.url else Place(url)
    item = remote.items.get(name) if place is remote.place else place.item(name)
    if item is None:
        raise AnnotationError(f"{annotations}: no such table")
    return _fetched_table(place, item, columns)


def _fetched_table(place: Place, item: Item, columns: Columns | None) -> Table:
    url = f"{place.url}/{item.name}"
    if item.size > _MOST_TABLE_BYTES:
        raise AnnotationError(f"{url}: has {item.size:,} bytes, more than any table of annotations")
    with tempfile.TemporaryDirectory(prefix="aqa-table-") as folder:
        path = Path(folder) / item.name
        place.get(item, path)
        try:
            return read_table(path, columns)
        except AqaError as error:
            raise type(error)(str(error).replace(str(path), url)) from None
