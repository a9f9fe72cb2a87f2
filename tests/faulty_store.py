"""A store in memory whose requests can be made to fail: `faulty://…`, beside fsspec's `memory://…`."""

import contextlib
import errno
from collections import Counter

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

EXPIRED = PermissionError("An error occurred (ExpiredToken): The provided token has expired.")
SKEWED = PermissionError("An error occurred (RequestTimeTooSkewed): the difference is too large.")
DENIED = PermissionError(
    "An error occurred (AccessDenied) when calling the PutObject operation: Access Denied"
)
BUSY = OSError(errno.EBUSY, "An error occurred (SlowDown): Please reduce your request rate.")


class FaultyStore(MemoryFileSystem):
    """What happens to requests is said on the class, as each place has an object of its own.

    Attributes:
        faults: by kind of request ("find", "put", "get", "head"), errors that the next ones raise.
        cut: how many of the next uploads end before their last byte, though the store says nothing.
        hidden: names that the next listing does not have yet.
        asked: how often each kind was asked for.
    """

    protocol = "faulty"
    store: dict = {}
    pseudo_dirs = [""]
    faults: dict = {}
    cut = 0
    hidden: set = set()
    asked: Counter = Counter()

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("faulty://", "memory://"))

    def find(self, path, *arguments, **options):
        self._ask("find")
        found = super().find(path, *arguments, **options)
        hidden, FaultyStore.hidden = self.hidden, set()
        return {name: info for name, info in found.items() if not any(name.endswith(one) for one in hidden)}

    def put_file(self, source, target, *arguments, **options):
        self._ask("put")
        with open(source, "rb") as file:
            content = file.read()
        if self.cut:
            FaultyStore.cut -= 1
            content = content[:-1]
        self.pipe_file(target, content)

    def get_file(self, source, target, *arguments, **options):
        self._ask("get")
        super().get_file(source, target, *arguments, **options)

    def cat_file(self, path, *arguments, **options):
        self._ask("head")
        return super().cat_file(path, *arguments, **options)

    def _ask(self, kind):
        self.asked[kind] += 1
        if self.faults.get(kind):
            raise self.faults[kind].pop(0)


@contextlib.contextmanager
def stores(monkeypatch: pytest.MonkeyPatch):
    """In the block `memory://` and `faulty://` are empty, and nobody waits between attempts."""
    fsspec.register_implementation("faulty", FaultyStore, clobber=True)
    for kind in (MemoryFileSystem, FaultyStore):
        kind.store.clear()
        kind.pseudo_dirs[:] = [""]
    FaultyStore.faults, FaultyStore.cut, FaultyStore.hidden, FaultyStore.asked = {}, 0, set(), Counter()
    monkeypatch.setattr("aqa_cache.remote.trouble._FIRST_WAIT", 0)
    yield FaultyStore
    for kind in (MemoryFileSystem, FaultyStore):
        kind.store.clear()


def cut_short(url: str) -> None:
    """Take the last byte from a file in a store."""
    files, path = fsspec.core.url_to_fs(url)
    content = files.cat_file(path)
    files.pipe_file(path, content[:-1])
