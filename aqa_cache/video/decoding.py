"""Frames of a video file or of a folder of images, decoded in order, numbered from 0.

A frame's number is its place in presentation order among the frames that are really there; headers are not
believed.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import VideoError, missing
from .frame_folder import list_images, read_image
from .frame_index import Doubtful, index_frames
from .orientation import of_picture
from .unreadable import what_to_do, why_no_decoder, why_no_stream, why_unopened

DECODE_TIMEOUT = 600.0  # seconds without a new frame after which a video is given up
MIN_JUMP = 32  # frames; where fewer are left out, finding them costs about as much as decoding them


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before anything is decoded.

    Args:
        frames: counted from the packets of the stream, or the images of the folder; not taken from the
            header.
        frame_rate: average, in frames per second; None where the source has no times.
        width, height: in pixels; of a video as stored, of a folder its first image's as shown.
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
        """`(height, width, 3)` uint8, upright (orientation applied). Valid until the next frame is
        asked for.
        """
        return self._to_rgb()


def probe(path: str | Path, stream: int | None = None) -> VideoInfo:
    """Count a video's frames and read its size.

    Frames are counted from packets, without decoding; where those do not tell (see `frame_index`), the video
    is decoded.

    Args:
        path: a video file or a folder of images.
        stream: index of the video stream; None takes the best one.

    Raises:
        VideoError: missing, unreadable, without a video stream or a frame, or, where it had to be decoded,
            damaged.
    """
    path = Path(path)
    if path.is_dir():
        images = list_images(path)
        height, width = read_image(images[0]).shape[:2]
        return VideoInfo(len(images), None, width, height)
    with _opened(path, stream) as (container, video):
        rate = float(video.average_rate) if video.average_rate else None
        width, height = video.codec_context.width, video.codec_context.height
        try:
            frames = len(index_frames(container, video).times)
        except Doubtful:
            frames = sum(1 for _ in _in_order(path, stream))
        return VideoInfo(frames, rate, width, height)


def expected_frames(path: str | Path, stream: int | None = None) -> int:
    """How many frames the header promises, 0 if it is silent or the video cannot be opened. For progress bars
    only.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return len(list_images(path))
        with _opened(path, stream) as (container, video):
            if video.frames or not video.average_rate:
                return video.frames
            if video.duration is not None:
                return int(video.duration * video.time_base * video.average_rate)
            return int((container.duration or 0) / 1_000_000 * video.average_rate)
    except VideoError:
        return 0


