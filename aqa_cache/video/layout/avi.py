"""AVI.

Source: Microsoft's AVI RIFF specification.
"""

import struct
from collections.abc import Generator
from typing import BinaryIO

from .file_bytes import Broken, FileBytes


def _is_stream(name: bytes) -> bool:
    """Whether a chunk's name is that of a stream's data, as `00dc`."""
    return len(name) == 4 and name[:2].isdigit() and name[2:].isalpha()


def _is_chunk(name: bytes) -> bool:
    others = (b"LIST", b"RIFF", b"JUNK", b"JUNQ", b"idx1", b"rec ", b"strd", b"vprp")
    return _is_stream(name) or name in others or (name[:2] == b"ix" and name[2:].isdigit())


def elements(file: FileBytes) -> Generator[int, None, None]:
    """Byte offsets of the elements; see `structure`."""
    place, in_frames, indexed = 12, False, False
    promised = 8 + int.from_bytes(file.at(4, 4), "little")
    short = 8 < promised < 0xFFFFFFFF and promised > file.size + 1
    listed_to = _listed_to(file) if short else None
    while place + 8 <= file.size:
        head = file.at(place, 12)
        name, size = head[:4], int.from_bytes(head[4:8], "little")
        in_frames = in_frames or (name == b"LIST" and head[8:12] == b"movi")
        indexed = indexed or name == b"idx1"
        if listed_to is not None and place >= listed_to:
            raise Broken(place)
        yield place
        if name in (b"LIST", b"RIFF") and head[8:12] in (b"movi", b"rec ", b"AVIX", b"AVI "):
            place += 12
            continue
        end = place + 8 + size
        if end > file.size:
            if _is_stream(name):
                raise Broken(place, cut=True)
            break
        # Some writers leave out the byte that makes sizes even.
        follows = [file.at(one, 4) for one in ([end + 1, end] if size % 2 else [end])]
        good = [_is_chunk(one) or len(one) < 4 for one in follows]
        if not any(good):
            found = -1 if in_frames or short else file.at(place, 1 << 20).find(b"movi")
            if found < 8:
                if not indexed:
                    raise Broken(place)
                return
            place += found - 8  # only the header is out of order
            continue
        place = end + (size % 2 if good[0] else 0)
    if in_frames and short:
        raise Broken(file.size, cut=True)


def _listed_to(file: FileBytes) -> int | None:
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


def promised_bytes(file: BinaryIO, size: int) -> int | None:
    """By its chunks: large files are several chunks, one after another."""
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
