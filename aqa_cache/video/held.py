"""Where the videos of an extraction are, and how one comes to be at hand."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from .missing import missing_video
from .opening import video_stamp


class Videos(Protocol):
    """Videos by their names in the annotations.

    Attributes:
        far (bool): whether a video has to be fetched before it can be looked at.
    """

    far: bool

    def path(self, video: str) -> Path:
        """Where it is, or, of one that has to be fetched, its name."""
        ...

    def stamp(self, video: str) -> tuple[int, int]:
        """Its size and time of modification, see `opening.video_stamp`; zeros if it is not there."""
        ...

    def missing(self, video: str) -> str:
        """Why a sample whose video is not there has no features."""
        ...

    def at_hand(self, video: str, go_on: Callable[[], bool]) -> AbstractContextManager[Path]:
        """The path of the file or folder, which is good as long as the block lasts.

        Args:
            go_on: called while it is waited for; where it returns False, nobody waits any more.

        Raises:
            FileNotFoundError: it is not there.
        """
        ...


class VideoFolder:
    """Videos below a folder of this machine."""

    far = False

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, video: str) -> Path:
        return self.folder / video

    def stamp(self, video: str) -> tuple[int, int]:
        return video_stamp(self.folder / video)

    def missing(self, video: str) -> str:
        return missing_video(self.folder / video)

    @contextlib.contextmanager
    def at_hand(self, video: str, go_on: Callable[[], bool]) -> Iterator[Path]:
        path = self.folder / video
        if not path.exists():
            raise FileNotFoundError(path)
        yield path
