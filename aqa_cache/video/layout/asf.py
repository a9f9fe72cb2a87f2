"""ASF, as WMV files are.

Source: Microsoft's ASF specification.
"""

from collections.abc import Generator

from .file_bytes import Broken, FileBytes

MARK = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")


def elements(file: FileBytes) -> Generator[int, None, None]:
    """Byte offsets of the elements; see `structure`."""
    size = int.from_bytes(file.at(16, 8), "little")
    header = file.at(0, min(size, 1 << 20))
    found = header.find(_PROPERTIES)
    data = file.at(size, 50)
    if found < 0 or data[:16] != _DATA:
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
            raise Broken(place, cut=True)
        # A packet has lost bytes if the next does not begin where it should, and a frame that begins in the
        # packet before may go on in it.
        for ahead in range(1, min(3, count - packet)):
            following = file.at(place + ahead * length, 3)
            if len(following) == 3 and following != mark:
                raise Broken(place)
        yield place


def promised_bytes(head: bytes) -> int | None:
    """By the properties of the file, but for a live stream, which they do not hold for."""
    place = head.find(_PROPERTIES)
    if place < 0 or len(head) < place + 92 or head[place + 88] & 1:
        return None
    return int.from_bytes(head[place + 40 : place + 48], "little") or None
