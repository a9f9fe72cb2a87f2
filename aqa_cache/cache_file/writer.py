"""Writing a feature cache: the only writer of the file that docs/schema.md describes."""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..annotations import Sample, class_names, extra_columns
from ..disk.atomic import replacing
from ..errors import CacheError, escaped
from .attributes import checksum
from .feature_spec import FeatureSpec, canonical_json
from .problems import sample_problems
from .record import Record, StoredRows
from .schema import (
    CHECKSUM,
    FEATURES,
    FIRST_FRAME,
    FORMAT,
    GROUPS,
    MOST_TEXT_BYTES,
    ORDER,
    PLAIN_VIEW,
    PTS_SECONDS,
    TEXT_COLUMNS,
    TUNED,
    VERSION,
    dataset_name,
)

# What is tried, in this order.
_DTYPES = {"auto": (np.float16, np.float32), "float16": (np.float16,), "float32": (np.float32,)}
_CHUNK_ROWS = 64
# Features pass through memory in blocks of about this many bytes, however long a sample is.
_BLOCK_BYTES = 1 << 22
# Relative error of rounding to float16 is at most 2^-11; more means that values overflow or sink below its
# range.
_FLOAT16_MAX_RELATIVE_ERROR = 1e-3


def fits_float16(features: np.ndarray) -> bool:
    """Whether rounding `features` to float16 keeps them: all finite, relative error of the whole under
    1e-3.
    """
    with np.errstate(over="ignore"):
        rounded = features.astype(np.float16).astype(np.float32)
    if not np.isfinite(rounded).all():
        return False
    return float(np.linalg.norm(rounded - features)) <= _FLOAT16_MAX_RELATIVE_ERROR * float(
        np.linalg.norm(features)
    )


def write_cache(
    path: str | Path,
    records: Iterable[Record],
    spec: FeatureSpec,
    *,
    views: Sequence[str] = (PLAIN_VIEW,),
    numerics: dict[str, Any] | None = None,
    dtype: str = "auto",
    temporary_in: Path | None = None,
) -> np.dtype:
    """Write a cache at once: to a temporary file beside `path`, synced to disk, then renamed over it.

    Args:
        records: in the order the file shall have: a list, or what else can be gone through twice. Gone
            through once, or, where `auto` finds a value that float16 cannot hold, a second time; features
            that lie in files are never in memory as a whole.
        views: names of the views, the plain one first; every ok record has one entry for each.
        numerics: device, precision, threads and library versions.
        dtype: `auto` (float16 if every value fits, else float32), `float16` or `float32`.
        temporary_in: folder of the temporary file, on the same file system; None: that of `path`.

    Returns:
        The dtype the features were stored in.

    Raises:
        CacheError: annotations are not what their columns admit; a feature has the wrong size or is not
            finite; float16 was demanded and cannot hold a value; `dtype` is none of the three; or `records`
            can be gone through only once.
    """
    if isinstance(records, Iterator):
        raise CacheError(
            f"{path}: its records are a {type(records).__name__}, which can be gone through only once,"
            " expected what can be gone through twice; give them as a list"
        )
    if dtype not in _DTYPES:
        raise CacheError(f"{path}: dtype is {dtype!r}, expected one of {', '.join(_DTYPES)}")
    # In a thread of its own: Ctrl-C is raised in the main one, where HDF5 would lose a write to it and not
    # tell.
    with ThreadPoolExecutor(1, thread_name_prefix="write-cache") as writer:
        return writer.submit(
            _write_cache, Path(path), records, spec, views, numerics or {}, dtype, temporary_in
        ).result()


def _write_cache(
    path: Path,
    records: Iterable[Record],
    spec: FeatureSpec,
    views: Sequence[str],
    numerics: dict[str, Any],
    dtype: str,
    temporary_in: Path | None,
) -> np.dtype:
    for feature_dtype in _DTYPES[dtype]:
        try:
            with replacing(path, temporary_in) as temporary, _Disk(temporary) as disk:
                with h5py.File(disk, "w") as file:
                    attributes = _write_attributes(file, spec, views, numerics)
                    _write_records(file, records, spec.dim, len(views), np.dtype(feature_dtype), disk)
                    orders = {name: file[name].attrs[ORDER] for name in GROUPS}
                    file.attrs[CHECKSUM] = checksum(attributes, orders)
                disk.check()
            return np.dtype(feature_dtype)
        except _DoesNotFit:
            pass
    raise CacheError(f"{path.name}: float16 was asked for but cannot hold every feature; use float32 or auto")


