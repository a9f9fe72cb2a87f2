"""Whether the bytes of a video file are laid out as its container demands, from the headers of its elements.

Demuxers skip what they do not understand and go on with the next element that they know, without an error.
What came between is lost, and every later frame would get a smaller number. A file that was cut ends just as
silently.

Source: RFC 9559 (Matroska), Microsoft's AVI RIFF and ASF specifications, Adobe's FLV 10.1, ISO/IEC 14496-12
(MP4), ISO/IEC 13818-1 (MPEG-TS).
"""

import re
import struct
from collections.abc import Generator
from pathlib import Path


class _Broken(Exception):
    """An element is not followed by another, or not whole.

    Args:
        place: byte offset at which it begins.
        cut: whether the file ends in it.
    """

    def __init__(self, place: int, cut: bool = False):
        self.place, self.cut = place, cut


class _Bytes:
    """A file to be read at any place."""

    def __init__(self, path: Path):
        self._file = path.open("rb")
        self.size = path.stat().st_size

    def at(self, place: int, count: int) -> bytes:
        """Fewer than `count` where the file ends."""
        self._file.seek(place)
        return self._file.read(count)

    def close(self) -> None:
        self._file.close()


class Structure:
    """Follows the elements of a file as far as it is read; closed by `close`.

    A file of a container that is not known here is never broken.

    Attributes:
        broken_at (int | None): byte offset of the first element that has lost bytes, as far as is known.
        cut (bool): whether that is because the file ends.
    """

    def __init__(self, path: Path):
        self._bytes = _Bytes(path)
        self._walk = _elements(self._bytes)
        self._latest, self._ended = -1, False
        self.broken_at: int | None = None
        self.cut = False

    def breaks_before(self, place: int) -> bool:
        """Whether the element at a byte offset, or one before it, has lost bytes."""
        while self._latest <= place and not self._ended:
            try:
                self._latest = next(self._walk)
            except StopIteration:
                self._ended = True
            except _Broken as broken:
                self._ended, self.broken_at, self.cut = True, broken.place, broken.cut
        return self.broken_at is not None and self.broken_at <= place

    def breaks(self) -> bool:
        """Whether any element has lost bytes, to the end of the file."""
        return self.breaks_before(self._bytes.size)

    def close(self) -> None:
        self._walk.close()
        self._bytes.close()


