"""Files of a place, fetched to a folder of bounded size while they are used."""

import contextlib
import os
import re
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ..disk.locks import FileLock
from ..disk.user_cache import user_cache
from ..errors import AqaError, VideoError, escaped
from .place import Item, Place

MOST_BYTES = 20 * 10**9
"""Of the files that are kept at once, where nothing else is said."""
_OURS = re.compile(r"(fetched-\w+)(\.lock)?")
_POLL = 0.25  # seconds
_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def cache_folder() -> Path:
    """Where fetched files lie, and parts that could not be put: `$AQA_CACHE`, else `aqa-cache` in the user's
    cache folder.
    """
    if folder := os.environ.get("AQA_CACHE"):
        return Path(folder)
    return user_cache()


def parse_size(text: str) -> int:
    """Bytes from `500MB`, `20 GB` or `1.5tb`.

    >>> parse_size("1.5 GB")
    1500000000

    Raises:
        AqaError: no such form, or nothing would fit.
    """
    found = re.fullmatch(r"\s*([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([a-z]{0,2})\s*", text.lower())
    if found is None or found[2] not in _UNITS or not (size := int(float(found[1]) * _UNITS[found[2]])):
        raise AqaError(f"{text!r} is no size, expected a number with KB, MB, GB or TB, such as 20GB")
    return size


class Fetched:
    """Files of a place under a bound: what is in use stays, the rest is evicted, the least recently used
    first. A context manager; at its end the folder is removed, and at its beginning what a killed process has
    left.

    Args:
        items: the files, by name.
        most_bytes: of all that is kept at once.
        parent: of the folder they are fetched to; None: `cache_folder()`.
        order: names in the order in which they will probably be used: the next ones are fetched while one is,
            `ahead` of them, into half of the bound at most.
    """

    def __init__(
        self,
        place: Place,
        items: Mapping[str, Item],
        most_bytes: int = MOST_BYTES,
        parent: Path | None = None,
        order: Sequence[str] = (),
        ahead: int = 2,
    ):
        self._place, self._items, self._most = place, items, most_bytes
        self._parent = cache_folder() / "fetched" if parent is None else parent
        self._next = {name: order[at + 1 : at + 1 + ahead] for at, name in enumerate(order)}
        self._changed = threading.Condition()
        self._held: dict[str, _Held] = {}  # the least recently used first
        self._bytes = self._numbers = 0

    def __enter__(self) -> "Fetched":
        try:
            self._parent.mkdir(parents=True, exist_ok=True)
            _remove_left(self._parent)
            self._folder = self._parent / f"fetched-{uuid.uuid4().hex}"
            self._lock = _lock_of(self._folder)
            self._lock.acquire(wait=True)  # another process may just see whether anybody has it
            self._folder.mkdir()  # under its lock, so that nobody takes it for a left one
        except OSError as error:
            raise AqaError(
                f"{self._parent}: cannot be written to ({error.strerror}); set AQA_CACHE to a folder that can"
            ) from None
        return self

    def __exit__(self, *_) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.release()

    @property
    def bytes(self) -> int:
        """That are taken, of files that are there and of those that come."""
        return self._bytes

    @contextlib.contextmanager
    def at_hand(self, name: str, go_on: Callable[[], bool] = lambda: True) -> Iterator[Path]:
        """A local file with the content and the time of a file of the place, as long as the block lasts.

        Args:
            go_on: called again and again while it is waited for; when it returns False, `Abandoned` is
                raised.

        Raises:
            FileNotFoundError: it is not in the place.
            VideoError: it is larger than the bound; StoreError: it cannot be read.
        """
        held = self._wanted(name, go_on)
        try:
            for other in self._next.get(name, ()):
                self._prefetch(other)
            while not held.done.wait(_POLL):
                if not go_on():
                    raise Abandoned
            if held.error is not None:
                raise held.error
            yield held.path
        finally:
            with self._changed:
                held.users -= 1
                if held.error is not None and self._held.get(name) is held:
                    self._forget(name)  # another try fetches it again
                self._changed.notify_all()

    def _wanted(self, name: str, go_on: Callable[[], bool]) -> "_Held":
        item = self._items.get(name)
        if item is None:
            raise FileNotFoundError(f"{self._place.url}/{name}")
        if item.size > self._most:
            raise VideoError(
                f"{self._place.url}/{name}",
                f"has {item.size:,} bytes, more than the {self._most:,} that may be kept here at once; give"
                " room with --cache-size",
            )
        while True:
            with self._changed:
                if (held := self._held.pop(name, None)) is not None:
                    self._held[name] = held  # the most recently used
                elif self._make_room(item.size):
                    held = self._begin(item)
                if held is not None:
                    held.users += 1
                    return held
                self._changed.wait(_POLL)
            if not go_on():
                raise Abandoned

    def _prefetch(self, name: str) -> None:
        item = self._items.get(name)
        with self._changed:
            if item and name not in self._held and self._bytes + item.size <= self._most // 2:
                self._begin(item)

    def _make_room(self, size: int) -> bool:
        """Evict until so many bytes fit; False where too much is in use."""
        if self._bytes + size <= self._most:
            return True
        for name in [name for name, held in self._held.items() if not held.users and held.done.is_set()]:
            shutil.rmtree(self._forget(name).path.parent, ignore_errors=True)
            if self._bytes + size <= self._most:
                return True
        return False

    def _forget(self, name: str) -> "_Held":
        held = self._held.pop(name)
        self._bytes -= held.size
        return held

    def _begin(self, item: Item) -> "_Held":
        self._numbers += 1
        # A folder for each, so that a file has its own name, which messages say.
        folder = self._folder / str(self._numbers)
        held = _Held(folder / (item.name.rpartition("/")[2]), item.size)
        self._held[item.name] = held
        self._bytes += item.size
        # Not one of a pool, which a process that ends would wait for.
        threading.Thread(target=self._fetch, args=(item, held), name="fetch", daemon=True).start()
        return held

    def _fetch(self, item: Item, held: "_Held") -> None:
        try:
            held.path.parent.mkdir()
            self._place.get(item, held.path)
            os.utime(held.path, ns=(item.modified_ns, item.modified_ns))
        except BaseException as error:
            held.error = error
            if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                held.error = AqaError(
                    f"{escaped(str(self._folder))}: {item.name} cannot be kept there"
                    f" ({error.strerror or error}); make room, or give less with --cache-size"
                )
            shutil.rmtree(held.path.parent, ignore_errors=True)
        held.done.set()
        with self._changed:
            self._changed.notify_all()


class Abandoned(Exception):
    """Nobody waits for a file any more."""


class _Held:
    """A file that is there, or comes.

    Attributes:
        users: how many blocks need it; done: set when it is there, or has failed with `error`.
    """

    def __init__(self, path: Path, size: int):
        self.path, self.size, self.users = path, size, 0
        self.done, self.error = threading.Event(), None


def _lock_of(folder: Path) -> FileLock:
    """Beside the folder, so that it can be held before the folder is made and until it is gone."""
    return FileLock(folder.with_name(f"{folder.name}.lock"), quiet=True)


def _remove_left(parent: Path) -> None:
    """Folders of processes that were killed: nobody holds their locks."""
    ours = {found[1] for path in parent.iterdir() if (found := _OURS.fullmatch(path.name))}
    for folder in (parent / name for name in sorted(ours)):
        lock = _lock_of(folder)
        with contextlib.suppress(OSError, AqaError):
            if folder.is_symlink() or not lock.acquire():
                continue
            if lock.effective:
                shutil.rmtree(folder, ignore_errors=True)
            lock.release()
