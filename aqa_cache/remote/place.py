"""A folder at a URL, through fsspec: listed anew each time, and files put whole."""

import contextlib
import datetime
import errno
import logging
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..disk.atomic import replacing
from ..errors import AqaError, MissingDependency, escaped, first_line
from .trouble import NO_BUCKET, StoreError, patiently, why_refused
from .url import local_path

# An upload to these is there when its last byte is, and not before.
_WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "memory"}
# What is missing there looks as an empty folder does; where a bucket is missing, a person has to know.
_WITH_BUCKETS = {"s3", "s3a", "gs", "gcs", "abfs", "az", "abfss"}
# These libraries log what they raise, with its traceback, which is said here in one message.
for _library in ("gcsfs", "adlfs", "azure"):
    logging.getLogger(_library).addHandler(logging.NullHandler())
_MODIFIED = ("LastModified", "last_modified", "updated", "mtime", "created")
_TEMPORARY = ".putting"


@dataclass(frozen=True)
class Item:
    """A file in a place.

    Args:
        name: relative to the place, with slashes.
        size: bytes; modified_ns: when it was put, in nanoseconds since 1970 by the store's clock, 0 where the
            store does not say.
    """

    name: str
    size: int
    modified_ns: int


class Place:
    """A folder at a URL; what is in it has names relative to it.

    Args:
        url: `s3://bucket/folder`, `gs://…`, `az://…`, `file:///…`, `memory://…`, or what else fsspec opens.

    Raises:
        AqaError: no such protocol, or a URL that has none.
        MissingDependency: the library of its protocol is not installed.
    """

    def __init__(self, url: str):
        self.url = url.rstrip("/")
        self._files, self._root = _opened(url)
        protocol = self._files.protocol
        self._protocols = {protocol} if isinstance(protocol, str) else set(protocol)
        self._bucket_seen = not self._protocols & _WITH_BUCKETS

    def __str__(self) -> str:
        return self.url

    def items(self) -> list[Item]:
        """All files at any depth, by name; none where nothing was ever put.

        Raises:
            StoreError: the place cannot be listed.
        """

        return self._listed(lambda: self._files.find(self._root, detail=True))

    def item(self, name: str) -> Item | None:
        """A file; None where there is none. Of the place only the folder that it is in is listed.

        Raises:
            StoreError: as `items`.
        """
        if not is_name(name):
            return None
        folder = self._path(name).rpartition("/")[0]
        found = self._listed(lambda: {info["name"]: info for info in self._files.ls(folder, detail=True)})
        return next((item for item in found if item.name == name), None)

    def _listed(self, ask: Callable[[], dict[str, dict]]) -> list[Item]:
        """The files among what `ask` lists, by path."""

        def anew() -> dict[str, dict]:
            self._files.invalidate_cache()
            if not self._root.strip("/"):
                raise AqaError(f"{self.url}: names no bucket or folder, expected {self.url}/NAME")
            return ask()

        try:
            found = patiently(self.url, "list it", anew)
        except FileNotFoundError:
            found = {}
        if not found:
            self._check_bucket("list it")
        prefix, items = self._root.rstrip("/") + "/", []
        for path, info in found.items():
            if path.startswith(prefix) and info.get("type", "file") == "file" and _TEMPORARY not in path:
                with contextlib.suppress(FileNotFoundError):  # it has gone since it was listed
                    modified = self._modified(path, info)
                    items.append(Item(path.removeprefix(prefix), int(info.get("size") or 0), modified))
        return sorted(items, key=lambda item: item.name)

    def _check_bucket(self, doing: str) -> None:
        """Whether the bucket is there, as far as these credentials may see it.

        Raises:
            StoreError: it is not.
        """
        if self._bucket_seen:
            return
        try:
            self._files.ls(self._root.strip("/").split("/")[0], detail=False)
            self._bucket_seen = True
        except FileNotFoundError:
            raise StoreError(f"{self.url}: cannot {doing}: {NO_BUCKET}") from None
        except Exception:  # a right to this folder alone is enough
            self._bucket_seen = True

    def put(self, source: Path, name: str) -> None:
        """Put a file: it is whole under its name, or not there.

        Raises:
            StoreError: the store does not take it; AqaError: it cannot be read here.
        """
        target, size = self._path(name), source.stat().st_size

        def once() -> None:
            self._put_whole(source, target)
            self._files.invalidate_cache()
            there = self._files.info(target)["size"]
            if there != size:
                raise OSError(errno.EIO, f"{there} of {size} bytes are there after an upload")

        try:
            patiently(f"{self.url}/{name}", "put it", once)
        except FileNotFoundError as error:
            self._check_bucket("put it")
            raise StoreError(f"{self.url}/{name}: cannot put it ({first_line(error)})") from None

    def get(self, item: Item, target: Path) -> None:
        """Fetch a file.

        Raises:
            FileNotFoundError: it is not there any more.
            StoreError: it cannot be read, or has not the length that was listed.
        """

        def once() -> None:
            self._files.get_file(self._path(item.name), os.fspath(target))
            there = target.stat().st_size
            if there != item.size:
                raise OSError(errno.EIO, f"{there} of {item.size} bytes came")

        patiently(f"{self.url}/{item.name}", "read it", once)

    def head(self, name: str, count: int) -> bytes:
        """The first bytes of a file.

        Raises:
            FileNotFoundError: it is not there any more.
            StoreError: it cannot be read.
        """
        return patiently(
            f"{self.url}/{name}", "read it", lambda: self._files.cat_file(self._path(name), 0, count)
        )

    def remove(self, name: str) -> None:
        """Remove a file that is there.

        Raises:
            StoreError: the store refuses.
        """
        try:
            patiently(f"{self.url}/{name}", "remove it", lambda: self._files.rm_file(self._path(name)))
        except FileNotFoundError:
            return

    def _path(self, name: str) -> str:
        if not is_name(name):
            raise AqaError(f"{self.url}: {escaped(name)!r} is no name of a file in it")
        return f"{self._root.rstrip('/')}/{name}"

    def _put_whole(self, source: Path, target: str) -> None:
        if self._protocols & {"file", "local"}:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as temporary:
                shutil.copyfile(source, temporary)
        elif self._protocols & _WHOLE:
            self._files.put_file(os.fspath(source), target)
        else:
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            temporary = f"{target}.{secrets.token_hex(4)}{_TEMPORARY}"
            self._files.put_file(os.fspath(source), temporary)
            self._files.mv(temporary, target)

    def _modified(self, path: str, info: dict) -> int:
        if self._protocols & {"file", "local"}:
            return os.stat(path).st_mtime_ns
        return next((_nanoseconds(info[name]) for name in _MODIFIED if info.get(name)), 0)


