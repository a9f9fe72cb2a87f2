"""Where every frame of a video file lies, from the times of its packets; nothing is decoded."""

import bisect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from .fields import FieldReader
from .packets import Damage

# Codecs that store one frame per packet, or, which is seen, one field. Not VP8, whose packets may be hidden
# reference frames, nor MPEG-4 part 2, which may hold two frames in one packet and none in the next.
ONE_FRAME_PER_PACKET = frozenset(
    ["av1", "dnxhd", "ffv1", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "prores", "vp9"]
)


class Doubtful(Exception):
    """Something that only decoding every frame in order can judge; `str(doubt)` says what. It never reaches a
    user as an error.
    """


@dataclass(frozen=True)
class Keyframe:
    """A frame that decoding can begin with.

    Args:
        number: of the frame, in presentation order.
        packet: how many packets come before its own, in decoding order.
    """

    number: int
    packet: int


@dataclass(frozen=True)
class FrameIndex:
    """Frames of a video in presentation order, as its packets promise them.

    Args:
        times: presentation time of each frame, in units of the stream's time base, ascending.
        keyframes: ascending.
        complete: whether the packets were read to the end.
    """

    times: list[int]
    keyframes: list[Keyframe]
    complete: bool

    def keyframe_before(self, number: int) -> Keyframe:
        """The last keyframe at or before a frame."""
        return self.keyframes[bisect.bisect_right(self.keyframes, number, key=lambda one: one.number) - 1]

    def clip(self, ranges: list[tuple[int, int | None]]) -> list[tuple[int, int]]:
        """Ranges of frame numbers, cut to the frames that there are.

        A range that ends past the last frame keeps at least that frame, which shows where the video ends.
        """
        if not self.complete:
            return ranges
        count = len(self.times)
        inside = []
        for start, end in ranges:
            if end is not None and end <= count:
                inside.append((start, end))
            else:
                inside.append((min(start, count - 1), count))
                break
        return inside


def index_frames(packets: Iterator, video, end: int | None = None) -> FrameIndex:
    """Read the packets of a stream, up to where the frames before `end` are known.

    Args:
        packets: from the first on, in decoding order, as `read_packets` gives them.
        video: their stream.
        end: frames from this number on need no entry; None: all have one.

    Raises:
        Doubtful: the packets do not tell where the frames are.
    """
    context = video.codec_context
    codec = context.codec.canonical_name
    if codec not in ONE_FRAME_PER_PACKET:
        raise Doubtful(f"has packets of {codec}, which may hold any number of frames")
    fields = FieldReader(codec, context.extradata)
    try:
        return _index((packet for packet in packets if packet.size), fields, end)
    except Damage as damage:
        raise Doubtful(damage.doubt) from None


def _index(packets: Iterator, fields: FieldReader, end: int | None) -> FrameIndex:
    times: list[int] = []
    keyframes: list[tuple[int, int]] = []  # time, place among the packets
    before = 0  # frames whose packets came before the last keyframe, and so are shown before it
    latest, complete = None, True
    for place, packet in enumerate(packets):
        time = packet.pts
        if time is None:
            raise Doubtful("has packets without a presentation time")
        if packet.has_sidedata("new_extradata"):
            raise Doubtful("changes its codec's parameters on the way")
        if packet.has_sidedata("encryption_info"):
            raise Doubtful("is encrypted")
        if not place and not packet.is_keyframe:
            raise Doubtful("does not begin with a keyframe")
        if fields.holds_field(packet, packet.is_keyframe):
            raise Doubtful("is coded in fields, of which two make a frame")
        # Pictures that follow a keyframe in the file may be shown before it, but not before an earlier
        # keyframe.
        barrier = latest if packet.is_keyframe else keyframes[max(0, len(keyframes) - 2)][0]
        if place and time < barrier:
            raise Doubtful("has times that run backwards")
        latest = time if latest is None else max(latest, time)
        if packet.is_keyframe:
            if end is not None and keyframes and before >= end:
                complete = False
                break
            keyframes.append((time, place))
            before = len(times)
        if not packet.is_discard:
            times.append(time)
    times.sort()
    if any(one == following for one, following in itertools.pairwise(times)):
        raise Doubtful("has packets with the same presentation time")
    if not times:
        raise Doubtful("has no packets with a frame")
    numbered = [Keyframe(bisect.bisect_left(times, time), place) for time, place in keyframes]
    return FrameIndex(times, numbered, complete)