def decode(
    path: str | Path,
    stream: int | None = None,
    *,
    threads: int = 1,
    wanted: list[tuple[int, int | None]] | None = None,
    say: Callable[[str], None] = lambda line: None,
    go_on: Callable[[], bool] = lambda: True,
) -> Iterator[Frame]:
    """Decode a video in presentation order.

    Long stretches that are not wanted are jumped over: their packets are read but not decoded, up to the
    keyframe before what is wanted next. Every frame is then held against the time that its packet promised.
    At the first that does not fit, and at any error, the video is decoded from its first frame, every frame,
    on one thread; that decides what is true. Damage inside what was jumped over is not seen.

    Args:
        path: a video file, or a folder of images, taken in the order of their names.
        stream: index of the video stream; None takes the best one.
        threads: decoding threads of the codec.
        wanted: ranges of frame numbers `[start, end)`, ascending and disjoint; an end of None is the end of
            the video. Frames outside may be left out. Where a range ends past the last frame, the last frame
            comes in any case. None: every frame.
        say: takes a line where the video has to be decoded from its first frame after all, and why.
        go_on: called at every picture, also at those that are only decoded on the way to a wanted one; may
            wait.

    Raises:
        Stopped: `go_on` returned False.
        VideoError: missing, unreadable, without a video stream or a frame, encrypted, or, after the last good
            frame, damaged.
    """
    path = Path(path)
    ranges = [(0, None)] if wanted is None else list(wanted)
    if not ranges:
        return
    if path.is_dir():
        for index, image in enumerate(list_images(path)):
            if not go_on():
                raise Stopped
            yield Frame(index, float("nan"), lambda image=image: read_image(image))
        return
    ends = [0, *(end for _, end in ranges)]
    gaps = [start - end for end, (start, _) in zip(ends, ranges, strict=False)]
    assert min(gaps) >= 0 and all(end is None or start < end for start, end in ranges), ranges
    jumps = max(gaps) >= MIN_JUMP
    done = None
    try:
        fast = (
            _jumping(path, stream, threads, ranges, go_on)
            if jumps
            else _in_order(path, stream, threads, ends[-1], go_on)
        )
        for frame in fast:
            yield frame
            done = frame
        return
    except Doubtful as doubt:
        why = str(doubt)
    agrees = done is None
    for frame in _in_order(path, stream, 1, ends[-1]):
        if frame.index == 0:  # a video without a first frame gets its error alone
            say(f"{path.name}: {why}; decoding it from its first frame, every frame, on one thread.")
        if done is not None and frame.index == done.index:
            agrees = not jumps or frame.pts_seconds == done.pts_seconds
        elif done is None or frame.index > done.index:
            if not agrees:
                break
            yield frame
    if not agrees:
        raise VideoError(
            path.name,
            f"has packets that do not tell its frames, seen at frame {done.index}; re-encode it, for example"
            " as H.264",
        )


