"""The one folder in which the app keeps everything: where what lies, and which names files get."""

import re
import secrets
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from aqa_cache.disk.locks import FileLock
from aqa_cache.errors import AqaError
from aqa_cache.video.recognition import VIDEO_SUFFIXES

_LONGEST_STEM, _LONGEST_BYTES = 80, 180  # a file system takes 255
_ID = re.compile(r"[0-9a-f]{16}")
# As the file systems of all machines take it: no sign that a shell, an URL or Windows gives a meaning.
_OTHER = re.compile(r"[^\w-]+")


@dataclass(frozen=True)
class Folder:
    """The places in it.

    Args:
        root: made if need be.
    """

    root: Path

    @property
    def database(self) -> Path:
        """Videos, annotations with their history, and the queue."""
        return self.root / "app.sqlite"

    @property
    def videos(self) -> Path:
        """The videos as they were dropped, and beside them their `annotations.csv`."""
        return self.root / "videos"

    @property
    def scores(self) -> Path:
        """A folder for each score."""
        return self.root / "scores"

    @property
    def previews(self) -> Path:
        """What the browser plays: the same frames at the same times."""
        return self.root / "previews"

    @property
    def runs(self) -> Path:
        """What was trained here, and packed models that were added."""
        return self.root / "runs"

    @property
    def arriving(self) -> Path:
        """Uploads under way."""
        return self.root / "arriving"

    def make(self) -> None:
        """Make what is in it, and remove what uploads that broke off have left; of whoever holds `lock`.

        Raises:
            AqaError: it cannot be made.
        """
        try:
            for place in (self.videos, self.scores, self.previews, self.runs, self.arriving):
                place.mkdir(parents=True, exist_ok=True)
            for part in self.arriving.iterdir():
                part.unlink()
        except OSError as error:
            raise _unusable(self.root, error) from None

    def lock(self) -> FileLock:
        """Held by the server that uses the folder, which is made.

        Raises:
            AqaError: another one does, or nothing can be written.
        """
        lock = FileLock(self.root / ".app.lock")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            mine = lock.acquire()
        except OSError as error:
            raise _unusable(self.root, error) from None
        if not mine:
            raise AqaError(
                f"{self.root}: another aqa-app uses it ({lock.holder()}); end it, or give another --folder"
            )
        return lock


def _unusable(root: Path, error: OSError) -> AqaError:
    return AqaError(f"{error.filename or root}: cannot be used ({error.strerror}); choose another --folder")


def new_id() -> str:
    """Of a video, a score, anything that stands in an address."""
    return secrets.token_hex(8)


def is_id(text: str) -> bool:
    """Whether a part of an address is one."""
    return _ID.fullmatch(text) is not None


def file_name(
    said: str, taken: set[str], suffixes: Collection[str] = VIDEO_SUFFIXES, kind: str = "video"
) -> str:
    """A name for the file of an upload, made of the one that it came with, whatever that is.

    Args:
        taken: names that there are, without regard to case.
        suffixes: that it may have; kind: what they are the suffixes of.

    Raises:
        AqaError: its suffix is another.

    >>> file_name("../../Übung 1.MP4", set()), file_name("a.mp4", {"a.mp4"})
    ('Übung_1.mp4', 'a_2.mp4')
    """
    plain = unicodedata.normalize("NFC", said).replace("\\", "/").rsplit("/", 1)[-1]
    stem, dot, suffix = plain.rpartition(".")
    if not dot or f".{suffix.lower()}" not in suffixes or not suffix.isascii():
        known = " ".join(sorted(suffixes))
        raise AqaError(
            f"{plain!r:.100} is no {kind} by its name; expected a name that ends in one of {known}"
        )
    stem = _OTHER.sub("_", stem).strip("_-")[:_LONGEST_STEM]
    stem = stem.encode()[:_LONGEST_BYTES].decode(errors="ignore") or kind.split()[-1]
    lower, number, name = {one.casefold() for one in taken}, 2, f"{stem}.{suffix.lower()}"
    while name.casefold() in lower:
        name, number = f"{stem}_{number}.{suffix.lower()}", number + 1
    return name
