"""A file to be read at any place, and what is wrong with its elements."""

from pathlib import Path


class Broken(Exception):
    """An element is not followed by another, or not whole.

    Args:
        place: byte offset at which it begins.
        cut: whether the file ends in it.
    """

    def __init__(self, place: int, cut: bool = False):
        self.place, self.cut = place, cut


class FileBytes:
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