def _in_order(
    path: Path,
    stream: int | None,
    threads: int = 1,
    end: int | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> Iterator[Frame]:
    """Every frame before number `end`, decoded from the first on.

    Raises:
        Doubtful: an error on more than one thread, where errors are reported later than they are.
    """
    with _opened(path, stream) as (container, video):
        decoder = _Decoder(path.name, container, video, threads, go_on)
        index = 0
        try:
            for picture in decoder.pictures():
                yield decoder.frame(index, picture)
                index += 1
                if index == end:
                    return
        except _Damage as damage:
            if threads > 1:
                raise Doubtful(f"is damaged somewhere ({damage})") from None
            what = f"after frame {index - 1}" if index else "from its first frame on"
            step = "" if index else f"; {what_to_do(path, str(damage))}"
            raise VideoError(
                path.name, f"is damaged {what}: {index} frames can be read ({damage}){step}"
            ) from None
        if not index:
            raise VideoError(path.name, f"holds no frames; {what_to_do(path)}")


def _jumping(
    path: Path,
    stream: int | None,
    threads: int,
    ranges: list[tuple[int, int | None]],
    go_on: Callable[[], bool],
) -> Iterator[Frame]:
    """The frames of some ranges, jumping from keyframe to keyframe where that saves decoding.

    Raises:
        Doubtful: an error, or anything other than what the packets promise.
    """
    with _opened(path, stream) as (container, video):
        index = index_frames(container, video, ranges[-1][1])
    with _opened(path, stream) as (container, video):
        decoder = _Decoder(path.name, container, video, threads, go_on)
        pictures, number = decoder.pictures(), 0
        try:
            # Frame 0 is always decoded: a decoder that drops what it cannot show at the start would shift
            # every number.
            for start, end in [(0, 1), *index.clip(ranges)]:
                keyframe = index.keyframe_before(start)
                if keyframe.packet - decoder.packets >= MIN_JUMP:
                    decoder.jump(keyframe.packet)
                    number = keyframe.number
                    pictures = _shown_from(index.times[number], decoder.pictures())
                while number < end:
                    picture = next(pictures, None)
                    if picture is None or picture.pts != index.times[number]:
                        raise Doubtful(f"frame {number} is not where its packet promised it")
                    if number >= start:
                        yield decoder.frame(number, picture)
                    number += 1
            if index.complete and end == len(index.times) and next(pictures, None) is not None:
                raise Doubtful("has more frames than packets")
        except _Damage as damage:
            raise Doubtful(f"is damaged somewhere ({damage})") from None


def _shown_from(time: int, pictures: Iterator) -> Iterator:
    """Without the pictures that come after a keyframe but are shown before it: what they refer to was jumped
    over.
    """
    return itertools.dropwhile(lambda picture: picture.pts is not None and picture.pts < time, pictures)


class Stopped(Exception):
    """Decoding was told not to go on."""


class _Damage(Exception):
    """The decoder, or the file, gave an error; `str(damage)` is which."""


class _Decoder:
    """The pictures of an open video, with a count of the packets that were read for them.

    Attributes:
        packets (int): read so far, decoded or jumped over.
    """

    def __init__(self, name: str, container, video, threads: int, go_on: Callable[[], bool]):
        from av.video.reformatter import VideoReformatter

        video.codec_context.thread_count = threads
        video.codec_context.thread_type = "AUTO" if threads > 1 else "SLICE"
        self.packets = 0
        self._go_on = go_on
        self._name, self._context, self._demuxed = name, video.codec_context, container.demux(video)
        # Streams joined from parts look as if they had lost bytes at every joint.
        joined = container.format.name == "mpegts"
        self._remedy = (
            "; if it was joined from parts, this mends it: ffmpeg -i IN -c copy OUT" if joined else ""
        )
        # one for all frames: a new one per frame is several times slower
        self._reformatter = VideoReformatter()

    def pictures(self) -> Iterator:
        """Decoded pictures, as they come out."""
        with _errors_as_damage():
            for packet in self._demuxed:
                self.packets += bool(packet.size)
                if packet.is_corrupt:
                    raise _Damage(f"a packet is cut short or has lost bytes{self._remedy}")
                if packet.has_sidedata("encryption_info"):
                    raise VideoError(
                        self._name,
                        "is encrypted; decrypt it first: ffmpeg -decryption_key KEY -i IN -c copy OUT",
                    )
                for picture in packet.decode():
                    if not self._go_on():
                        raise Stopped
                    if picture.is_corrupt:
                        raise _Damage("a picture is incomplete")
                    yield picture

    def jump(self, packet: int) -> None:
        """Go on with packet number `packet`; those before it are read and not decoded."""
        with _errors_as_damage():
            while self.packets < packet:
                skipped = next(self._demuxed, None)
                if skipped is None:
                    raise _Damage("the file became shorter")
                self.packets += bool(skipped.size)
        self._context.flush_buffers()

    def frame(self, index: int, picture) -> Frame:
        time = float(picture.time) if picture.time is not None else float("nan")
        return Frame(index, time, lambda: _to_rgb(self._name, self._reformatter, picture))


@contextlib.contextmanager
def _errors_as_damage():
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise _Damage(error.strerror) from None


def _to_rgb(name: str, reformatter, picture) -> np.ndarray:
    import av

    try:
        converted = reformatter.reformat(picture, format="rgb24")
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(
            name,
            f"has a frame of {picture.width}x{picture.height} {picture.format.name} that cannot be made RGB"
            f" ({error})",
        ) from None
    # A view of the decoder's memory: of a large frame, little more than the pixels that are resized is ever
    # read.
    plane = converted.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    rgb = rows[:, : 3 * plane.width].reshape(plane.height, plane.width, 3)
    try:
        return of_picture(picture).upright(rgb)
    except ValueError as error:
        raise VideoError(name, f"{error}; re-encode it upright") from None


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
        # The protocol prefix keeps names that start with a dash or look like an address from being read as
        # anything but a file.
        container = av.open(f"file:{path}", metadata_errors="replace")
    except av.FFmpegError as error:
        raise VideoError(path.name, why_unopened(path, error.strerror)) from None
    with container:
        videos = [video for video in container.streams.video if not _is_cover_art(video)]
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


def _is_cover_art(video) -> bool:
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
    except OSError:
        return 0, 0
