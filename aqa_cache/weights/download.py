"""Download of published weights: said aloud, checked, and never kept in part."""

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from pathlib import Path

from ..disk.atomic import replacing
from ..disk.tensor_file import read_tensors, sha256_of
from ..errors import WeightsError
from .published import WeightsRecord

_BLOCK_BYTES = 1 << 16

Watcher = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""Given the name of the weights and the bytes that will come (None: the server does not say), the context of
the download, in which it is told again and again how many have come.
"""


@contextmanager
def _nobody(_name: str, _total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda received: None


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
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aqa-cache" / "weights"


def download(record: WeightsRecord, folder: Path | None = None, say: Callable[[str], None] = print) -> Path:
    """Download published weights once, and check them at every use.

    A file whose publisher gives no hash is pinned: its SHA-256 is printed and written beside it at the first
    download, and checked from then on. How far it is, `watched_downloads` tells.

    Raises:
        WeightsError: the server does not answer, or the hash does not match.
    """
    folder = folder or weights_folder()
    path = folder / record.file_name
    pin = path.with_name(path.name + ".sha256")
    if path.exists():
        expected = record.sha256 or (pin.read_text().strip() if pin.exists() else "")
        actual = sha256_of(path)
        if not actual.startswith(expected):
            raise WeightsError(
                f"{path}: has SHA-256 {actual}, expected {expected}…; delete it, and it is downloaded again"
            )
        if not expected:
            _pin(pin, actual, path, say)
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(
            f"{folder}: cannot be made ({error.strerror}); set AQA_WEIGHTS to a folder you can write"
        ) from None
    say(f"Downloading {record.name} ({record.note}) from {record.url}")
    with replacing(path) as temporary:
        try:
            with urllib.request.urlopen(record.url, timeout=60) as response, open(temporary, "wb") as file:
                declared = response.headers.get("Content-Length", "")
                total = int(declared) if declared.isdecimal() else None
                with _watcher.get()(record.name, total) as tell:
                    while block := response.read(_BLOCK_BYTES):
                        file.write(block)
                        tell(file.tell())
                received = file.tell()
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise WeightsError(
                f"{record.name}: cannot be downloaded from {record.url} ({reason}); fetch it by other means"
                " and give its path with --weights, or use --weights random to try the tool"
            ) from None
        if total is not None and received != total:
            raise WeightsError(
                f"{record.name}: the download stopped after {received} of {total} bytes; run again"
            )
        actual = sha256_of(temporary)
        pinned = pin.read_text().strip() if pin.exists() else ""
        expected = record.sha256 or pinned
        if not actual.startswith(expected):
            raise WeightsError(
                f"{record.name}: {record.url} sent a file with SHA-256 {actual}, expected {expected}…; not"
                " kept"
            )
        read_tensors(temporary)  # a page that says "moved" is no weights file, and must not be pinned
    if not expected:
        _pin(pin, actual, path, say)
    return path


def _pin(pin: Path, sha256: str, path: Path, say: Callable[[str], None]) -> None:
    pin.write_text(sha256 + "\n")
    say(f"{path.name}: no hash is published for it; pinned SHA-256 {sha256} in {pin}")
