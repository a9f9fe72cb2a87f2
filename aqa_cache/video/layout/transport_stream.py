"""MPEG transport streams.

Source: ISO/IEC 13818-1.
"""

from collections.abc import Generator

from .file_bytes import Broken, FileBytes

_PACKET = 188


def elements(file: FileBytes) -> Generator[int, None, None]:
    """Byte offsets of the elements; see `structure`."""
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
                raise Broken(place)
            return  # no packets follow: what is left is something else
        yield place
        place += len(part)
    if 0 < (file.size - offset) % length < _PACKET:
        raise Broken(file.size, cut=True)


def _alignment(start: bytes) -> tuple[int, int]:
    """Length and first place of the packets of a transport stream, zeros if it is none."""
    for length in (_PACKET, 192, 204):  # plain, with a time before each, with a code against errors after it
        for offset in range(length):
            if start[offset : offset + 4 * length + 1 : length] == b"G" * 5:
                return length, offset
    return 0, 0
