"""Files and folders of ours are never reached through a link that lies in their place."""

import os
import stat
from pathlib import Path

from ..errors import AqaError


def refuse_link(path: Path, what: str) -> None:
    """Nothing is written or removed where a link at `path` leads.

    Args:
        what: is to be there, in words.

    Raises:
        AqaError: it is a symbolic link.
    """
    if path.is_symlink():
        raise AqaError(
            f"{path}: is a symbolic link to {os.readlink(path)}, but {what} is to be there, and nothing is"
            " written through links; remove the link, or choose another name"
        )


def open_unlinked(path: Path, flags: int, what: str) -> int:
    """A handle of a file, made if need be, that is no link and no device; for `os.close`.

    Args:
        flags: of `os.open`.
        what: it is to be, in words.

    Raises:
        AqaError: a symbolic link, a folder, a FIFO or a device lies there.
        OSError: it cannot be opened.
    """
    refuse_link(path, what)
    # Windows has neither. A FIFO without a reader would be waited for.
    never = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags | os.O_CREAT | never, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise AqaError(f"{path}: is no plain file, but {what} is to be there; remove it")
    return handle
