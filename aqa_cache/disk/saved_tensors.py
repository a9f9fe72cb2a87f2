"""What `torch.save` wrote, looked at before torch reads it: which tensors it declares, and whether the file
holds them. Nothing in it is made.
"""

import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from .plain_pickle import PlainUnpickler, Refused, check_key

_ZIP = b"PK\x03\x04"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_MOST_DIMS = 64
# Tensors may share their values, but not to make of a small file a large one.
_MOST_GAIN, _ALWAYS_ALLOWED = 16, 1 << 28
_NOTES, _MOST_NOTE = ("/byteorder", "/version", "/.format_version", "/.storage_alignment"), 64
_ITEM_BYTES = {
    **dict.fromkeys(("Byte", "Char", "Bool", "Untyped"), 1),
    **dict.fromkeys(("Half", "BFloat16", "Short"), 2),
    **dict.fromkeys(("Float", "Int"), 4),
    **dict.fromkeys(("Double", "Long", "ComplexFloat"), 8),
    "ComplexDouble": 16,
}


def check_saved(path: Path) -> None:
    """Whether a file that `torch.save` wrote, in either of its formats, holds tensors, beside them nothing
    but numbers and text, and all the bytes that they take.

    Raises:
        Refused: it does not.
        Exception: it is damaged; what is raised can be anything.
    """
    with open(path, "rb") as file:
        file_bytes = os.fstat(file.fileno()).st_size
        if file.read(len(_ZIP)) != _ZIP:
            file.seek(0)
            _check_legacy(_Bounded(file, file_bytes), file_bytes)
            return
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: info for info in archive.infolist()}
        packed = any(info.compress_type != zipfile.ZIP_STORED for info in records.values())
        if packed or sum(info.file_size for info in records.values()) > file_bytes:
            raise Refused("is compressed, which torch.save does not do; save it again with torch.save")
        if any(info.file_size > _MOST_NOTE for name, info in records.items() if name.endswith(_NOTES)):
            raise Refused("is an archive, but not one that torch.save wrote")
        contents = [name for name in records if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(contents) != 1 or len(records) < len(archive.infolist()):
            raise Refused("is an archive, but not one that torch.save wrote")
        folder = contents[0].removesuffix("data.pkl")
        with archive.open(contents[0]) as inner:
            declared = _Declared()
            _unpickle(_Bounded(inner, records[contents[0]].file_size), declared)
    for key, size in declared.storages.items():
        record = records.get(f"{folder}data/{key}")
        if record is None or record.file_size < size:
            raise Refused(f"declares {size:,} bytes of values that are not in it")
    declared.check(file_bytes)


class _Bounded:
    """A file of which no more is asked than there is: `read` makes room for what it is asked for."""

    def __init__(self, file: IO[bytes], length: int):
        self._file, self._length = file, length

    def read(self, count: int) -> bytes:
        if count > self._length:
            raise EOFError("declares more than there is")
        return self._file.read(count)

    def readline(self) -> bytes:
        return self._file.readline(1 << 16)


class _Storage:
    def __init__(self, values: int, item_bytes: int):
        self.values, self.item_bytes = values, item_bytes


class _Declared:
    """What the pickle declares: bytes of storages by key, and of all tensors."""

    def __init__(self):
        self.storages: dict[str, int] = {}
        self.tensor_bytes = 0

    def storage(self, pid: Any) -> _Storage:
        kind, values = (pid[1], pid[4]) if isinstance(pid, tuple) and len(pid) >= 5 else (None, None)
        if not isinstance(kind, _Kind) or not isinstance(pid[2], str) or not _whole(values):
            raise Refused("declares values of no known kind")
        if len(pid) > 5 and pid[5] is not None and not isinstance(pid[5], tuple):
            raise Refused("declares a part of values that is no part")
        size = values * kind.item_bytes
        self.storages[pid[2]] = max(size, self.storages.get(pid[2], 0))
        return _Storage(values, kind.item_bytes)

    def tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> "_Tensor":
        fits = (
            isinstance(storage, _Storage)
            and _whole(offset)
            and isinstance(size, tuple)
            and isinstance(stride, tuple)
            and len(size) == len(stride) <= _MOST_DIMS
            and all(map(_whole, (*size, *stride)))
        )
        if not fits:
            raise Refused("declares a tensor of no shape")
        last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
        if all(size) and last >= storage.values:
            raise Refused(f"declares a tensor of shape {size} that its values do not fill")
        self.tensor_bytes += math.prod(size) * storage.item_bytes
        return _Tensor()

    def check(self, file_bytes: int) -> None:
        if self.tensor_bytes > _MOST_GAIN * file_bytes + _ALWAYS_ALLOWED:
            raise Refused(
                f"declares tensors of {self.tensor_bytes:,} bytes in a file of {file_bytes:,} bytes; save"
                " them with tensor.contiguous()"
            )


class _Tensor:
    """Stands in for a tensor."""


class _Kind:
    """Stands in for a class of storages."""

    def __init__(self, item_bytes: int):
        self.item_bytes = item_bytes


class _Items(dict[str, Any]):
    """Stands in for `collections.OrderedDict` and `Counter`, however they are written."""

    def __init__(self, items: Any = ()):
        pairs = items.items() if isinstance(items, dict) else items
        super().__init__()
        for key, value in pairs:
            check_key(key)
            self[key] = value


def _check_legacy(file: _Bounded, file_bytes: int) -> None:
    """The format of torch before 1.6: five pickles, and then the values."""
    declared = _Declared()
    if _unpickle(file, declared) != _LEGACY_MAGIC:
        raise Refused("is not a file that torch.save wrote")
    for _ in ("version", "system", "content"):
        _unpickle(file, declared)
    if (size := sum(declared.storages.values())) > file_bytes:
        raise Refused(f"declares {size:,} bytes of values in a file of {file_bytes:,} bytes")
    declared.check(file_bytes)


def _unpickle(file: _Bounded, declared: _Declared) -> Any:
    admitted: dict[tuple[str, str], Callable] = {
        ("collections", "OrderedDict"): _Items,
        ("collections", "Counter"): _Items,
        ("builtins", "set"): _as_list,
        ("__builtin__", "set"): _as_list,
        ("_codecs", "encode"): _as_nothing,
        ("torch", "Size"): _as_tuple,
        ("torch", "device"): _as_nothing,
        ("torch._utils", "_rebuild_tensor"): declared.tensor,
        ("torch._utils", "_rebuild_tensor_v2"): declared.tensor,
        ("torch._utils", "_rebuild_tensor_v3"): declared.tensor,
        ("torch._utils", "_rebuild_parameter"): _as_first,
        ("torch._utils", "_rebuild_parameter_with_state"): _as_first,
        ("torch.nn.parameter", "Parameter"): _as_first,
    }

    def admit(module: str, name: str) -> Any:
        item_bytes = _ITEM_BYTES.get(name.removesuffix("Storage"))
        if module in ("torch", "torch.storage", "torch.cuda") and name.endswith("Storage") and item_bytes:
            return _Kind(item_bytes)
        if module == "torch" and name in _DTYPES:
            return name
        if (module, name) in admitted:
            return admitted[module, name]
        raise Refused(f"holds more than tensors, numbers and text ({module}.{name})")

    unpickler = PlainUnpickler(file, admit)
    unpickler.persistent_load = declared.storage
    return unpickler.load()


_DTYPES = {
    *("float16", "float32", "float64", "bfloat16", "bool", "complex32", "complex64", "complex128"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}


def _whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _as_list(items: list) -> list:
    return list(items)


def _as_tuple(items: Any) -> tuple:
    return tuple(items)


def _as_first(first: Any, *_: Any) -> Any:
    return first


def _as_nothing(*_: Any) -> None:
    return None