class _Disk(io.FileIO):
    """A file whose failures are kept until they are asked for: HDF5 cannot close a file that it could not
    write, and crashes.
    """

    def __init__(self, path: Path):
        super().__init__(path, "w+")
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise what has failed, if anything has."""
        if self.error is not None:
            raise self.error

    def write(self, data) -> int:
        view = memoryview(data).cast("B")
        written = 0
        try:
            while written < len(view) and self.error is None:
                written += super().write(view[written:])
        except OSError as error:
            self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


class _DoesNotFit(Exception):
    """A block of features holds values that float16 cannot."""


class _Rows:
    """Appends rows to a dataset in whole chunks."""

    def __init__(self, file: h5py.File, dim: int, dtype: np.dtype):
        self._dataset = file.create_dataset(
            FEATURES,
            (0, dim),
            dtype,
            chunks=(_CHUNK_ROWS, dim),
            maxshape=(None, dim),
            fletcher32=True,
            fillvalue=np.nan,  # what HDF5 gives for a chunk that damage has lost from its index
        )
        self._waiting: list[np.ndarray] = []
        self.rows = 0

    def append(self, block: np.ndarray) -> None:
        self._waiting.append(block.astype(self._dataset.dtype))
        self.rows += len(block)
        waiting = self.rows - len(self._dataset)
        if waiting * block.shape[1] * self._dataset.dtype.itemsize >= _BLOCK_BYTES:
            self._write(waiting // _CHUNK_ROWS * _CHUNK_ROWS)

    def finish(self) -> None:
        self._write(self.rows - len(self._dataset))

    def _write(self, count: int) -> None:
        if count:
            block, start = np.concatenate(self._waiting), len(self._dataset)
            self._dataset.resize(start + count, axis=0)
            self._dataset[start:] = block[:count]
            self._waiting = [block[count:]]


def _write_attributes(
    file: h5py.File, spec: FeatureSpec, views: Sequence[str], numerics: dict[str, Any]
) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        **{name: getattr(spec, name) for name in ("backbone", "layer", "dim", "weights", "weights_sha256")},
        "fingerprint": spec.fingerprint,
        "preprocessing": canonical_json(spec.preprocessing),
        "clip_rule": canonical_json(spec.clip_rule),
        **({TUNED: canonical_json(spec.tuned.record())} if spec.tuned is not None else {}),
        "views": json.dumps(list(views)),
        "numerics": canonical_json(numerics),
        "made_by": _made_by(),
    }
    for name, value in {"format": FORMAT, "version": VERSION, **attributes}.items():
        file.attrs[name] = value
    return attributes


def _write_records(
    file: h5py.File, records: Iterable[Record], dim: int, views: int, dtype: np.dtype, disk: "_Disk"
) -> None:
    rows = _Rows(file, dim, dtype)
    light, offsets, counts = [], [], []
    first_frames, times = [np.empty(0, np.int64)], [np.empty(0, np.float64)]
    for record in records:
        offset, count = [-1] * views, [-1] * views
        for view, clips in enumerate(record.views):
            if clips is None:
                continue
            offset[view], count[view] = rows.rows, len(clips.features)
            for block in _blocks(record.sample, clips.features, dim):
                if dtype == np.float16 and not fits_float16(block):
                    raise _DoesNotFit
                rows.append(block)
                disk.check()
            first_frames.append(clips.first_frame.astype(np.int64))
            times.append(clips.pts_seconds.astype(np.float64))
        offsets.append(offset)
        counts.append(count)
        light.append(replace(record, views=[]))
    rows.finish()
    _write_array(file, FIRST_FRAME, np.concatenate(first_frames))
    _write_array(file, PTS_SECONDS, np.concatenate(times))
    index = (np.array(values, np.int64).reshape(len(light), views) for values in (offsets, counts))
    _write_samples(file.create_group("samples"), light, *index)


def _blocks(sample: Sample, features: np.ndarray | StoredRows, dim: int) -> Iterator[np.ndarray]:
    if features.ndim != 2 or features.shape[1] != dim or not len(features):
        raise CacheError(
            f"{sample.sample_id}: features have shape {features.shape}, expected (clips, {dim}) with at least"
            " one clip"
        )
    size = max(1, _BLOCK_BYTES // (4 * dim))
    for start in range(0, len(features), size):
        block = features[start : start + size]
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise CacheError(
                f"{sample.sample_id} ({sample.video}): the feature of clip {start + int(np.argmin(finite))}"
                " is not finite (NaN or infinite); the weights or the precision are unusable for this video,"
                " try --precision fp32"
            )
        yield block


def _write_samples(
    group: h5py.Group, records: Sequence[Record], offsets: np.ndarray, counts: np.ndarray
) -> None:
    samples, reasons = [record.sample for record in records], [escaped(record.reason) for record in records]
    statuses = ["ok" if record.ok else "failed" for record in records]
    if problem := next(sample_problems(samples, reasons, statuses), None):
        raise CacheError(f"{problem}; nothing was written")
    for name in TEXT_COLUMNS:
        _write_text(group, name, [getattr(sample, name) or "" for sample in samples])
    for name in ("start_frame", "end_frame"):
        frames = [getattr(sample, name) for sample in samples]
        _write_array(group, name, np.array([-1 if frame is None else frame for frame in frames], np.int64))
    for name in ("final_score", "difficulty"):
        values = [getattr(sample, name) for sample in samples]
        _write_array(
            group, name, np.array([np.nan if value is None else value for value in values], np.float64)
        )
    judges = np.full((len(samples), max((len(sample.judges) for sample in samples), default=0)), np.nan)
    for index, sample in enumerate(samples):
        judges[index, : len(sample.judges)] = sample.judges
    _write_array(group, "judges", judges)
    for kind, names in (("classes", class_names(samples)), ("extra", extra_columns(samples))):
        subgroup = group.create_group(kind)
        subgroup.attrs[ORDER] = json.dumps(names)
        for name in names:
            _write_text(
                subgroup, dataset_name(name), [getattr(sample, kind).get(name, "") for sample in samples]
            )
    _write_text(group, "status", statuses)
    _write_text(group, "reason", reasons)  # they name paths
    _write_array(group, "video_size", np.array([record.video_size for record in records], np.int64))
    _write_array(group, "video_mtime_ns", np.array([record.video_mtime_ns for record in records], np.int64))
    if any(record.video_sha256 for record in records):
        _write_text(group, "video_sha256", [record.video_sha256 for record in records])
    _write_array(group, "offset", offsets)
    _write_array(group, "count", counts)


def _write_array(group: h5py.Group, name: str, values: np.ndarray) -> None:
    if values.size:
        group.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)
    else:
        group.create_dataset(name, data=values)


def _write_text(group: h5py.Group, name: str, values: list[str]) -> None:
    try:
        encoded = [value.encode("utf-8") for value in values]
    except UnicodeEncodeError as error:
        raise CacheError(f"samples/{name}: {error.object!r:.60} is no Unicode text; change it") from None
    if bad := next((value for value in encoded if b"\0" in value or len(value) > MOST_TEXT_BYTES), None):
        raise CacheError(
            f"samples/{name}: {bad!r:.60} holds a NUL, or more than {MOST_TEXT_BYTES:,} bytes; change it"
        )
    # Fixed length, not variable: the contents of variable-length strings lie outside the chunks that a
    # checksum covers.
    dtype = h5py.string_dtype("utf-8", max(1, max(map(len, encoded), default=1)))
    options = {"chunks": (len(values),), "compression": "gzip", "fletcher32": True} if values else {}
    group.create_dataset(name, (len(values),), dtype, data=np.array(encoded, dtype), **options)


def _made_by() -> str:
    from .. import __version__

    return f"aqa-cache {__version__}"
