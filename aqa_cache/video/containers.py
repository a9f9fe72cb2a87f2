"""What the headers of container files promise, read from their bytes alone: no decoder, no frame."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# Of MP4 and QuickTime, on the outermost level; what has another name there is not taken for a box.
_OUTER_BOXES = frozenset(
    b"ftyp styp moov moof mdat free skip wide pnot uuid meta sidx ssix emsg prft mfra".split()
)
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_HEAD_BYTES = 1 << 16


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


def promised_bytes(path: Path) -> int | None:
    """How long a file has to be by its own headers: MP4, QuickTime, AVI, Matroska, WebM, ASF (WMV), FLV.

    None where they do not say, as in transport and program streams, or in a file that was written as a live
    stream.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(_HEAD_BYTES)
        if head[:4] == b"RIFF":
            return _riff_bytes(file, size)
        if head[:4] == _EBML:
            return _matroska_bytes(head)
        if head[:16] == _ASF_HEADER:
            return _asf_bytes(head)
        if head[:3] == b"FLV":
            return _flv_bytes(head)
        found = list(boxes(file, 0, size, _OUTER_BOXES))
        return found[-1].end if found else None


def _riff_bytes(file: BinaryIO, size: int) -> int | None:
    """Large AVI files are several chunks, one after another."""
    end = start = 0
    while start + 12 <= size:
        file.seek(start)
        header = file.read(8)
        length = int.from_bytes(header[4:8], "little")
        if header[:4] != b"RIFF" or length in (0, 0xFFFFFFFF):
            break
        end = start + 8 + length
        start = end + length % 2  # the last one is not always padded
    return end or None


def _asf_bytes(head: bytes) -> int | None:
    """By the properties of the file, but for a live stream, which they do not hold for."""
    place = head.find(_ASF_FILE_PROPERTIES)
    if place < 0 or len(head) < place + 92 or head[place + 88] & 1:
        return None
    return int.from_bytes(head[place + 40 : place + 48], "little") or None


def _flv_bytes(head: bytes) -> int | None:
    """By the number `filesize` among its metadata, which live streams do not have, or leave 0."""
    place = head.find(b"\0\x08filesize\0")
    if place < 0 or len(head) < place + 19:
        return None
    (size,) = struct.unpack_from(">d", head, place + 11)
    return int(size) if 0 < size < 1 << 53 else None


def _matroska_bytes(head: bytes) -> int | None:
    """Of the segment that follows the header; None where it was left open."""
    place = 4
    length, place = _ebml_size(head, place)
    place += length or 0
    if head[place : place + 4] != _SEGMENT:
        return None
    length, place = _ebml_size(head, place + 4)
    return None if length is None else place + length


def _ebml_size(head: bytes, place: int) -> tuple[int | None, int]:
    """A number of one to eight bytes, None where all its bits are set, and the place behind it."""
    first = head[place] if place < len(head) else 0
    width = 9 - first.bit_length()
    if width > 8:
        return None, place
    value = int.from_bytes(head[place : place + width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), place + width
