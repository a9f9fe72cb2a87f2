"""Files that are at every instant the old one or the new one."""

import contextlib
import errno
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import AqaError, first_line

# No room, no more allowed, too large, a device that fails, one that has become read-only.
_OF_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


@contextlib.contextmanager
def replacing(path: str | Path, temporary_in: Path | None = None) -> Iterator[Path]:
    """A temporary path that is synced and renamed to `path` when the block ends well, and vanishes when it
    does not.

    The file may be read by whom the umask allows, as any new file. What the block raises for another reason
    than that this file cannot be written, it raises.

    Args:
        temporary_in: folder of the temporary file, on the same file system; None: that of `path`.

    Raises:
        AqaError: `path` is a folder or a device, its folder cannot be written to, or writing fails (disk
            full); the old file is intact.
    """
    path = Path(path)
    _check_plain(path, "choose another name")
    temporary = Path(temporary_in or path.parent) / f".{path.name}.{secrets.token_urlsafe(6)}.tmp"
    try:
        # The system takes the umask off; asking for it would mean to set it, for all threads.
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        os.close(handle)
    except OSError as error:
        raise AqaError(
            f"{path}: cannot be written: {error.strerror} ({path.parent}); choose another folder"
        ) from None
    try:
        try:
            yield temporary
        except OSError as error:
            if not _is_of_writing(error, temporary):
                raise
            raise _failed(path, error) from None
        try:
            os.chmod(temporary, mode)  # safetensors puts a file of its own in its place, for its owner alone
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            raise _failed(path, error) from None
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_files(path: Path) -> list[Path]:
    """What lies beside `path` of times that it was written and the process was killed."""
    known = re.compile(rf"\.{re.escape(path.name)}\.[\w-]{{8}}\.tmp")
    return [other for other in path.parent.iterdir() if known.fullmatch(other.name)]


def check_target(path: Path, example: str) -> None:
    """Whether a file of this name can be written, before the work that makes it.

    Args:
        example: a name for it, if it is the name of a folder.

    Raises:
        AqaError: it is a folder or a device, its folder does not exist or takes no file, or the system takes
            no such name.
    """
    _check_plain(path, f"give the name of a file, such as {example}")
    if not path.parent.is_dir():
        raise AqaError(f"{path}: the folder {path.parent} does not exist; make it first")
    try:
        with tempfile.TemporaryFile(dir=path.parent):  # what the system says of rights may be wrong
            pass
    except OSError as error:
        raise AqaError(
            f"{path}: the folder {path.parent} cannot be written to ({error.strerror}); choose another,"
            " or make room"
        ) from None


def _check_plain(path: Path, what_to_do: str) -> None:
    """What is no plain file is not replaced by one: a FIFO or a device is there for others, too."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise AqaError(f"{path}: cannot be written ({why}); {what_to_do}") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no plain file, but a pipe or a device"
        raise AqaError(f"{path}: is {kind}, expected the name of a file to write; {what_to_do}")


def _is_of_writing(error: OSError, temporary: Path) -> bool:
    """Whether what a block raised is that its file cannot be written, and not that it could not read another,
    say.
    """
    if error.filename is not None:
        return os.fspath(error.filename) == os.fspath(temporary)
    # HDF5 and numpy have no number for it; errors of other libraries, of a network, say, are of other types.
    return error.errno in _OF_WRITING or (error.errno is None and type(error) is OSError)


def _failed(path: Path, error: OSError) -> AqaError:
    return AqaError(f"{path}: writing failed ({first_line(error)}); nothing was changed")


def _sync_folder(folder: Path) -> None:
    # The file is in place by now; Windows and some network file systems cannot sync a folder.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
