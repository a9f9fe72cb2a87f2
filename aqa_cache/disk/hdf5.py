"""HDF5 files opened for reading, on file systems with locks and without, and what in them may be read: values
that lie in the file itself.
"""

import errno
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from ..errors import CacheBusy, first_line

# What h5py raises where bytes of a file's own structure are wrong.
DAMAGE = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)

_HELD = (errno.EAGAIN, errno.EACCES)
_MOST_LEVELS = 32  # of groups
# Values that are compressed may be larger than the file, but not by any factor: a file made to fill memory
# gains a thousandfold, text in columns as wide as its longest cell some tenfold.
_MOST_GAIN, _ALWAYS_ALLOWED = 100, 1 << 28
_CHUNK_SLACK = 1 << 16  # what a filter may add to a chunk
_LAYOUTS = (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED)
_KEEP_SIZE = (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32)


@dataclass(frozen=True)
class Member:
    """A dataset of a file, or what lies in the place of one.

    Args:
        name: its path in the file.
        dataset: None where the place holds something else than a dataset or a group.
        wrong: why its values are not read; empty where they can be.
        bytes: that all its values take in memory.
    """

    name: str
    dataset: h5py.Dataset | None
    wrong: str = ""
    bytes: int = 0


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading, locked against writers where the file system has locks.

    Where it has none (some of NFS, of clusters, of containers), the file is read without: ours are never
    written in place.

    Raises:
        CacheBusy: another program has it open for writing, and what is read could change under our hands.
        OSError: it is not there, not an HDF5 file, or cannot be read.
    """
    try:
        return h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        if "unable to lock" not in str(error):
            raise
        if error.errno in _HELD:
            raise CacheBusy(
                f"{path}: is open for writing in another program, such as a notebook; close it there"
                " (file.close(), or stop its kernel) and run this again. Nothing was changed."
            ) from None
    return h5py.File(path, "r", locking=False)


def members(file: h5py.File) -> Iterator[Member]:
    """Every dataset of a file, and every link that leads elsewhere; no value is read, and no link followed.

    Raises:
        One of `DAMAGE`: the file is damaged.
    """
    file_bytes = file.id.get_filesize()
    waiting: list[tuple[str, h5py.h5g.GroupID]] = [("", h5py.h5g.open(file.id, b"/"))]
    entered = {h5py.h5o.get_info(waiting[0][1]).addr}
    while waiting:
        prefix, group = waiting.pop()
        names: list[bytes] = []
        group.links.iterate(names.append)
        for raw in names:
            name = prefix + raw.decode("utf-8", "backslashreplace")
            if group.links.get_info(raw).type != h5py.h5l.TYPE_HARD:
                yield Member(name, None, "is a link; expected what lies in this file under its own name")
                continue
            item = h5py.h5o.open(group, raw)
            if isinstance(item, h5py.h5d.DatasetID):
                yield _dataset(name, item, file_bytes)
            elif isinstance(item, h5py.h5g.GroupID):
                address = h5py.h5o.get_info(item).addr
                if address in entered or name.count("/") >= _MOST_LEVELS:
                    yield Member(name, None, "is a group that is entered already, or lies too deep")
                    continue
                entered.add(address)
                waiting.append((name + "/", item))


def most_bytes(file: h5py.File) -> int:
    """What values of a file may take in memory, at most."""
    return max(_ALWAYS_ALLOWED, _MOST_GAIN * file.id.get_filesize())


def text_attribute(item: h5py.HLObject, name: str) -> str:
    """An attribute that is one text.

    Raises:
        ValueError: it is something else, or no UTF-8.
        One of `DAMAGE`: it is damaged.
    """
    attribute = h5py.h5a.open(item.id, name.encode())
    kind = attribute.get_type()
    if kind.get_class() != h5py.h5t.STRING or attribute.shape != ():
        raise ValueError(f"attribute {name!r} is no text")
    value = item.attrs[name]
    text = value.decode("utf-8") if isinstance(value, bytes) else str(value)
    text.encode("utf-8")  # what is no UTF-8 was read as lone surrogates
    return text


def integer_attribute(item: h5py.HLObject, name: str) -> int:
    """An attribute that is one whole number.

    Raises:
        ValueError: it is something else.
        One of `DAMAGE`: it is damaged.
    """
    attribute = h5py.h5a.open(item.id, name.encode())
    if attribute.get_type().get_class() != h5py.h5t.INTEGER or attribute.shape != ():
        raise ValueError(f"attribute {name!r} is no whole number")
    return int(item.attrs[name])


def read_values(dataset: h5py.Dataset) -> np.ndarray:
    """All values of a dataset.

    Raises:
        ValueError: they cannot be read.
    """
    try:
        return np.asarray(dataset[()])
    except DAMAGE as error:
        raise ValueError(first_line(error)) from None


def _dataset(name: str, item: h5py.h5d.DatasetID, file_bytes: int) -> Member:
    creation = item.get_create_plist()
    layout, values = creation.get_layout(), math.prod(item.get_space().shape or (0,))
    if item.get_space().get_simple_extent_type() == h5py.h5s.SCALAR:
        values = 1
    size = values * item.get_type().get_size()
    if creation.get_external_count():
        return Member(name, None, "keeps its values in other files; expected them in this one")
    if layout not in _LAYOUTS:
        return Member(name, None, "is put together from other datasets; expected values of its own")
    if layout == h5py.h5d.CHUNKED:
        shape, chunk = item.get_space().shape, creation.get_chunk()
        if (
            math.prod(math.ceil(length / part) for length, part in zip(shape, chunk, strict=True))
            > file_bytes
        ):
            return Member(name, None, _too_large(size, file_bytes))
        one = math.prod(chunk) * item.get_type().get_size()
        if size and not _chunks_are_sound(item, one, file_bytes):
            return Member(name, None, "has chunks that are not in the file; it is damaged")
        size, filters = max(size, one if size else 0), creation.get_nfilters()
        if any(creation.get_filter(number)[0] not in _KEEP_SIZE for number in range(filters)):
            if size > max(_ALWAYS_ALLOWED, _MOST_GAIN * file_bytes):
                return Member(name, None, _too_large(size, file_bytes))
            return Member(name, h5py.Dataset(item), bytes=size)
    elif size and not item.get_storage_size():
        return Member(name, None, f"declares {size:,} bytes of values and holds none")
    if size > file_bytes:
        return Member(name, None, _too_large(size, file_bytes))
    return Member(name, h5py.Dataset(item), bytes=size)


def _chunks_are_sound(item: h5py.h5d.DatasetID, chunk_bytes: int, file_bytes: int) -> bool:
    """Whether chunks lie in the file and are of a size to be read: of an empty one HDF5 crashes, and one that
    is compressed may be without end.
    """

    def unsound(chunk) -> bool | None:
        start, size = chunk.byte_offset, chunk.size
        inside = (
            start is not None and 0 < size <= 2 * chunk_bytes + _CHUNK_SLACK and start + size <= file_bytes
        )
        return None if inside else True

    return not item.chunk_iter(unsound)


def _too_large(size: int, file_bytes: int) -> str:
    return f"declares {size:,} bytes of values, which a file of {file_bytes:,} bytes does not hold"
