"""The checkpoint of a run: a file of `torch.save`, held against its checksums when it is read."""

import errno
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aqa_cache.disk.atomic import replacing
from aqa_cache.errors import first_line

from ..errors import RunError

_FORM = "form"
_READ = 2**20  # bytes at a time


class DamagedCheckpoint(RunError):
    """What an interrupted run left is not what was written: the run has to begin again."""


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write the checkpoint at once; an older one is there until it is complete.

    Args:
        state: tensors and plain values, in dicts and lists.

    Raises:
        RunError: it cannot be written (disk full); an older one is intact.
    """
    import torch

    with replacing(path) as temporary:
        try:
            torch.save({**state, _FORM: _form(state)}, temporary)
            with zipfile.ZipFile(temporary):  # the end of the file, which its writer does not look at
                pass
        except (RuntimeError, zipfile.BadZipFile) as error:  # torch's own writer, on a full disk
            raise RunError(
                f"{path}: cannot be written ({first_line(error)}); make room and give --resume"
            ) from None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `write_checkpoint` was given, its tensors mapped to the file.

    Raises:
        DamagedCheckpoint: bytes of it are not those that were written, or a value in it is lacking.
        RunError: it cannot be opened, or holds more than tensors and plain values.
    """
    import torch

    if not path.is_file():
        raise RunError(f"{path}: is no plain file, expected a checkpoint; give --overwrite to begin again")
    _check_sums(path)
    try:
        # Mapped, not read: what is as large as the model may not fit beside it.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch's reader raises what its parts raise
        raise RunError(
            f"{path}: the checkpoint cannot be read ({first_line(error)}); give --overwrite to begin again"
        ) from None
    if not isinstance(content, dict):
        raise DamagedCheckpoint(f"{path}: is damaged (it holds {type(content).__name__}, expected a dict)")
    # Those of version 0.1.0 of before have none.
    if (form := content.pop(_FORM, None)) is not None and form != _form(content):
        raise DamagedCheckpoint(f"{path}: is damaged (a value in it is lacking, or another one)")
    return content


def _check_sums(path: Path) -> None:
    """Read all members of the file through, each of which has its CRC-32."""
    try:
        with zipfile.ZipFile(path) as file:
            for member in file.infolist():
                if member.compress_type != zipfile.ZIP_STORED:
                    raise zipfile.BadZipFile(f"{member.filename} is compressed")
                with file.open(member) as content:
                    while content.read(_READ):
                        pass
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before the file's beginning
            raise RunError(
                f"{path}: the checkpoint cannot be read ({error.strerror}); see to it that it can, or give"
                " --overwrite to begin again"
            ) from None
        raise DamagedCheckpoint(f"{path}: is damaged") from None
    except MemoryError:
        raise
    except Exception as error:  # zipfile raises what its parts raise
        raise DamagedCheckpoint(f"{path}: is damaged ({first_line(error)})") from None


def _form(state: Mapping[str, Any]) -> str:
    """A hash of all names and plain values, and of the types and shapes of all tensors."""
    digest = hashlib.sha256()
    _add(digest, state)
    return digest.hexdigest()


def _add(digest, value) -> None:
    import torch

    if isinstance(value, Mapping):
        digest.update(b"{")
        for name, item in value.items():
            digest.update(f"{name!r}:".encode())
            _add(digest, item)
        digest.update(b"}")
    elif isinstance(value, list | tuple):
        digest.update(b"[")
        for item in value:
            _add(digest, item)
        digest.update(b"]")
    elif isinstance(value, torch.Tensor):
        digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
    else:
        digest.update(f"{value!r},".encode("utf-8", "surrogatepass"))
