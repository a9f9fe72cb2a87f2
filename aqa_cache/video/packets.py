"""The packets of one stream of a video file, with what shows that the file is not whole."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from .layout.structure import Structure

_MARKED = 2  # packets between a mark of damage and the place that it was made for


class Damage(Exception):
    """The file, or the decoder, gave an error; `str(damage)` is which.

    Args:
        before: pictures from this time on, in units of the stream's time base, may lack one before them;
            None: it is not known, or no limit.
    """

    def __init__(self, what: str, before: int | None = None):
        super().__init__(what)
        self.before = before
        self.doubt = f"is damaged somewhere ({what})"


class EndsEarly(Damage):
    """The file ends before its header says.

    Args:
        promised: how many frames the header promises; None if it does not say.
        exact: whether that is a count, not worked out from a duration.
    """

    def __init__(self, promised: int | None, exact: bool):
        super().__init__("the file is cut")
        self.doubt = "ends early"
        self.promised, self.exact = promised, exact


def read_packets(path: Path, container, video) -> Iterator:
    """The packets of a stream in decoding order, and last the empty one that flushes its decoder.

    Args:
        container: open and not yet read from.
        video: its stream.

    Raises:
        Damage: after the last packet that is whole. What is damaged in other streams is not seen, other than
            by where the file ends.
    """
    import av

    # Streams joined from parts look as if they had lost bytes at every joint.
    remedy = (
        "; if it was joined from parts, this mends it: ffmpeg -i IN -c copy OUT"
        if container.format.name == "mpegts"
        else ""
    )
    structure, count, images = Structure(path), 0, _whole_images(video)
    packets = container.demux(video)
    try:
        for packet in packets:
            if packet.size == 0 and packet.pts is None and packet.dts is None:
                short = count < _indexed(container, video)
                if structure.breaks() and not structure.cut:
                    raise Damage("the file has lost bytes")
                # Where all frames came that are listed, only sound or an index is missing.
                if short or (structure.cut and not 0 < video.frames <= count):
                    raise _early(container, video)
                yield packet
                return
            count += 1
            before = None if packet.is_keyframe else packet.pts
            if packet.is_corrupt:
                if container.format.name == "mpegts" and (whole := _before_joint(packet, packets, video)):
                    yield from whole
                    before = None
                raise Damage(f"a packet is cut short or has lost bytes{remedy}", before)
            lost = packet.pos is not None and structure.breaks_before(packet.pos)
            if lost or not images(packet):
                raise Damage("a packet is cut short or has lost bytes", before)
            yield packet
    except av.FFmpegError as error:
        raise Damage(error.strerror) from None
    finally:
        structure.close()


def _whole_images(video) -> Callable[..., bool]:
    """Tells whether a packet is a whole image, where packets of the stream are JPEG; others always are.

    Decoders of JPEG look for the beginning of an image, and so give the next one where bytes are lost.
    """
    if video.codec_context.codec.canonical_name != "mjpeg":
        return lambda packet: True
    usual: list[tuple[bool, bool]] = []

    def whole(packet) -> bool:
        data = bytes(packet)
        marks = data.startswith(b"\xff\xd8"), data.rstrip(b"\0").endswith(b"\xff\xd9")
        usual[:] = usual or [marks]  # not every writer sets both; as the first, so the others
        return all(mark or not expected for mark, expected in zip(marks, usual[0], strict=True))

    return whole


def _before_joint(packet, packets: Iterator, video) -> list:
    """The packets from one on that is said to be corrupt, if they are the last before another part begins.

    Where parts were joined, it is only the counters that do not fit; the packets are whole, or H.264 decoders
    see that they are not. The mark comes one packet early.
    """
    if video.codec_context.codec.canonical_name != "h264":
        return []
    following = [one for one in itertools.islice(packets, _MARKED) if one.size]
    begin = max((place for place, one in enumerate(following, 1) if one.is_keyframe), default=0)
    return [packet, *following][:begin]


def _indexed(container, video) -> int:
    """How many packets an MP4 file's index lists; 0 for others, whose demuxers list what they have met."""
    return len(video.index_entries) if "mp4" in container.format.name.split(",") else 0


def _early(container, video) -> EndsEarly:
    if _indexed(container, video) and video.frames:
        return EndsEarly(sum(not entry.is_discard for entry in video.index_entries), exact=True)
    return EndsEarly(*promised_frames(container, video))


def promised_frames(container, video) -> tuple[int | None, bool]:
    """How many frames the header promises, None if it is silent; and whether that is a count, not worked out
    from a duration.
    """
    if video.frames:
        return video.frames, True
    if not video.average_rate:
        return None, False
    if video.duration is not None:
        return round(video.duration * video.time_base * video.average_rate) or None, False
    return round((container.duration or 0) / 1_000_000 * video.average_rate) or None, False
