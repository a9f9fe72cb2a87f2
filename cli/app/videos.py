"""Videos that people drop: taken in within bounds, kept in one folder, and never trusted."""

import asyncio
import errno
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aqa_cache.errors import AqaError

from .folder import Folder, file_name, new_id
from .refused import Refused
from .store import Store

_ROOM = 2**28  # bytes that stay free on the disk


@dataclass(frozen=True)
class Limits:
    """Of uploads.

    Args:
        bytes: of one video; videos: in all; at_once: under way together.
        seconds: that one may take; idle_seconds: between two pieces of it.
    """

    bytes: int = 2**31
    videos: int = 5000
    at_once: int = 20
    seconds: float = 3600.0
    idle_seconds: float = 60.0


LIMITS = Limits()


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
        limits: of uploads.
    """

    def __init__(self, store: Store, folder: Folder, limits: Limits = LIMITS):
        self._store, self._folder, self.limits = store, folder, limits
        self._under_way, self._naming = 0, threading.Lock()

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

        Args:
            said: the name that it comes with.
            length: that it says to have, in bytes.
            pieces: its content.

        Raises:
            Refused: its name is no video's, it is too large, too slow, one too many, or the disk is full.
        """
        self._check(said, length)
        part = self._folder.arriving / new_id()
        self._under_way += 1
        try:
            size = await self._receive(part, pieces)
            if not size:
                raise Refused(400, f"{said!r:.100} is empty; choose the video again")
            return await asyncio.to_thread(self._keep, part, said, size)
        except TimeoutError:
            raise Refused(408, f"{said!r:.100} came too slowly; upload it again") from None
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise Refused(507, _FULL) from None
        finally:
            self._under_way -= 1
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def _check(self, said: str, length: int | None) -> None:
        limits = self.limits
        try:
            file_name(said, set())
        except AqaError as error:
            raise Refused(415, str(error)) from None
        if length is not None and length > limits.bytes:
            raise Refused(413, _too_large(said, limits.bytes))
        if self._under_way >= limits.at_once:
            raise Refused(503, f"{self._under_way} uploads are under way; try again when one has ended")
        if self._store.one("SELECT count(*) AS n FROM videos")["n"] >= limits.videos:
            raise Refused(
                507, f"there are {limits.videos:,} videos, and no more are taken; begin another folder"
            )
        if shutil.disk_usage(self._folder.root).free < (length or 0) + _ROOM:
            raise Refused(507, _FULL)

    async def _receive(self, part: Path, pieces: AsyncIterator[bytes]) -> int:
        size, last = 0, time.monotonic() + self.limits.seconds
        with open(part, "xb") as file:
            iterator = aiter(pieces)
            while True:
                left = min(self.limits.idle_seconds, last - time.monotonic())
                try:
                    piece = await asyncio.wait_for(anext(iterator), left)
                except StopAsyncIteration:
                    break
                size += len(piece)
                if size > self.limits.bytes:
                    raise Refused(413, _too_large("the video", self.limits.bytes))
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        return size

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


_FULL = "the disk is full; make room on it, and upload the video again"


def _too_large(said: str, most: int) -> str:
    return f"{said!r:.100} is too large; a video may have {most / 2**20:,.0f} MiB here (--max-upload)"


def _video(row) -> Video:
    return Video(
        row["id"], row["file"], row["said"], row["bytes"], row["state"], row["reason"], row["frames"]
    )
