"""Frames of a video file or of a folder of images, decoded in order, numbered from 0.

A frame's number is its place in presentation order among the frames that are really there; headers are not believed.
"""

import contextlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import VideoError, missing

VIDEO_SUFFIXES = frozenset(
    [
        ".avi",
        ".flv",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".ogv",
        ".ts",
        ".webm",
        ".wmv",
        ".3gp",
    ]
)
IMAGE_SUFFIXES = frozenset([".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"])


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before anything is decoded.

    Args:
        frames: counted from the packets of the stream, or the images of the folder; not taken from the header.
        frame_rate: average, in frames per second; None where the source has no times.
        width, height: in pixels, as stored (before rotation).
    """

    frames: int
    frame_rate: float | None
    width: int
    height: int


class Frame:
    """One decoded frame; turned into RGB only when asked for.

    Attributes:
        index (int): 0-based place in presentation order.
        pts_seconds (float): presentation time in seconds, NaN where the source has no times.
    """

    __slots__ = ("_to_rgb", "index", "pts_seconds")

    def __init__(self, index: int, pts_seconds: float, to_rgb):
        self.index, self.pts_seconds, self._to_rgb = index, pts_seconds, to_rgb

    def rgb(self) -> np.ndarray:
        """`(height, width, 3)` uint8, upright (rotation side data applied). Valid until the next frame is asked for."""
        return self._to_rgb()


def is_video(path: Path) -> bool:
    """Whether a path looks like a video: a file with a known suffix, or a folder that holds images and no such file."""
    if path.is_dir():
        suffixes = {child.suffix.lower() for child in path.iterdir() if not child.name.startswith(".")}
        return bool(suffixes & IMAGE_SUFFIXES) and not suffixes & VIDEO_SUFFIXES
    return path.suffix.lower() in VIDEO_SUFFIXES


def probe(path: str | Path, stream: int | None = None) -> VideoInfo:
    """Count a video's frames and read its size, without decoding.

    Args:
        path: a video file or a folder of images.
        stream: index of the video stream; None takes the best one.

    Raises:
        VideoError: missing, unreadable, or without a video stream.
    """
    path = Path(path)
    if path.is_dir():
        images = _images(path)
        height, width = _read_image(images[0]).shape[:2]
        return VideoInfo(len(images), None, width, height)
    with _opened(path, stream) as (container, video):
        frames = sum(1 for packet in container.demux(video) if packet.size and not packet.is_discard)
        rate = float(video.average_rate) if video.average_rate else None
        return VideoInfo(frames, rate, video.codec_context.width, video.codec_context.height)


def expected_frames(path: str | Path, stream: int | None = None) -> int:
    """How many frames the header promises, 0 if it is silent or the video cannot be opened. For progress bars only."""
    path = Path(path)
    try:
        if path.is_dir():
            return len(_images(path))
        with _opened(path, stream) as (container, video):
            if video.frames or not video.average_rate:
                return video.frames
            if video.duration is not None:
                return int(video.duration * video.time_base * video.average_rate)
            return int((container.duration or 0) / 1_000_000 * video.average_rate)
    except VideoError:
        return 0


def decode(path: str | Path, stream: int | None = None, *, threads: int = 1) -> Iterator[Frame]:
    """Decode a video from its first frame to its last.

    Args:
        path: a video file, or a folder of images, taken in the order of their names.
        stream: index of the video stream; None takes the best one.
        threads: decoding threads of the codec.

    Raises:
        VideoError: missing, unreadable, without a video stream, or, after the last good frame, damaged.
    """
    path = Path(path)
    if path.is_dir():
        for index, image in enumerate(_images(path)):
            yield Frame(index, float("nan"), lambda image=image: _read_image(image))
        return
    with _opened(path, stream) as (container, video):
        import av
        from av.video.reformatter import VideoReformatter

        video.codec_context.thread_count = threads
        video.codec_context.thread_type = "AUTO" if threads > 1 else "SLICE"
        reformatter = VideoReformatter()  # one for all frames: a new one per frame is several times slower
        index = 0
        try:
            for picture in container.decode(video):
                if picture.is_corrupt:
                    raise VideoError(path.name, f"is damaged at frame {index}: {index} frames before it can be read")
                time = float(picture.time) if picture.time is not None else float("nan")
                yield Frame(index, time, lambda picture=picture: _to_rgb(path.name, reformatter, picture))
                index += 1
        except av.FFmpegError as error:
            raise VideoError(
                path.name, f"is damaged after frame {index - 1}: {index} frames can be read ({error.strerror})"
            ) from None


def _to_rgb(name: str, reformatter, picture) -> np.ndarray:
    import av

    try:
        rgb = reformatter.reformat(picture, format="rgb24").to_ndarray()
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(
            name,
            f"has a frame of {picture.width}x{picture.height} {picture.format.name} that cannot be made RGB ({error})",
        ) from None
    if picture.rotation % 90:
        raise VideoError(
            name, f"is rotated by {picture.rotation} degrees, expected a multiple of 90; re-encode it upright"
        )
    return np.rot90(rgb, picture.rotation // 90) if picture.rotation else rgb


@contextlib.contextmanager
def _opened(path: Path, stream: int | None):
    """An open container and its video stream."""
    if not path.exists():
        raise VideoError(str(path), "no such video")
    try:
        import av
    except Exception as error:  # a broken binary wheel fails with more than ImportError
        raise missing("av", "decoding video", error) from None
    if path.stat().st_size == 0:
        raise VideoError(path.name, "has zero bytes; copy or download it again")
    try:
        # The protocol prefix keeps names that start with a dash or look like an address from being read as anything but a file.
        container = av.open(f"file:{path}", metadata_errors="replace")
    except av.FFmpegError as error:
        raise VideoError(path.name, f"cannot be opened as a video ({error.strerror})") from None
    with container:
        videos = [video for video in container.streams.video if not _is_cover_art(video)]
        if not videos:
            kinds = ", ".join(sorted({one.type for one in container.streams})) or "none"
            raise VideoError(path.name, f"has no video stream (its streams: {kinds})")
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
            raise VideoError(path.name, "no decoder for its codec; re-encode it, for example as H.264")
        yield container, video


def _is_cover_art(video) -> bool:
    import av

    return bool(video.disposition & av.stream.Disposition.attached_pic)


def _images(folder: Path) -> list[Path]:
    """The images of a folder in order: by the number their names end in where they all have one, else by name."""
    images = sorted(
        child for child in folder.iterdir() if child.suffix.lower() in IMAGE_SUFFIXES and not child.name.startswith(".")
    )
    if not images:
        known = " ".join(sorted(IMAGE_SUFFIXES))
        raise VideoError(str(folder), f"holds no images ({known}); expected one per frame, such as 000001.jpg")
    numbers = [re.search(r"[0-9]+$", image.stem) for image in images]
    if not all(numbers):
        return images
    numbered = sorted((int(match[0]), image) for match, image in zip(numbers, images, strict=True))
    for (number, image), (following, next_image) in itertools.pairwise(numbered):
        if following != number + 1:
            raise VideoError(
                folder.name,
                f"has images that jump from {image.name} to {next_image.name}, so frames cannot be numbered; one image per frame, "
                "numbered without gaps, is expected",
            )
    return [image for _, image in numbered]


def _read_image(path: Path) -> np.ndarray:
    try:
        from PIL import Image
    except Exception as error:
        raise missing("pillow", "reading frames stored as images", error) from None
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise VideoError(f"{path.parent.name}/{path.name}", f"cannot be read as an image ({error})") from None
