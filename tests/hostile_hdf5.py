"""HDF5 files that are not what they seem: one dataset, attribute or link of a whole one is made another."""

import json
import random
from pathlib import Path

import h5py
import numpy as np

from aqa_cache.cache_file.attributes import checksum
from aqa_cache.cache_file.feature_spec import FeatureSpec
from aqa_cache.cache_file.schema import ATTRIBUTES, CHECKSUM, GROUPS, ORDER, TUNED

VALUES = (
    *(
        np.float64("inf"),
        np.float64("nan"),
        np.int64(2**63 - 1),
        np.int64(-(2**63)),
        np.int32(7),
        np.uint8(0),
    ),
    *(b"bytes", "text", "\ud800", "a\0b", "", "9" * 5000, "[" * 5000, '{"a":' * 900 + "1" + "}" * 900),
    *('"x"', "[]", "{}", "null", "1e999", "NaN", '["\\ud800"]', '["plain", 3]', '["plain", "plain"]', "[[]]"),
    *(np.zeros(3), np.array(["a", "b"], h5py.string_dtype()), h5py.Empty("f4"), np.zeros(1, [("a", "i4")])),
)
_RECORDS = {
    "preprocessing": ("resize", "crop", "mean", "std", "value_range", "channel_order", "antialias"),
    "clip_rule": ("clip_len", "clip_stride", "frame_step", "window", "clip_starts", "stream"),
    "numerics": ("decoding", "not_looked_at", "mixed_with"),
    "tuned": ("started_from", "origin", "trained_on", "chosen_on"),
}
ODD = (
    None,
    True,
    0,
    -5,
    10**6,
    2**40,
    2**70,
    0.5,
    1e300,
    "x",
    "\ud800",
    [],
    [1],
    [1, 2, 3],
    [0.5] * 4,
    {},
    {"a": []},
)


