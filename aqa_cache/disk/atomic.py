"""Files that are at every instant the old one or the new one."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import AqaError, first_line


@contextlib.contextmanager
def replacing(path: str | Path, temporary_in: Path | None = None) -> Iterator[Path]:
    """A temporary path that is synced and renamed to `path` when the block ends well, and vanishes when it
    does not.

    Args:
        temporary_in: folder of the temporary file, on the same file system; None: that of `path`.

    Raises:
        AqaError: `path` is a folder, its folder cannot be written to, or writing fails (disk full); the old
            file is intact.
    """
    path = Path(path)
    if path.is_dir():
        raise AqaError(f"{path}: is a folder, expected a file to write; choose another name")
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=".tmp", dir=temporary_in or path.parent
        )
    except OSError as error:
        raise AqaError(
            f"{path}: cannot be written: {error.strerror} ({path.parent}); choose another folder"
        ) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise AqaError(f"{path}: writing failed ({first_line(error)}); nothing was changed") from None
    finally:
        temporary.unlink(missing_ok=True)


def check_target(path: Path, example: str) -> None:
    """Whether a file of this name can be written, before the work that makes it.

    Args:
        example: a name for it, if it is the name of a folder.

    Raises:
        AqaError: it is a folder, or its folder does not exist.
    """
    if path.is_dir():
        raise AqaError(f"{path}: is a folder, expected the name of a file to write, such as {path / example}")
    if not path.parent.is_dir():
        raise AqaError(f"{path}: the folder {path.parent} does not exist; make it first")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    # The file is in place by now; Windows and some network file systems cannot sync a folder.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
