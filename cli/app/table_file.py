"""`videos/annotations.csv`: written whole, and what other programs made of it kept beside it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from aqa_cache.annotations import FILE_NAME, Sample, write_annotations
from aqa_cache.annotations_found import find_table
from aqa_cache.disk.atomic import replacing
from aqa_cache.disk.csv_file import write_rows
from aqa_cache.errors import some
from aqa_cli.terminal import say

from .folder import Folder
from .store import Store

BEGAN_WITH, JUDGES = "annotations.began-with.csv", "judges.csv"
_EDITED = "annotations.edited-{}.csv"


class TableFile:
    """The table that is made of the rows, and the one that the app began with.

    Args:
        store: knows what was written last.
        folder: in whose `videos/` it lies.
    """

    def __init__(self, store: Store, folder: Folder):
        self._store, self._folder = store, folder
        self.path, self.began_with = folder.videos / FILE_NAME, folder.videos / BEGAN_WITH

    def write(self, samples: Sequence[Sample], people: Sequence[str]) -> None:
        """Write it, and who is which judge. A table that was not written here, by a spreadsheet say, is kept
        as `annotations.edited-1.csv` first.

        Raises:
            AqaError: they cannot be written; the old ones are intact.
        """
        with replacing(self.path) as temporary:
            write_annotations(temporary, samples)
            self._keep_edited()
            new = _sum(temporary.read_bytes())
            with self._store.changing() as db:
                db.execute("INSERT OR IGNORE INTO written(sha256) VALUES (?)", (new,))
        with self._store.changing() as db:  # killed before this, both are known
            db.execute("DELETE FROM written WHERE sha256 != ?", (new,))
        with replacing(self._folder.videos / JUDGES) as temporary:
            names = ((f"judge_{number}", name) for number, name in enumerate(people, 1))
            write_rows(temporary, [("column", "name"), *names])

    def beginning(self) -> Path | None:
        """The table to begin with, of whatever name; None where there is none.

        Raises:
            AqaError: more than one may be it.
        """
        if self.began_with.is_file():  # killed before its rows were known: it is what there was
            return self.began_with
        found = find_table(self._folder.videos)
        if found.seen:
            say(f"{self._folder.videos}: no table was taken; seen: {some(found.seen)}.")
        return found.path

    def keep_beginning(self) -> None:
        """Keep the `annotations.csv` that is there, before it is written anew.

        Raises:
            AqaError: it cannot be kept.
        """
        if self.path.is_file() and not self.began_with.is_file():
            _copy(self.path, self.began_with)

    def edited(self) -> list[str]:
        """The names of what other programs made of it."""
        return sorted(path.name for path in self._folder.videos.glob(_EDITED.format("*")))

    def _keep_edited(self) -> None:
        if not self.path.is_file():
            return
        content = self.path.read_bytes()
        if self._store.one("SELECT 1 FROM written WHERE sha256 = ?", _sum(content)):
            return
        if self.began_with.is_file() and self.began_with.read_bytes() == content:
            return
        number = 1
        while (kept := self._folder.videos / _EDITED.format(number)).exists():
            number += 1
        _copy(self.path, kept)
        say(
            f"{self.path}: another program has changed it. It is kept as {kept.name}, and written anew from"
            " what aqa-app knows; type the changes there, or begin another --folder with that table."
        )


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _copy(path: Path, target: Path) -> None:
    with replacing(target) as temporary:
        temporary.write_bytes(path.read_bytes())
