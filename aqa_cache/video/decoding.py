"""Frames of a video file or of a folder of images, decoded in order, numbered from 0.

A frame's number is its place in presentation order among the frames that are really there; headers are not
believed.
"""

import itertools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import VideoError
from .decoder import Decoder, Frame, Stopped, not_hanging
from .frame_folder import list_images, read_image
from .frame_index import Doubtful, index_frames
from .opening import opened
from .packets import Damage, EndsEarly, read_packets
from .unreadable import what_to_do

_log = logging.getLogger(__name__)

DECODE_TIMEOUT = 600.0  # seconds without a new frame after which a video is given up
_HDR_CURVES = {16: "PQ", 18: "HLG"}  # by number in ITU-T H.273
MIN_JUMP = 32  # frames; where fewer are left out, finding them costs about as much as decoding them


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
        yield from _images(path, go_on)
        return
    jumps, end = _widest_gap(ranges) >= MIN_JUMP, ranges[-1][1]
    done, said = None, set[str]()
    try:
        fast = (
            _jumping(path, stream, threads, ranges, go_on, said)
            if jumps
            else _in_order(path, stream, threads, end, go_on, said)
        )
        for frame in fast:
            yield frame
            done = frame
        return
    except Doubtful as doubt:
        why = str(doubt)
    everything = _in_order(path, stream, 1, end, go_on, said)
    yield from _after_doubt(path, why, everything, done, jumps)


def _images(folder: Path, go_on: Callable[[], bool]) -> Iterator[Frame]:
    for index, image in enumerate(list_images(folder)):
        if not go_on():
            raise Stopped
        yield Frame(index, float("nan"), lambda image=image: read_image(image))


def _widest_gap(ranges: list[tuple[int, int | None]]) -> int:
    """The most frames that are left out before one of the ranges."""
    ends = [0, *(end for _, end in ranges)]
    gaps = [start - end for end, (start, _) in zip(ends, ranges, strict=False)]
    assert min(gaps) >= 0 and all(end is None or start < end for start, end in ranges), ranges
    return max(gaps)


def _after_doubt(
    path: Path, why: str, frames: Iterator[Frame], done: Frame | None, jumped: bool
) -> Iterator[Frame]:
    """Those of all frames that were not given out before a doubt came up.

    Args:
        frames: from the first on.
        done: the last that was given out; None: there was none.
        jumped: whether frames before it were jumped over.

    Raises:
        VideoError: another frame was given out under the number of `done`.
    """
    agrees = done is None
    for frame in frames:
        if frame.index == 0:  # a video without a first frame gets its error alone
            _log.info(f"{path.name}: {why}; decoding it from its first frame, every frame, on one thread.")
        if done is not None and frame.index == done.index:
            agrees = not jumped or frame.pts_seconds == done.pts_seconds
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
        decoder = Decoder(path, container, video, threads, go_on)
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
        packets = not_hanging(read_packets(path, container, video), go_on)
        index = index_frames(packets, video, ranges[-1][1])
    with opened(path, stream) as (container, video):
        decoder = Decoder(path, container, video, threads, go_on)
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
