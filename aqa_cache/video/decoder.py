"""The pictures of an open video, as its decoder gives them, and the frames that are made of them."""

import collections
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..errors import VideoError
from .demuxers import BEGIN_ANYWHERE
from .orientation import of_picture
from .packets import Damage, read_packets

SIGN_OF_LIFE = 0.25  # seconds of reading without decoding between two calls of `go_on`
_RECENT = 64  # packets from whose times the distance of frames is taken
_B_PICTURE = 3  # av.video.frame.PictureType.B


class Stopped(Exception):
    """Decoding was told not to go on."""


class Frame:
    """One decoded frame; turned into RGB only when asked for.

    Attributes:
        index (int): 0-based place in presentation order.
        pts_seconds (float): presentation time in seconds, NaN where the source has no times.
        missing (int): how many frames the file holds before the video's frame 0 that cannot be shown, since
            the keyframe they need is not there; numbers of another source may then not be these.
    """

    __slots__ = ("_to_rgb", "index", "missing", "pts_seconds")

    def __init__(self, index: int, pts_seconds: float, to_rgb, missing: int = 0):
        self.index, self.pts_seconds, self._to_rgb, self.missing = index, pts_seconds, to_rgb, missing

    def rgb(self) -> np.ndarray:
        """`(height, width, 3)` uint8, upright (orientation applied). Valid until the next frame is
        asked for.
        """
        return self._to_rgb()


class Decoder:
    """The pictures of an open video, with a count of the packets that were read for them.

    Attributes:
        packets (int): read so far, decoded or jumped over.
        missing (int): frames before the first picture that cannot be shown; known once there is one.
    """

    def __init__(self, path: Path, container, video, threads: int, go_on: Callable[[], bool]):
        from av.video.reformatter import VideoReformatter

        video.codec_context.thread_count = threads
        video.codec_context.thread_type = "AUTO" if threads > 1 else "SLICE"
        self.packets = self.missing = 0
        self._go_on, self._spoiled = go_on, False
        # Several threads may give a damaged picture without a mark, and the error for it later.
        self._held = threads + 1 if threads > 1 else 0
        self._in_stream = container.format.name in BEGIN_ANYWHERE
        self._before_first: list[int] | None = None  # times of packets, where the first is no keyframe
        self._name, self._context = path.name, video.codec_context
        self._read = self._counted(read_packets(path, container, video))
        self._recent: collections.deque[int] = collections.deque(maxlen=_RECENT)  # times of packets
        # AVI stores no times of presentation, and those that are worked out from its order of decoding come
        # late.
        self._ticks: list[int] | None = [] if container.format.name == "avi" else None
        self._time_base = video.time_base
        rate = video.average_rate
        self._step = 1 / (rate * video.time_base) if rate else 0  # between frames
        # one for all frames: a new one per frame is several times slower
        self._reformatter = VideoReformatter()

    def _counted(self, packets: Iterator) -> Iterator:
        for packet in packets:
            if packet.size:
                self.packets += 1
                if packet.pts is not None:
                    self._recent.append(packet.pts)
                    if self.packets == 1 and not packet.is_keyframe:
                        self._before_first = []
                    if self._before_first is not None and not packet.is_discard:
                        self._before_first.append(packet.pts)
                if self._ticks is not None:
                    self._ticks.append(packet.dts)
            yield packet

    def pictures(self) -> Iterator:
        """Decoded pictures, as they come out.

        Raises:
            Damage: after the last picture that does not depend on what is damaged.
        """
        waiting, whole = [], True  # pictures that may refer to one that comes after them
        try:
            for picture in self._decoded():
                if picture.is_corrupt:
                    whole = False
                    raise Damage("a picture is incomplete")
                waiting.append(picture)
                if picture.pict_type != _B_PICTURE:
                    ready = max(0, len(waiting) - self._held)
                    yield from self._one_by_one(waiting[:ready])
                    del waiting[:ready]
        except Damage:
            if whole and not self._spoiled and not self._held and self._ticks is None:
                yield from self._one_by_one(waiting)
            raise
        yield from self._one_by_one(waiting)

    def _one_by_one(self, pictures: list) -> Iterator:
        for picture in pictures:
            if not self._go_on():
                raise Stopped
            if self._before_first is not None:
                first = picture.pts
                self.missing = first is not None and sum(one < first for one in self._before_first)
                self._before_first = None
            yield picture

    def _decoded(self) -> Iterator:
        latest = None
        try:
            for packet in self._read:
                if packet.has_sidedata("encryption_info"):
                    raise VideoError(
                        self._name,
                        "is encrypted; decrypt it first: ffmpeg -decryption_key KEY -i IN -c copy OUT",
                    )
                for picture in _decode(self._context, packet):
                    yield picture
                    latest = picture.pts
        except Damage as damage:
            yield from self._left(latest, damage.before)
            raise

    def _left(self, latest: int | None, before: int | None) -> Iterator:
        """The pictures that are still in the decoder, as far as none is missing between them.

        Args:
            latest: time of the picture before.
            before: time from which on one may be missing.
        """
        if self._ticks is not None:  # without times, nothing tells whether one is missing
            return
        try:
            pictures = _decode(self._context, None)
        except Damage:
            return
        times = sorted(set(self._recent))
        step = min([self._step, *(after - one for one, after in itertools.pairwise(times))])
        for picture in pictures:
            shown = picture.pts
            late = before is not None and shown is not None and shown >= before
            if shown is None or late or (latest is not None and shown - latest > 1.5 * step):
                # A picture that is not given may still show that those before it are damaged.
                self._spoiled = any(one.is_corrupt for one in pictures)
                return
            yield picture
            latest = shown

    def jump(self, packet: int) -> None:
        """Go on with packet number `packet`; those before it are read and not decoded."""
        skipped = not_hanging(self._read, self._go_on)
        while self.packets < packet:
            if next(skipped, None) is None:
                raise Damage("the file became shorter")
        self._context.flush_buffers()

    def frame(self, index: int, picture) -> Frame:
        seconds = float("nan")
        if self._ticks is not None:
            seconds = self._tick(index)
        elif picture.pts is not None:
            seconds = float(picture.pts) * self._time_base.numerator / self._time_base.denominator
        missing = 0 if self._in_stream else self.missing
        return Frame(index, seconds, lambda: _to_rgb(self._name, self._reformatter, picture), missing)

    def _tick(self, index: int) -> float:
        """Time of a frame in a file in which each packet has the next time."""
        ticks = self._ticks
        if not ticks or None in ticks[-1:]:
            return float("nan")
        tick = ticks[index] if index < len(ticks) else ticks[-1] + index + 1 - len(ticks)
        return float("nan") if tick is None else float(tick * self._time_base)


def _decode(context, packet) -> list:
    """The pictures that come out when a packet goes in; None: those that are left.

    Raises:
        Damage: the decoder gave an error.
    """
    import av

    try:
        return context.decode(packet)
    except av.FFmpegError as error:
        before = None if packet is None or packet.is_keyframe else packet.pts
        raise Damage(error.strerror, before) from None


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


def not_hanging(packets: Iterator, go_on: Callable[[], bool]) -> Iterator:
    """Packets that are read and not decoded, with a call of `go_on` now and then: who reads does not hang."""
    called = time.monotonic()
    for packet in packets:
        if time.monotonic() - called >= SIGN_OF_LIFE:
            if not go_on():
                raise Stopped
            called = time.monotonic()
        yield packet