def datasets(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found


def change_values(path: Path, rng: random.Random) -> None:
    """Some values of a dataset become ones at the ends of their type, or those beside them."""
    with _changed(path) as file:
        dataset = file[rng.choice(datasets(file))]
        # To write into one that only declares its size would make a file of that size.
        if not dataset.size or not dataset.shape or dataset.nbytes > 1 << 24:
            return
        place = tuple(rng.randrange(length) for length in dataset.shape)
        if dataset.dtype.kind in "iu":
            limits = np.iinfo(dataset.dtype)
            dataset[place] = rng.choice((limits.min, limits.max, limits.max - 1, -1, 0, 1, 2, 5, 1000))
        elif dataset.dtype.kind == "f":
            dataset[place] = rng.choice((np.nan, np.inf, -np.inf, 0, -1, 1e300, 5e-324))
        elif dataset.dtype.kind == "S":
            other = dataset[tuple(rng.randrange(length) for length in dataset.shape)]
            dataset[place] = rng.choice(
                (b"", other, b".", b"..", b"a\0b", b"\xff", b"\xed\xa0\x80", b" ", b"train")
            )


def change_dataset(path: Path, rng: random.Random) -> None:
    """A dataset becomes another one: of other type, shape or size, in another place, or a link."""
    with _changed(path) as file:
        name = rng.choice(datasets(file))
        old = file[name]
        if old.size and old.nbytes > 1 << 24:
            return
        shape, dtype = old.shape or (), old.dtype
        values = old[()]
        rows = shape[0] if shape else 1
        del file[name]
        lists = h5py.vlen_dtype(np.int32)
        makers = (
            lambda: file.create_dataset(name, shape, dtype=np.dtype([("a", "f4"), ("b", "i8")])),
            lambda: file.create_dataset(name, shape, dtype=lists),
            lambda: file.create_dataset(name, shape, dtype=h5py.string_dtype()),
            lambda: file.create_dataset(name, shape, dtype=h5py.ref_dtype),
            lambda: file.create_dataset(
                name, shape, dtype=rng.choice(("f8", "f4", "i4", "u8", "S3", "c8", ">f2"))
            ),
            lambda: file.create_dataset(name, shape, dtype=h5py.opaque_dtype(np.dtype("V7"))),
            lambda: file.create_dataset(
                name, shape, dtype=dtype, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
            ),
            lambda: file.create_dataset(name, data=h5py.Empty(dtype)),
            lambda: file.create_dataset(name, data=values.ravel()[:1].reshape(())) if values.size else None,
            lambda: file.create_dataset(name, (*shape, 2), dtype=dtype),
            lambda: file.create_dataset(name, (rows + 1, *shape[1:]), dtype=dtype),
            lambda: file.create_dataset(name, (10**12, *shape[1:]), dtype=dtype),
            lambda: file.create_dataset(
                name, (10**8, *shape[1:]), dtype=dtype, compression="gzip", chunks=True
            ),
            lambda: file.create_dataset(name, (*shape[:-1], 10**9), dtype=dtype, chunks=True),
            lambda: file.create_dataset(
                name, shape, dtype=f"S{10 ** rng.randrange(3, 9)}", compression="gzip"
            ),
            lambda: file.create_dataset(
                name, (10**7, *shape[1:]), dtype=dtype, chunks=(1,) * max(1, len(shape))
            ),
            lambda: _link(file, name, h5py.ExternalLink(path.name, "/features")),
            lambda: _link(file, name, h5py.ExternalLink("nothing.h5", "/features")),
            lambda: _link(file, name, h5py.SoftLink("/features")),
            lambda: _link(file, name, file["/"]),
            lambda: file.create_group(name),
            lambda: _virtual(file, name, shape, dtype),
            lambda: None,
        )
        rng.choice(makers)()


def change_attribute(path: Path, rng: random.Random) -> None:
    """An attribute gets another value, or a field of the record in it; fingerprint and checksum may fit."""
    with _changed(path) as file:
        group = rng.choice([file, file, file, *(file[name] for name in GROUPS if name in file)])
        names = list(group.attrs)
        if not names:
            return
        name = rng.choice(names)
        value = group.attrs[name]
        if name in _RECORDS and isinstance(value, str) and rng.random() < 0.7:
            record = json.loads(value)
            if isinstance(record, dict):
                record[rng.choice(_RECORDS[name])] = rng.choice(ODD)
                group.attrs[name] = json.dumps(record)
        else:
            _set(group, name, rng.choice(VALUES))
        if rng.random() < 0.8:
            sign(file)


def sign(file: h5py.File) -> None:
    """Let fingerprint and checksum follow from the attributes, as a person who knows docs/schema.md would."""
    try:
        said = {name: file.attrs[name] for name in ATTRIBUTES}
        records = {name: json.loads(said[name]) for name in ("preprocessing", "clip_rule")}
        texts = {name: said[name] for name in ("backbone", "layer", "weights", "weights_sha256")}
        said["fingerprint"] = FeatureSpec(**texts, dim=int(said["dim"]), **records).fingerprint
        said |= {TUNED: file.attrs[TUNED]} if TUNED in file.attrs else {}
        said["dim"] = int(said["dim"])
        orders = {name: file[name].attrs[ORDER] for name in GROUPS}
        file.attrs["fingerprint"], file.attrs[CHECKSUM] = said["fingerprint"], checksum(said, orders)
    except Exception:  # what cannot be signed stays as it is
        return


class _changed:
    """A file opened for changing; what HDF5 cannot do to one that is changed already is left undone."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> h5py.File:
        self._file = h5py.File(self._path, "r+")
        return self._file

    def __exit__(self, *_) -> None:
        self._file.close()


def _set(group: h5py.HLObject, name: str, value) -> None:
    try:
        group.attrs[name] = value
    except (UnicodeEncodeError, ValueError):  # a lone surrogate, a NUL
        group.attrs[name] = np.void(b"\xff\x00\xfe")


def _link(file: h5py.File, name: str, link) -> None:
    file[name] = link


def _virtual(file: h5py.File, name: str, shape: tuple[int, ...], dtype) -> None:
    if not shape or 0 in shape:
        return
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource("nothing.h5", "x", shape, dtype)
    file.create_virtual_dataset(name, layout)
