"""Uploads on their way in: each comes whole or leaves nothing, within bounds."""

import asyncio
import errno
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .folder import Folder, new_id
from .refused import Refused

_ROOM = 2**28  # bytes that stay free on the disk
_FULL = "the disk is full; make room on it, and upload it again"


@dataclass(frozen=True)
class Limits:
    """Of uploads.

    Args:
        bytes: of one; videos, models: in all; at_once: under way together.
        seconds: that one may take; idle_seconds: between two pieces of it.
    """

    bytes: int = 2**31
    videos: int = 5000
    models: int = 100
    at_once: int = 20
    seconds: float = 3600.0
    idle_seconds: float = 60.0


LIMITS = Limits()


class Arrivals:
    """What is being uploaded.

    Args:
        folder: in whose `arriving/` the parts lie.
        limits: of all uploads together.
    """

    def __init__(self, folder: Folder, limits: Limits = LIMITS):
        self._folder, self.limits = folder, limits
        self._under_way = 0

    @asynccontextmanager
    async def whole(
        self, said: str, length: int | None, pieces: AsyncIterator[bytes]
    ) -> AsyncIterator[tuple[Path, int]]:
        """The file of an upload and its bytes, when it is whole; what is not moved away goes with the block.

        Args:
            said: the name that it comes with.
            length: that it says to have, in bytes.
            pieces: its content.

        Raises:
            Refused: it is empty, too large, too slow, one too many at once, or the disk is full.
        """
        self._check(said, length)
        part = self._folder.arriving / new_id()
        self._under_way += 1
        try:
            size = await self._receive(part, said, pieces)
            if not size:
                raise Refused(400, f"{said!r:.100} is empty; choose the file again")
            yield part, size
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
        if length is not None and length > self.limits.bytes:
            raise Refused(413, self._too_large(said))
        if self._under_way >= self.limits.at_once:
            raise Refused(503, f"{self._under_way} uploads are under way; try again when one has ended")
        if shutil.disk_usage(self._folder.root).free < (length or 0) + _ROOM:
            raise Refused(507, _FULL)

    async def _receive(self, part: Path, said: str, pieces: AsyncIterator[bytes]) -> int:
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
                    raise Refused(413, self._too_large(said))
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        return size

    def _too_large(self, said: str) -> str:
        most = self.limits.bytes / 2**20
        return f"{said!r:.100} is too large; a file may have {most:,.0f} MiB here (--max-upload)"
