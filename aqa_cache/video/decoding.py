"""Frames of a video file or of a folder of images, decoded in order, numbered from 0.

A frame's number is its place in presentation order among the frames that are really there; headers are not
believed.
"""

import collections
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import VideoError
from .demuxers import BEGIN_ANYWHERE
from .frame_folder import list_images, read_image
from .frame_index import Doubtful, index_frames
from .opening import opened
from .orientation import of_picture
from .packets import Damage, EndsEarly, promised_frames, read_packets
from .unreadable import what_to_do

_log = logging.getLogger(__name__)

DECODE_TIMEOUT = 600.0  # seconds without a new frame after which a video is given up
_RECENT = 64  # packets from whose times the distance of frames is taken
_HDR_CURVES = {16: "PQ", 18: "HLG"}  # by number in ITU-T H.273
_B_PICTURE = 3  # av.video.frame.PictureType.B
SIGN_OF_LIFE = 0.25  # seconds of reading without decoding between two calls of `go_on`
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
    with opened(path, stream) as (container, video):
        rate = float(video.average_rate) if video.average_rate else None
        width, height = video.codec_context.width, video.codec_context.height
        try:
            frames = len(index_frames(read_packets(path, container, video), video).times)
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
        with opened(path, stream) as (container, video):
            return promised_frames(container, video)[0] or 0
    except VideoError:
        return 0


def decode(
    path: str | Path,
    stream: int | None = None,
    *,
    threads: int = 1,
    wanted: list[tuple[int, int | None]] | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> Iterator[Frame]:
    """Decode a video in presentation order.

    Long stretches that are not wanted are jumped over: their packets are read but not decoded, up to the
    keyframe before what is wanted next. Every frame is then held against the time that its packet promised.
    At the first that does not fit, and at any error, the video is decoded from its first frame, every frame,
    on one thread, which is logged; that decides what is true. Damage inside what was jumped over is not seen.

    A warning is logged where a video begins without a keyframe, and where it is HDR, since its frames are not
    tone-mapped.

    Args:
        path: a video file, or a folder of images, taken in the order of their names.
        stream: index of the video stream; None takes the best one.
        threads: decoding threads of the codec.
        wanted: ranges of frame numbers `[start, end)`, ascending and disjoint; an end of None is the end of
            the video. Frames outside may be left out. Where a range ends past the last frame, the last frame
            comes in any case. None: every frame.
        go_on: called at every picture, also at those that are only decoded on the way to a wanted one, and
            every `SIGN_OF_LIFE` seconds while packets are only read; may wait.

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
    done, said = None, set()
    try:
        fast = (
            _jumping(path, stream, threads, ranges, go_on, said)
            if jumps
            else _in_order(path, stream, threads, ends[-1], go_on, said)
        )
        for frame in fast:
            yield frame
            done = frame
        return
    except Doubtful as doubt:
        why = str(doubt)
    agrees = done is None
    for frame in _in_order(path, stream, 1, ends[-1], go_on, said):
        if frame.index == 0:  # a video without a first frame gets its error alone
            _log.info(f"{path.name}: {why}; decoding it from its first frame, every frame, on one thread.")
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
    said: set[str] | None = None,
) -> Iterator[Frame]:
    """Every frame before number `end`, decoded from the first on.

    Args:
        said: the warnings of an earlier reading, which are not given again; None: there was none.

    Raises:
        Doubtful: an error on more than one thread, where errors are reported later than they are.
    """
    with opened(path, stream) as (container, video):
        decoder = _Decoder(path, container, video, threads, go_on)
        index, said = 0, set() if said is None else said
        _warn_if_hdr(path, video, said)
        try:
            for picture in decoder.pictures():
                if not index and decoder.missing:
                    _warn_once(
                        said,
                        f"{path.name}: does not begin with a keyframe: {decoder.missing} frames before"
                        " the first that can be shown are lost; frames are numbered from that one.",
                    )
                yield decoder.frame(index, picture)
                index += 1
                if index == end:
                    return
        except Damage as damage:
            if threads > 1:
                raise Doubtful(damage.doubt) from None
            raise VideoError(path.name, _what_is_left(path, index, damage)) from None
        if not index:
            raise VideoError(path.name, f"holds no frames; {what_to_do(path)}")


def _what_is_left(path: Path, frames: int, damage: Damage) -> str:
    if isinstance(damage, EndsEarly) and frames:
        if damage.promised is None or damage.promised <= frames:
            return f"ends early: the file is cut, {frames} frames can be read; copy or download it again"
        number = f"the {damage.promised}" if damage.exact else f"about {damage.promised}"
        return (
            f"ends early after {frames} of {number} frames that its header promises; copy or download it"
            " again"
        )
    what = f"after frame {frames - 1}" if frames else "from its first frame on"
    step = "" if frames else f"; {what_to_do(path, str(damage))}"
    return f"is damaged {what}: {frames} frames can be read ({damage}){step}"


def _jumping(
    path: Path,
    stream: int | None,
    threads: int,
    ranges: list[tuple[int, int | None]],
    go_on: Callable[[], bool],
    said: set[str],
) -> Iterator[Frame]:
    """The frames of some ranges, jumping from keyframe to keyframe where that saves decoding.

    Raises:
        Doubtful: an error, or anything other than what the packets promise.
    """
    with opened(path, stream) as (container, video):
        packets = _not_hanging(read_packets(path, container, video), go_on)
        index = index_frames(packets, video, ranges[-1][1])
    with opened(path, stream) as (container, video):
        decoder = _Decoder(path, container, video, threads, go_on)
        pictures, number = decoder.pictures(), 0
        _warn_if_hdr(path, video, said)
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
        except Damage as damage:
            raise Doubtful(damage.doubt) from None


def _shown_from(time: int, pictures: Iterator) -> Iterator:
    """Without the pictures that come after a keyframe but are shown before it: what they refer to was jumped
    over.
    """
    return itertools.dropwhile(lambda picture: picture.pts is not None and picture.pts < time, pictures)


class Stopped(Exception):
    """Decoding was told not to go on."""


def _warn_once(said: set[str], line: str) -> None:
    if line not in said:
        said.add(line)
        _log.warning(line)


def _warn_if_hdr(path: Path, video, said: set[str]) -> None:
    curve = _HDR_CURVES.get(video.codec_context.color_trc)
    if curve:
        _warn_once(
            said,
            f"{path.name}: is HDR ({curve}); its frames are not tone-mapped, and look pale beside others.",
        )


def _not_hanging(packets: Iterator, go_on: Callable[[], bool]) -> Iterator:
    """Packets that are read and not decoded, with a call of `go_on` now and then: who reads does not hang."""
    called = time.monotonic()
    for packet in packets:
        if time.monotonic() - called >= SIGN_OF_LIFE:
            if not go_on():
                raise Stopped
            called = time.monotonic()
        yield packet


class _Decoder:
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
        skipped = _not_hanging(self._read, self._go_on)
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
