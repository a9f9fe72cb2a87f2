"""Download of published weights: said aloud, checked, and never kept in part."""

import http.client
import logging
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from pathlib import Path

from ..disk.atomic import replacing, temporary_files
from ..disk.locks import FileLock
from ..disk.tensor_file import read_tensors, sha256_of
from ..disk.user_cache import user_cache
from ..errors import WeightsError, first_line
from .published import WeightsRecord

_log = logging.getLogger(__name__)

_BLOCK_BYTES = 1 << 16
_SHA256 = re.compile("[0-9a-f]{64}")

Watcher = Callable[[str], AbstractContextManager[Callable[[int, int | None], None]]]
"""Given the name of the weights, the context of the download, in which it is told again and again how many
bytes have come, and how many will have (None: the server does not say).
"""


@contextmanager
def _nobody(_name: str) -> Iterator[Callable[[int, int | None], None]]:
    yield lambda received, total: None


_watcher: ContextVar[Watcher] = ContextVar("watcher of downloads", default=_nobody)


@contextmanager
def watched_downloads(watcher: Watcher) -> Iterator[None]:
    """In the block, in this thread, `watcher` is told how far downloads are, however deep in the program they
    happen.
    """
    before = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(before)


def weights_folder() -> Path:
    """Where downloaded weights are kept: `$AQA_WEIGHTS`, else `aqa-cache/weights` in the user's cache
    folder.
    """
    if folder := os.environ.get("AQA_WEIGHTS"):
        return Path(folder)
    return user_cache() / "weights"


def download(record: WeightsRecord, folder: Path | None = None) -> Path:
    """Download published weights once, and check them at every use.

    A file whose publisher gives no hash is pinned: its SHA-256 is printed and written beside it at the first
    download, and checked from then on. How far it is, `watched_downloads` tells. Of several processes one
    downloads; what a killed one left is removed.

    Raises:
        WeightsError: the server does not answer, the hash does not match, or something else lies in the place
            of the file or of its hash.
        AqaError: nothing can be written there.
    """
    path = (folder or weights_folder()) / record.file_name
    if _is_there(path):
        return _checked(record, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(
            f"{path.parent}: cannot be made ({error.strerror}); set AQA_WEIGHTS to a folder you can write"
        ) from None
    with _watcher.get()(record.name) as tell, _alone(path):
        if _is_there(path):  # another process was faster
            return _checked(record, path)
        for left in temporary_files(path):  # by a process that was killed
            left.unlink(missing_ok=True)
        _log.info(f"Downloading {record.name} ({record.note}) from {record.url}")
        expected = record.sha256.lower() or _pinned(path)
        with replacing(path) as temporary:
            _receive(record, temporary, tell)
            actual = sha256_of(temporary)
            if not actual.startswith(expected):
                raise WeightsError(
                    f"{record.name}: {record.url} sent a file with SHA-256 {actual}, expected {expected}…;"
                    " not kept"
                )
            try:
                read_tensors(temporary)  # a page that says "moved" is no weights file, and must not be pinned
            except WeightsError as error:
                raise WeightsError(
                    f"{record.name}: {record.url} sent what cannot be used; not kept. {error}"
                ) from None
        if not expected:
            _pin(path, actual)
    return path


def _is_there(path: Path) -> bool:
    """Raises WeightsError where something else than a file lies there."""
    try:
        if path.is_file():
            return True
        other = "a symbolic link to nothing" if path.is_symlink() else "no file" if path.exists() else ""
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); see to its folder") from None
    if other:
        raise WeightsError(
            f"{path}: is {other}, expected a file of weights; remove it, and they are downloaded"
        )
    return False


def _checked(record: WeightsRecord, path: Path) -> Path:
    """A file that lies there: as published or pinned, or else pinned now, if it is a file of weights."""
    expected = record.sha256.lower() or _pinned(path)
    try:
        actual = sha256_of(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); see to its permissions") from None
    if not actual.startswith(expected):
        raise WeightsError(
            f"{path}: has SHA-256 {actual}, expected {expected}…; delete it, and it is downloaded again"
        )
    if not expected:
        read_tensors(path)
        _pin(path, actual)
    return path


def _receive(record: WeightsRecord, target: Path, tell: Callable[[int, int | None], None]) -> None:
    try:
        with urllib.request.urlopen(record.url, timeout=60) as response, open(target, "wb") as file:
            declared = response.headers.get("Content-Length", "")
            total = int(declared) if re.fullmatch("[0-9]{1,18}", declared) else None
            tell(0, total)
            # As it comes: a block that a slow server fills for hours is not waited for.
            while block := response.read1(_BLOCK_BYTES):
                file.write(block)
                tell(file.tell(), total)
            received = file.tell()
    # The address of a redirect may be none: that is a ValueError, or with a port beyond all an OverflowError.
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        elif isinstance(error, OSError) and error.filename == os.fspath(target):
            raise
        raise WeightsError(
            f"{record.name}: cannot be downloaded from {record.url} ({_why(error)}); fetch it by other means"
            " and give its path with --weights, or use --weights random to try the tool"
        ) from None
    if total is not None and received != total:
        raise WeightsError(
            f"{record.name}: the download stopped after {received} of {total} bytes; run again"
        )


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return first_line(reason) if isinstance(reason, Exception) else str(reason)


def _alone(path: Path) -> AbstractContextManager[None]:
    """No two processes download one file."""
    return FileLock(path.with_name(f".{path.name}.lock")).held(
        f"downloads {path.name}",
        lambda error: WeightsError(
            f"{path.parent}: cannot be written to ({error.strerror}); set AQA_WEIGHTS to a folder you can"
            " write"
        ),
    )


def _pin_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _pinned(path: Path) -> str:
    """The hash that the first download wrote down; empty where there is none."""
    pin = _pin_of(path)
    if not os.path.lexists(pin):
        return ""
    text = ""
    if pin.is_file():
        with open(pin, "rb") as file:
            text = file.read(200).decode("ascii", "replace").strip().lower()
    if not _SHA256.fullmatch(text):
        raise WeightsError(
            f"{pin}: holds no SHA-256 (64 hexadecimal digits); delete it, and {path.name} is pinned anew"
        )
    return text


def _pin(path: Path, sha256: str) -> None:
    with replacing(_pin_of(path)) as temporary:
        temporary.write_text(sha256 + "\n")
    _log.warning(f"{path.name}: no hash is published for it; pinned SHA-256 {sha256} in {_pin_of(path)}")
