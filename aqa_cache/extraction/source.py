"""The samples of an extraction and their videos."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..annotations import Sample
from ..errors import AqaError, listed, some
from ..video.held import VideoFolder, Videos
from ..video.mended import why_mended
from ..video.missing import missing_video, why_missing
from ..video.opening import video_stamp


@dataclass(frozen=True)
class Source:
    """Samples and the folder their `video` columns are relative to.

    Args:
        annotations: the table they come from; None where every video is one sample.
        notes: what a person should know of how they were found, a line each.
        copies: videos of which another one that is asked for holds the same bytes.
        seen: where there is no table, what may be one and was not taken, and why.
    """

    folder: Path
    samples: list[Sample]
    annotations: Path | str | None
    notes: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    copies: frozenset[str] = frozenset()
    far: ClassVar[bool] = False
    """Whether videos have to be fetched before they can be looked at."""

    @property
    def at(self) -> str:
        """Where the videos are, for a person."""
        return str(self.folder)

    def path(self, sample: Sample) -> Path:
        return self.folder / sample.video

    def stamp(self, video: str) -> tuple[int, int]:
        """Size and time of a video, see `video_stamp`."""
        return video_stamp(self.folder / video)

    def why_mended(self, video: str) -> str | None:
        """See `video.mended.why_mended`."""
        return why_mended(self.folder / video)

    def sha256(self, video: str) -> str | None:
        """Of a video's content, hex; None of a folder of frames.

        Raises:
            OSError: it cannot be read.
        """
        from ..disk.tensor_file import sha256_of  # loads torch, which names of commands do without

        path = self.folder / video
        return sha256_of(path) if path.is_file() else None

    @contextlib.contextmanager
    def held(self, order: Iterable[str], most_bytes: int) -> Iterator[Videos]:
        """The videos, to be decoded in the block.

        Args:
            order: in which they will be.
            most_bytes: of those that have to be fetched, at once.
        """
        yield VideoFolder(self.folder)

    def missing(self) -> list[str]:
        """The videos that are not there, each once."""
        there = {video: _is_there(self.folder / video) for video in self.videos()}
        return [video for video, is_there in there.items() if not is_there]

    def why_missing(self, video: str) -> str:
        """What is known of why a video is not there, see `video.missing.why_missing`."""
        return why_missing(self.folder / video)

    def said_missing(self, video: str) -> str:
        """Why a sample whose video is not there has no features."""
        return missing_video(self.folder / video)

    def videos(self) -> list[str]:
        return list(dict.fromkeys(sample.video for sample in self.samples))

    def said_table(self) -> str:
        """Where the labels come from, or that there are none."""
        if self.annotations:
            return f"Annotations: {self.annotations}, {len(self.samples)} row(s)."
        return (
            f"No annotations table was taken, so that no sample has a label{said_seen(self.seen)}; name the"
            " one that is it: --annotations FILE. What an annotation tool has exported becomes one by"
            " aqa-data import-annotations."
        )

    def without_any(self) -> AqaError:
        """What is to be said where no video is there."""
        missing = [self.said_missing(video) for video in self.missing()]
        return AqaError(
            f"{self.annotations or self.at}: none of the {len(missing)} video(s) that it names is in"
            f" {self.at}:{listed(missing)}"
        )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def said_seen(seen: Sequence[str]) -> str:
    return f" (seen: {some(seen)})" if seen else ""
