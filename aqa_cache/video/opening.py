"""A video file opened, and by what a changed one is known."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import VideoError, missing
from .demuxers import OPTIONS
from .unreadable import why_no_decoder, why_no_stream, why_unopened


@contextlib.contextmanager
def opened(path: Path, stream: int | None) -> Iterator:
    """An open container and its video stream.

    Args:
        stream: index of the video stream; None takes the best one.

    Raises:
        VideoError: missing, unreadable, or without such a stream.
    """
    if not path.exists():
        raise VideoError(str(path), "no such video")
    try:
        import av
    except Exception as error:  # a broken binary wheel fails with more than ImportError
        raise missing("av", "decoding video", error) from None
    if path.stat().st_size == 0:
        raise VideoError(path.name, "has zero bytes; copy or download it again")
    try:
        # The protocol prefix keeps names that start with a dash or look like an address from being read as
        # anything but a file.
        # Where streams of MP4 are interleaved by their times, the first packet beyond the end of a cut file
        # ends all of them; by their places, it comes last.
        container = av.open(
            f"file:{path}", metadata_errors="replace", container_options={"interleaved_read": "0", **OPTIONS}
        )
    except av.FFmpegError as error:
        raise VideoError(path.name, why_unopened(path, error.strerror)) from None
    with container:
        videos = [video for video in container.streams.video if not is_cover_art(video)]
        if not videos:
            kinds = sorted({"cover art" if one.type == "video" else one.type for one in container.streams})
            kinds = ", ".join(kinds) or "none"
            raise VideoError(path.name, why_no_stream(path, kinds))
        if stream is None:
            best = container.streams.best("video")
            video = best if best in videos else videos[0]
        else:
            chosen = [one for one in videos if one.index == stream]
            if not chosen:
                raise VideoError(
                    path.name, f"has no video stream {stream}; choose one of {[one.index for one in videos]}"
                )
            video = chosen[0]
        if video.codec_context is None:
            raise VideoError(path.name, why_no_decoder(path))
        yield container, video


def is_cover_art(video) -> bool:
    """Whether a video stream is a picture that belongs to a sound file."""
    import av

    return bool(video.disposition & av.stream.Disposition.attached_pic)


def video_stamp(path: Path) -> tuple[int, int]:
    """Size in bytes and time of modification in nanoseconds, by which a changed video is known; zeros if it
    is not there.

    Of a folder of frames: the sum of the sizes of its files, and the latest time.
    """
    try:
        stat = path.stat()
        if not path.is_dir():
            return stat.st_size, stat.st_mtime_ns
        with os.scandir(path) as entries:
            stats = [entry.stat() for entry in entries]
        return sum(one.st_size for one in stats), max([stat.st_mtime_ns, *(one.st_mtime_ns for one in stats)])
    except (OSError, UnicodeEncodeError):  # the second: a name that the system's encoding has not
        return 0, 0
