"""Videos that people drop: taken in within bounds, kept in one folder, and never trusted."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from aqa_cache.errors import AqaError

from .arrivals import Arrivals
from .folder import Folder, file_name, new_id
from .refused import Refused
from .store import Store


@dataclass(frozen=True)
class Video:
    """One that is there.

    Args:
        file: its name in `videos/`; said: the name that it came with.
        state: `new`, `ready` for the browser, or `failed`; reason: why.
        frames: None until it is ready.
    """

    id: str
    file: str
    said: str
    bytes: int
    state: str
    reason: str
    frames: int | None


class Videos:
    """All videos of the folder.

    Args:
        store: in which they are listed.
        folder: in which they lie.
        arrivals: uploads under way.
    """

    def __init__(self, store: Store, folder: Folder, arrivals: Arrivals):
        self._store, self._folder, self._arrivals = store, folder, arrivals
        self._naming = threading.Lock()

    def all(self) -> list[Video]:
        return [_video(row) for row in self._store.all("SELECT * FROM videos ORDER BY added")]

    def get(self, id: str) -> Video | None:
        found = self._store.one("SELECT * FROM videos WHERE id = ?", id)
        return None if found is None else _video(found)

    def by_file(self, file: str) -> Video | None:
        found = self._store.one("SELECT * FROM videos WHERE file = ?", file)
        return None if found is None else _video(found)

    def path(self, video: Video) -> Path:
        return self._folder.videos / video.file

    def list_file(self, file: str) -> Video | None:
        """List a video that lies in the folder already; None where it does not, or is listed."""
        path = self._folder.videos / file
        outside = os.path.isabs(file) or ".." in Path(file).parts
        if outside or path.is_symlink() or not path.is_file() or self.by_file(file):
            return None
        return self._list(file, Path(file).name, path.stat().st_size)

    async def take(self, said: str, length: int | None, pieces: AsyncIterator[bytes]) -> Video:
        """Take in an upload; where it breaks off, nothing of it stays.

        Args: as of `Arrivals.whole`.

        Raises:
            Refused: its name is no video's, or there are too many; or as `Arrivals.whole`.
        """
        self._check(said)
        async with self._arrivals.whole(said, length, pieces) as (part, size):
            return await asyncio.to_thread(self._keep, part, said, size)

    def _check(self, said: str) -> None:
        try:
            file_name(said, set())
        except AqaError as error:
            raise Refused(415, str(error)) from None
        most = self._arrivals.limits.videos
        if self._store.one("SELECT count(*) AS n FROM videos")["n"] >= most:
            raise Refused(507, f"there are {most:,} videos, and no more are taken; begin another folder")

    def _keep(self, part: Path, said: str, size: int) -> Video:
        """Put a whole upload under a name of its own beside the others."""
        with self._naming:
            taken = {path.name for path in self._folder.videos.iterdir()}
            name = file_name(said, taken)
            os.rename(part, self._folder.videos / name)
        try:
            return self._list(name, said, size)
        except BaseException:
            (self._folder.videos / name).unlink(missing_ok=True)
            raise

    def _list(self, name: str, said: str, size: int) -> Video:
        id = new_id()
        with self._store.changing() as db:
            db.execute(
                "INSERT INTO videos(id, file, said, bytes, state, added) VALUES (?, ?, ?, ?, 'new', ?)",
                (id, name, said[:300], size, time.time()),
            )
        found = self.get(id)
        assert found is not None
        return found


def _video(row) -> Video:
    return Video(
        row["id"], row["file"], row["said"], row["bytes"], row["state"], row["reason"], row["frames"]
    )