def is_name(name: str) -> bool:
    """Whether a name stays in its place and is one for every store."""
    return "\0" not in name and not any(part in ("", ".", "..") for part in name.split("/"))


def _opened(url: str) -> tuple[Any, str]:
    try:
        import fsspec
    except Exception as error:
        raise _lacking(url, error) from None
    try:
        if (path := local_path(url)) is not None:
            url = path.absolute().as_posix()
        return fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise _lacking(url, error) from None
    except ValueError as error:
        if why := why_refused(error):
            raise StoreError(f"{url}: cannot be opened: {why}") from None
        if url.split("://")[0] in fsspec.available_protocols():
            raise AqaError(
                f"{url}: cannot be opened ({first_line(error)}); correct it, or the settings of the store's"
                " own tools (docs/clusters.md)"
            ) from None
        raise AqaError(
            f"{url}: cannot be opened ({first_line(error)}); expected s3://, gs://, az://, file:// or"
            " another protocol that fsspec knows"
        ) from None


def _lacking(url: str, error: Exception) -> MissingDependency:
    return MissingDependency(
        f"{url}: the library for this kind of place is not installed ({first_line(error)}); install it with:"
        " pip install 'aqa-cache[cloud]'"
    )


def _nanoseconds(value: Any) -> int:
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            return 0
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=datetime.UTC)
        whole = value.replace(microsecond=0)
        return int(whole.timestamp()) * 10**9 + value.microsecond * 1000
    return int(value * 10**9) if isinstance(value, int | float) else 0
