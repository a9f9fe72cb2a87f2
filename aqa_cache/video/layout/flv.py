"""Flash video.

Source: Adobe's FLV 10.1.
"""

import struct
from collections.abc import Generator

from .file_bytes import Broken, FileBytes


def elements(file: FileBytes) -> Generator[int, None, None]:
    """Byte offsets of the elements; see `structure`."""
    place, sized = int.from_bytes(file.at(5, 4), "big") + 4, None
    while place + 11 <= file.size:
        head = file.at(place, 11)
        yield place
        end = place + 11 + int.from_bytes(head[1:4], "big")
        if end > file.size:
            raise Broken(place, cut=True)
        size, following = file.at(end, 4), file.at(end + 4, 11)
        fits = int.from_bytes(size, "big") == end - place
        sized = fits if sized is None else sized  # some writers leave these sizes out
        unknown = len(following) == 11 and (following[0] & 0x1F not in (8, 9, 18) or any(following[8:11]))
        if unknown or (sized and not fits and len(size) == 4):
            raise Broken(place)
        place = end + 4
    start = file.at(0, 4096)
    named = start.find(b"filesize\0")
    if named >= 0 and len(start) >= named + 17:
        (promised,) = struct.unpack(">d", start[named + 9 : named + 17])
        if promised > file.size:
            raise Broken(min(place, file.size), cut=True)
    if 0 < file.size - place < 11:
        raise Broken(place, cut=True)


def promised_bytes(head: bytes) -> int | None:
    """By the number `filesize` among its metadata, which live streams do not have, or leave 0."""
    place = head.find(b"\0\x08filesize\0")
    if place < 0 or len(head) < place + 19:
        return None
    (size,) = struct.unpack_from(">d", head, place + 11)
    return int(size) if 0 < size < 1 << 53 else None