def _elements(file: _Bytes) -> Generator[int, None, None]:
    """Byte offsets of the elements, ascending.

    Raises:
        _Broken: the last one has lost bytes.
    """
    head = file.at(0, 16)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _matroska(file)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return _avi(file)
    if head[:3] == b"FLV":
        return _flv(file)
    if head == _ASF_HEADER:
        return _asf(file)
    if head[4:8] in (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide"):
        return _mp4(file)
    return _transport_stream(file)


_CLUSTER, _BLOCKS = 0x1F43B675, {0xA3, 0xA0, 0xAF}
_IN_SEGMENT = {0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367}
_IN_CLUSTER = {*_BLOCKS, 0xE7, 0xAB, 0xA7, 0x5854}
_ANYWHERE = {0xEC, 0xBF}  # void, checksum
_SEGMENT, _TRACKS, _BLOCK_GROUP = 0x18538067, 0x1654AE6B, 0xA0
_TRACK_NUMBER = re.compile(rb"\xd7\x81(.)", re.S)
_IN_BLOCK_GROUP = (b"\xa1", b"\x9b", b"\xfb", b"\x75", b"\xfd", b"\xa2", b"\xa4", b"\xec", b"\xbf")


def _ebml(file: _Bytes, place: int) -> tuple[int, int | None, int] | None:
    """Identifier, size (None: unknown) and length of the header of an element; None if there is none."""
    head = file.at(place, 12)
    if not head or head[0] < 0x10:
        return None
    first = 9 - head[0].bit_length()
    if len(head) <= first or not head[first]:
        return None
    length = 9 - head[first].bit_length()
    coded = head[first : first + length]
    if len(coded) < length:
        return None
    size = int.from_bytes(coded, "big") & ((1 << 7 * length) - 1)
    known = size != (1 << 7 * length) - 1
    return int.from_bytes(head[:first], "big"), size if known else None, first + length


def _matroska(file: _Bytes) -> Generator[int, None, None]:
    place, segment_end = 0, None
    while (element := _ebml(file, place)) is not None and element[0] != _SEGMENT:
        if element[1] is None:
            return
        place += element[2] + element[1]
    if element is None:
        return
    place += element[2]
    segment_end = None if element[1] is None else place + element[1]
    began_at, tracks = -1, set()
    previous, cluster_end, in_cluster, began, frames_follow = place, None, False, False, True
    while place < file.size and (segment_end is None or place < segment_end):
        if in_cluster and place == cluster_end:
            in_cluster = False
        element = _ebml(file, place)
        if element is None and place + 12 > file.size:
            raise _Broken(previous if place > file.size else place, cut=True)
        name, size, header = element or (0, 0, 0)
        if in_cluster and cluster_end is None and name in _IN_SEGMENT:
            in_cluster = False
        known = name in (_IN_CLUSTER if in_cluster else _IN_SEGMENT) or name in _ANYWHERE
        limit = cluster_end if in_cluster else segment_end
        end = None if size is None else place + header + size
        if name == _TRACKS:
            tracks.update(
                found[0] | 0x80 for found in _TRACK_NUMBER.findall(file.at(place, header + (size or 0)))
            )
        certain = known and (not in_cluster or _is_block(file, place + header, name, tracks))
        if (
            not certain
            and not (known and began_at == place)
            and not _is_foreign(file, end, limit, in_cluster)
        ):
            if began:
                raise _Broken(previous)
            return  # nothing here was understood so far
        if limit is not None and end is not None and end > limit and name != _CLUSTER:
            raise _Broken(place)
        yield place
        if name == _CLUSTER:
            in_cluster, began, cluster_end, place = True, True, end, place + header
            previous = began_at = place
            continue
        if not in_cluster and began:
            frames_follow = False  # an index or tags, at the end
        if end is None:
            return
        if end > file.size:
            if in_cluster:
                raise _Broken(place, cut=True)
            return
        previous, place = place, end
    if (in_cluster and cluster_end is not None and cluster_end > file.size) or (
        segment_end is not None and segment_end > file.size and began and frames_follow
    ):
        raise _Broken(file.size, cut=True)


def _is_block(file: _Bytes, place: int, name: int, tracks: set[int]) -> bool:
    """Whether what is named a block begins as one."""
    first = file.at(place, 1)
    if name == _BLOCK_GROUP:
        return first in _IN_BLOCK_GROUP
    return name in _BLOCKS and bool(first) and (not tracks or first[0] in tracks)


def _is_foreign(file: _Bytes, end: int | None, limit: int | None, in_cluster: bool) -> bool:
    """Whether an element that is not known is one all the same: it is whole, and a known one follows."""
    if end is None or end > file.size or (limit is not None and end > limit):
        return False
    following = _ebml(file, end)
    if following is None:
        return end == limit
    return following[0] in (_IN_CLUSTER | _IN_SEGMENT if in_cluster else _IN_SEGMENT) or end == limit


def _is_avi_stream(name: bytes) -> bool:
    """Whether a chunk's name is that of a stream's data, as `00dc`."""
    return len(name) == 4 and name[:2].isdigit() and name[2:].isalpha()


def _is_avi_chunk(name: bytes) -> bool:
    others = (b"LIST", b"RIFF", b"JUNK", b"JUNQ", b"idx1", b"rec ", b"strd", b"vprp")
    return _is_avi_stream(name) or name in others or (name[:2] == b"ix" and name[2:].isdigit())


def _avi(file: _Bytes) -> Generator[int, None, None]:
    place, in_frames, indexed = 12, False, False
    promised = 8 + int.from_bytes(file.at(4, 4), "little")
    short = 8 < promised < 0xFFFFFFFF and promised > file.size + 1
    listed_to = _avi_listed_to(file) if short else None
    while place + 8 <= file.size:
        head = file.at(place, 12)
        name, size = head[:4], int.from_bytes(head[4:8], "little")
        in_frames = in_frames or (name == b"LIST" and head[8:12] == b"movi")
        indexed = indexed or name == b"idx1"
        if listed_to is not None and place >= listed_to:
            raise _Broken(place)
        yield place
        if name in (b"LIST", b"RIFF") and head[8:12] in (b"movi", b"rec ", b"AVIX", b"AVI "):
            place += 12
            continue
        end = place + 8 + size
        if end > file.size:
            if _is_avi_stream(name):
                raise _Broken(place, cut=True)
            break
        # Some writers leave out the byte that makes sizes even.
        follows = [file.at(one, 4) for one in ([end + 1, end] if size % 2 else [end])]
        good = [_is_avi_chunk(one) or len(one) < 4 for one in follows]
        if not any(good):
            found = -1 if in_frames or short else file.at(place, 1 << 20).find(b"movi")
            if found < 8:
                if not indexed:
                    raise _Broken(place)
                return
            place += found - 8  # only the header is out of order
            continue
        place = end + (size % 2 if good[0] else 0)
    if in_frames and short:
        raise _Broken(file.size, cut=True)


def _avi_listed_to(file: _Bytes) -> int | None:
    """Byte offset of the last chunk before one that is not where the file's index has it; None if there is no
    such chunk, or no index.

    Chunks of much the same size may fit together again where bytes are lost.
    """
    tail = file.at(max(0, file.size - (1 << 22)), 1 << 22)
    found = tail.rfind(b"idx1")
    end = found + 8 + int.from_bytes(tail[found + 4 : found + 8], "little")
    if found < 0 or end > len(tail):
        return None
    frames = file.at(0, 1 << 20).find(b"movi")
    previous, base = 12, None
    for name, _, offset, size in struct.iter_unpack("<4s3I", tail[found + 8 : end - (end - found - 8) % 16]):
        if base is None:  # offsets count from the list of frames, or from the beginning of the file
            base = 0 if offset > frames >= 0 and file.at(offset, 4) == name else frames
        if frames < 0 or file.at(base + offset, 8) != name + size.to_bytes(4, "little"):
            return previous
        previous = base + offset
    return None


def _flv(file: _Bytes) -> Generator[int, None, None]:
    place, sized = int.from_bytes(file.at(5, 4), "big") + 4, None
    while place + 11 <= file.size:
        head = file.at(place, 11)
        yield place
        end = place + 11 + int.from_bytes(head[1:4], "big")
        if end > file.size:
            raise _Broken(place, cut=True)
        size, following = file.at(end, 4), file.at(end + 4, 11)
        fits = int.from_bytes(size, "big") == end - place
        sized = fits if sized is None else sized  # some writers leave these sizes out
        unknown = len(following) == 11 and (following[0] & 0x1F not in (8, 9, 18) or any(following[8:11]))
        if unknown or (sized and not fits and len(size) == 4):
            raise _Broken(place)
        place = end + 4
    start = file.at(0, 4096)
    named = start.find(b"filesize\0")
    if named >= 0 and len(start) >= named + 17:
        (promised,) = struct.unpack(">d", start[named + 9 : named + 17])
        if promised > file.size:
            raise _Broken(min(place, file.size), cut=True)
    if 0 < file.size - place < 11:
        raise _Broken(place, cut=True)


_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")


def _asf(file: _Bytes) -> Generator[int, None, None]:
    size = int.from_bytes(file.at(16, 8), "little")
    header = file.at(0, min(size, 1 << 20))
    found = header.find(_ASF_FILE)
    data = file.at(size, 50)
    if found < 0 or data[:16] != _ASF_DATA:
        return
    count, flags = int.from_bytes(header[found + 56 : found + 64], "little"), header[found + 88]
    length = int.from_bytes(header[found + 92 : found + 96], "little")
    first = size + 50
    mark = file.at(first, 3)
    if not length or mark != b"\x82\0\0":  # without the usual marks there is nothing to hold on to
        return
    if flags & 1:  # being broadcast: it may end anywhere
        return
    for packet in range(count):
        place = first + packet * length
        if place + length > file.size:
            raise _Broken(place, cut=True)
        # A packet has lost bytes if the next does not begin where it should, and a frame that begins in the
        # packet before may go on in it.
        for ahead in range(1, min(3, count - packet)):
            following = file.at(place + ahead * length, 3)
            if len(following) == 3 and following != mark:
                raise _Broken(place)
        yield place


def _mp4(file: _Bytes) -> Generator[int, None, None]:
    # Where frames lie is known from an index, so that of a file in one piece only the end says something.
    place, previous, fragmented = 0, 0, False
    while place + 8 <= file.size:
        head = file.at(place, 16)
        size, name = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size < 8 or not name.isalnum():
            if fragmented and size:
                raise _Broken(previous)
            return
        fragmented = fragmented or name == b"moof"
        yield place
        if place + size > file.size and name in (b"mdat", b"moof"):
            raise _Broken(file.size, cut=True)
        previous, place = place, place + size


def _transport_stream(file: _Bytes) -> Generator[int, None, None]:
    length, offset = _alignment(file.at(0, 1024))
    if not length:
        return
    place = offset
    while place < file.size:
        part = file.at(place, 4096 * length)
        marks = part[::length]
        good = len(marks) - len(marks.lstrip(b"G"))
        if good < len(marks):
            place += good * length
            at_end = file.at(max(place, file.size - 2 * length), 1), file.at(file.size - length, 1)
            if at_end == (b"G", b"G") or any(
                _alignment(part[start:])[0] for start in range(good * length, len(part), 1024)
            ):
                raise _Broken(place)
            return  # no packets follow: what is left is something else
        yield place
        place += len(part)
    if 0 < (file.size - offset) % length < _PACKET:
        raise _Broken(file.size, cut=True)


_PACKET = 188


def _alignment(start: bytes) -> tuple[int, int]:
    """Length and first place of the packets of a transport stream, zeros if it is none."""
    for length in (_PACKET, 192, 204):  # plain, with a time before each, with a code against errors after it
        for offset in range(length):
            if start[offset : offset + 4 * length + 1 : length] == b"G" * 5:
                return length, offset
    return 0, 0
