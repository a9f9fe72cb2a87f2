"""MP4 and QuickTime: boxes, and the video tracks among them.

Source: ISO/IEC 14496-12.
"""

import os
import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .file_bytes import Broken, FileBytes

# Of MP4 and QuickTime, on the outermost level; what has another name there is not taken for a box.
_OUTER_BOXES = frozenset(
    b"ftyp styp moov moof mdat free skip wide pnot uuid meta sidx ssix emsg prft mfra".split()
)


@dataclass(frozen=True)
class Box:
    """A box of MP4 or QuickTime.

    Args:
        kind: its four letters.
        start: of its content, in bytes from the start of the file; end: behind it, as its header promises.
    """

    kind: bytes
    start: int
    end: int


def boxes(file: BinaryIO, start: int, end: int, known: frozenset[bytes] | None = None) -> Iterator[Box]:
    """The boxes in a stretch of a file; the last may promise to end behind it.

    Args:
        known: stop at a box of another kind; None: all are taken.
    """
    while start + 8 <= end:
        file.seek(start)
        header = file.read(16)
        size, kind, length = int.from_bytes(header[:4], "big"), header[4:8], 8
        if known is not None and kind not in known:
            return
        if size == 1:
            size, length = int.from_bytes(header[8:16], "big"), 16
        if size == 0:  # to the end
            size = end - start
        if size < length:
            return
        yield Box(kind, start + length, start + size)
        start += size


def outer_boxes(path: Path) -> list[Box]:
    """Those of an MP4 or QuickTime file; none if it is no such file.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return list(boxes(file, 0, os.fstat(file.fileno()).st_size, _OUTER_BOXES))


@dataclass(frozen=True)
class VideoTrack:
    """A video track of MP4 or QuickTime, as its index describes it.

    Args:
        matrix: `(a, b, c, d)` of the display matrix, by which a pixel (x, y) is shown at
            (a x + c y, b x + d y), up to a shift.
        codec: the four letters of its first sample description.
    """

    matrix: tuple[float, float, float, float]
    codec: str


def video_tracks(path: Path) -> list[VideoTrack]:
    """Those in the index of an MP4 or QuickTime file; none if it is no such file, or has no index.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        tracks = within(file, boxes(file, 0, size, _OUTER_BOXES), b"moov", b"trak")
        return [found for track in list(tracks) if (found := _video_track(file, track)) is not None]


def within(file: BinaryIO, outer: Iterator[Box], *kinds: bytes) -> Iterator[Box]:
    """Boxes by the kinds of those that they lie in, the outermost first, and their own."""
    size = os.fstat(file.fileno()).st_size
    for box in outer:
        if box.kind == kinds[0] and len(kinds) == 1:
            yield box
        elif box.kind == kinds[0]:
            yield from within(file, boxes(file, box.start, min(box.end, size)), *kinds[1:])


def _video_track(file: BinaryIO, track: Box) -> VideoTrack | None:
    def content(*kinds: bytes) -> bytes:
        box = next(within(file, iter([track]), b"trak", *kinds), None)
        if box is None:
            return b""
        file.seek(box.start)
        return file.read(min(box.end - box.start, 128))

    if content(b"mdia", b"hdlr")[8:12] != b"vide":
        return None
    header = content(b"tkhd")
    place = 52 if header[:1] == b"\1" else 40  # times of 64 bits, or of 32
    if len(header) < place + 36:
        return None
    values = struct.unpack_from(">9i", header, place)
    a, b, c, d = (values[index] / (1 << 16) for index in (0, 1, 3, 4))
    description = content(b"mdia", b"minf", b"stbl", b"stsd")
    return VideoTrack((a, b, c, d), description[12:16].decode("latin-1"))


def promised_bytes(file: BinaryIO, size: int) -> int | None:
    """By the boxes of the outermost level."""
    found = list(boxes(file, 0, size, _OUTER_BOXES))
    return found[-1].end if found else None


def elements(file: FileBytes) -> Generator[int, None, None]:
    """Byte offsets of the elements; see `structure`."""
    # Where frames lie is known from an index, so that of a file in one piece only the end says something.
    place, previous, fragmented = 0, 0, False
    while place + 8 <= file.size:
        head = file.at(place, 16)
        size, name = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size < 8 or not name.isalnum():
            if fragmented and size:
                raise Broken(previous)
            return
        fragmented = fragmented or name == b"moof"
        yield place
        if place + size > file.size and name in (b"mdat", b"moof"):
            raise Broken(file.size, cut=True)
        previous, place = place, place + size
