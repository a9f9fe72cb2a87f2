"""Locks between processes: held by an open file, so that a dead owner holds none."""

import contextlib
import errno
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import AqaError
from .links import open_unlinked

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_log = logging.getLogger(__name__)

_HELD = (errno.EAGAIN, errno.EACCES)
_LOOK = 0.001  # seconds that `owner` takes, about
# What every lock file of ours begins with, but for one whose owner was killed as it took it, which is empty.
_OURS = b'{"host": '


class FileLock:
    """A lock on a name; the file also says who holds it.

    Where the file system knows no locks, `acquire` always succeeds, and that is logged.

    Args:
        path: of the lock file, made if need be.
        quiet: it is not logged.

    Attributes:
        effective (bool): False where the file system knows no locks.
    """

    def __init__(self, path: Path, quiet: bool = False):
        self.path, self.effective, self._quiet = path, True, quiet
        self._handle: int | None = None

    def acquire(self, wait: bool = False, **owner) -> bool:
        """Take the lock; False if another process has it and `wait` is false.

        Args:
            owner: what others are to know of this process, beside its host and number.

        Raises:
            AqaError: what lies there is a link, or no lock file: it is left as it is.
            OSError: the file cannot be made, or not be signed (disk full); nothing is locked then.
        """
        while True:
            handle = open_unlinked(self.path, os.O_RDWR, "a lock file")
            try:
                if not self._lock(handle, wait):
                    os.close(handle)
                    return False
                # Who had it before may have removed the file meanwhile, and others then lock another one.
                with contextlib.suppress(FileNotFoundError):
                    if os.lstat(self.path).st_ino == os.fstat(handle).st_ino:
                        self._check(handle)
                        self._sign(handle, owner)
                        break
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
        self._handle = handle
        return True

    def wait(self, doing: str) -> None:
        """Take the lock, however long another process has it.

        Args:
            doing: what the other does, for a person.

        Raises:
            AqaError, OSError: as `acquire`.
        """
        if not self.acquire():
            _log.info(f"Waiting for {self.holder()}, which {doing}.")
            self.acquire(wait=True)

    @contextlib.contextmanager
    def held(self, doing: str, cannot: Callable[[OSError], AqaError]) -> Iterator[None]:
        """A block in which this process has the lock, however long another has it before.

        Args:
            doing: what the other does, for a person.
            cannot: gives what is raised where the lock file cannot be made.
        """
        try:
            self.wait(doing)
        except OSError as error:
            raise cannot(error) from None
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        """Give the lock back and remove its file."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()
            os.close(self._handle)
            self._handle = None

    def holder(self) -> str:
        """Whoever else holds it, for a person: `process 12 on host`."""
        owner = self.owner() or {}
        return f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"

    def owner(self) -> dict[str, Any] | None:
        """Who holds it now; None if nobody does, or if it is this object."""
        if self._handle is not None or fcntl is None:
            return None
        try:
            handle = os.open(self.path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        except OSError:
            return None
        try:
            if _got(handle, fcntl.LOCK_SH):  # with any number of others who look
                return None
            return json.loads(os.pread(handle, 4096, 0))
        except OSError:
            return None
        except ValueError:  # it is just writing who it is
            return {"host": "?", "pid": "?"}
        finally:
            os.close(handle)

    def _sign(self, handle: int, owner: dict[str, Any]) -> None:
        """Write into the file who holds it; without that it is taken away again, as nobody could be named."""
        text = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), **owner}).encode()
        try:
            os.ftruncate(handle, 0)
            if os.pwrite(handle, text, 0) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        except OSError:
            with contextlib.suppress(OSError):
                self.path.unlink()
            raise

    def _check(self, handle: int) -> None:
        """What is not ours, or has another name too, is not written over."""
        status = os.fstat(handle)
        start = os.pread(handle, len(_OURS), 0)
        if start not in (b"", _OURS) or status.st_nlink > 1:
            raise AqaError(
                f"{self.path}: a lock file is to be there, but this is another file; move it away, or choose"
                " another name"
            )

    def _lock(self, handle: int, wait: bool) -> bool:
        if fcntl is None:
            return True
        try:
            if wait:
                fcntl.flock(handle, fcntl.LOCK_EX)
            while not wait and not _got(handle, fcntl.LOCK_EX):
                if not _got(handle, fcntl.LOCK_SH):
                    return False
                # Nobody has it: others look, and are gone at once.
                fcntl.flock(handle, fcntl.LOCK_UN)
                time.sleep(_LOOK)
        except OSError as error:
            self.effective = False
            if not self._quiet:
                _log.info(
                    f"{self.path.parent}: its file system knows no locks ({error.strerror}); see to it that"
                    " no other extraction writes there."
                )
        return True


def _got(handle: int, kind: int) -> bool:
    """Whether a lock of this kind, `LOCK_EX` or `LOCK_SH`, could be had at once.

    Raises:
        OSError: the file system knows no locks.
    """
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True
