"""Whether the bytes of a video file are laid out as its container demands, from the headers of its elements.

Demuxers skip what they do not understand and go on with the next element that they know, without an error.
What came between is lost, and every later frame would get a smaller number. A file that was cut ends just as
silently.
"""

from collections.abc import Generator
from pathlib import Path

from . import asf, avi, flv, matroska, mp4, transport_stream
from .file_bytes import Broken, FileBytes


class Structure:
    """Follows the elements of a file as far as it is read; closed by `close`.

    A file of a container that is not known here is never broken.

    Attributes:
        broken_at (int | None): byte offset of the first element that has lost bytes, as far as is known.
        cut (bool): whether that is because the file ends.
    """

    def __init__(self, path: Path):
        self._bytes = FileBytes(path)
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
            except Broken as broken:
                self._ended, self.broken_at, self.cut = True, broken.place, broken.cut
        return self.broken_at is not None and self.broken_at <= place

    def breaks(self) -> bool:
        """Whether any element has lost bytes, to the end of the file."""
        return self.breaks_before(self._bytes.size)

    def close(self) -> None:
        self._walk.close()
        self._bytes.close()


def _elements(file: FileBytes) -> Generator[int, None, None]:
    """Byte offsets of the elements, ascending.

    Raises:
        Broken: the last one has lost bytes.
    """
    head = file.at(0, 16)
    if head[:4] == matroska.MARK:
        return matroska.elements(file)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return avi.elements(file)
    if head[:3] == b"FLV":
        return flv.elements(file)
    if head == asf.MARK:
        return asf.elements(file)
    if head[4:8] in (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide"):
        return mp4.elements(file)
    return transport_stream.elements(file)
