"""The feature cache: one HDF5 file that holds the clip features of every sample and all its annotations.

The file is a public contract, written down in `docs/schema.md`; its only writer and reader are here.
"""

import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from .annotations import SPLITS, Sample, class_names, extra_columns
from .atomic import replacing
from .errors import CacheError, first_line
from .meaning import Meaning, canonical_json

FORMAT = "aqa-feature-cache"
VERSION = 1
PLAIN_VIEW = "plain"

_TEXT_COLUMNS = ("sample_id", "video", "split", "group", "fold", "caption")
_ROOT_ATTRIBUTES = (
    "backbone", "layer", "dim", "weights", "weights_sha256", "preprocessing", "clip_rule", "views", "fingerprint",
    "numerics", "made_by",
)  # fmt: skip
_SAMPLE_DATASETS = (
    *_TEXT_COLUMNS, "start_frame", "end_frame", "final_score", "difficulty", "judges", "status", "reason",
    "video_size", "video_mtime_ns", "offset", "count",
)  # fmt: skip
_CHUNK_ROWS = 64
# Features pass through memory in blocks of about this many bytes, however long a sample is.
_BLOCK_BYTES = 1 << 22
# Relative error of rounding to float16 is at most 2^-11; more means that values overflow or sink below its range.
_FLOAT16_MAX_RELATIVE_ERROR = 1e-3


class StoredRows:
    """Rows of features that lie in a file; only slices of them are ever in memory.

    Args:
        read: given first row and row behind the last, reads `(rows, dim)` float32.
        shape: `(rows, dim)`.
    """

    def __init__(self, read: Callable[[int, int], np.ndarray], shape: tuple[int, int]):
        self._read, self.shape, self.ndim = read, shape, 2

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, step = rows.indices(len(self))
        assert step == 1, "rows are read in order"
        return self._read(start, stop)


@dataclass(frozen=True)
class ClipFeatures:
    """The clips of one view of one sample, in time order.

    Shape:
        - features: `(clips, dim)` float32, in memory or in a file; first_frame: `(clips,)` int64, 0-based in the video;
          pts_seconds: `(clips,)` float64, presentation time of the first frame, NaN where the source has no times.
    """

    features: np.ndarray | StoredRows
    first_frame: np.ndarray
    pts_seconds: np.ndarray


@dataclass(frozen=True)
class Record:
    """What the cache holds of one sample.

    Args:
        sample: its annotations.
        views: one entry per view of the cache; None where the sample has no such view.
        reason: why the sample has no features; empty where it has.
        video_size: bytes of the video file, 0 for imported features and frame folders.
        video_mtime_ns: its time of modification, likewise.
        video_sha256: hex; empty where it was not asked for.
    """

    sample: Sample
    views: list[ClipFeatures | None] = field(default_factory=list)
    reason: str = ""
    video_size: int = 0
    video_mtime_ns: int = 0
    video_sha256: str = ""

    @property
    def ok(self) -> bool:
        return not self.reason


def fits_float16(features: np.ndarray) -> bool:
    """Whether rounding `features` to float16 keeps them: all finite, relative error of the whole under 1e-3."""
    with np.errstate(over="ignore"):
        rounded = features.astype(np.float16).astype(np.float32)
    if not np.isfinite(rounded).all():
        return False
    return float(np.linalg.norm(rounded - features)) <= _FLOAT16_MAX_RELATIVE_ERROR * float(np.linalg.norm(features))


def write_cache(
    path: str | Path,
    records: Iterable[Record],
    meaning: Meaning,
    *,
    views: Sequence[str] = (PLAIN_VIEW,),
    numerics: dict | None = None,
    dtype: str = "auto",
    temporary_in: Path | None = None,
) -> np.dtype:
    """Write a cache at once: to a temporary file beside `path`, synced to disk, then renamed over it.

    Args:
        records: in the order the file shall have. Gone through once, or, where `auto` finds a value that float16 cannot hold, a
            second time; features that lie in files are never in memory as a whole.
        views: names of the views, the plain one first; every ok record has one entry for each.
        numerics: device, precision, threads and library versions.
        dtype: `auto` (float16 if every value fits, else float32), `float16` or `float32`.
        temporary_in: folder of the temporary file, on the same file system; None: that of `path`.

    Returns:
        The dtype the features were stored in.

    Raises:
        CacheError: a feature has the wrong size or is not finite, or float16 was demanded and cannot hold a value.
    """
    assert not isinstance(records, Iterator), "records may be gone through twice"
    # In a thread of its own: Ctrl-C is raised in the main one, where HDF5 would lose a write to it and not tell.
    with ThreadPoolExecutor(1, thread_name_prefix="write-cache") as writer:
        return writer.submit(
            _write_cache, Path(path), records, meaning, views, numerics or {}, dtype, temporary_in
        ).result()


def _write_cache(
    path: Path,
    records: Iterable[Record],
    meaning: Meaning,
    views: Sequence[str],
    numerics: dict,
    dtype: str,
    temporary_in: Path | None,
) -> np.dtype:
    for feature_dtype in {"auto": (np.float16, np.float32), "float16": (np.float16,), "float32": (np.float32,)}[dtype]:
        try:
            with replacing(path, temporary_in) as temporary, _Disk(temporary) as disk:
                with h5py.File(disk, "w") as file:
                    _write_attributes(file, meaning, views, numerics)
                    _write_records(file, records, meaning.dim, len(views), np.dtype(feature_dtype), disk)
                disk.check()
            return np.dtype(feature_dtype)
        except _DoesNotFit:
            pass
    raise CacheError(f"{path.name}: float16 was asked for but cannot hold every feature; use float32 or auto")


class FeatureCache:
    """A feature cache opened for reading. Annotations and index are in memory, features are read when asked for.

    Args:
        path: the file.

    Attributes:
        samples (list[Sample]): every sample, in the file's order, also those without features.
        reasons (list[str]): per sample why it has no features; empty where it has.
        meaning (Meaning): what the features are.
        numerics (dict): what decides their last bits.
        views (list[str]): names of the views, `plain` first.
        offset, count: `(samples, views)` int64; -1 where a sample has no such view.
        video_size, video_mtime_ns, video_sha256: per sample, of its video when it was decoded.

    Raises:
        CacheError: the file is no cache, newer than this program, truncated, incomplete, or damaged.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            self._read_index()
        except (KeyError, ValueError, IndexError, TypeError, AttributeError, OSError, RuntimeError) as error:
            self.close()
            raise CacheError(
                f"{self.path}: does not keep to docs/schema.md ({type(error).__name__}: {first_line(error)}); "
                "it is damaged or was written by another program, extract again"
            ) from None
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def fingerprint(self) -> str:
        return self.meaning.fingerprint

    @property
    def dim(self) -> int:
        return self.meaning.dim

    @property
    def dtype(self) -> np.dtype:
        """As stored: float16 or float32."""
        return self._file["features"].dtype

    def has_features(self, index: int, view: int = 0) -> bool:
        return bool(self.count[index, view] > 0)

    def features(self, index: int, view: int = 0) -> np.ndarray:
        """The clip features of one sample, `(clips, dim)` float32.

        Raises:
            CacheError: the sample has no such view, its checksum fails, or a value is not finite.
        """
        if not self.has_features(index, view):
            why = self.reasons[index] or f"it has no view {self.views[view]!r}"
            raise CacheError(f"{self.samples[index].sample_id}: no features in {self.path.name}: {why}")
        start = self.offset[index, view]
        features = self._read("features", slice(start, start + self.count[index, view])).astype(np.float32)
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            raise CacheError(
                f"{self.samples[index].sample_id}: the feature of clip {int(np.argmin(finite))} in {self.path.name} is not finite "
                "(NaN or infinite); extract this sample again"
            )
        return features

    def clips(self, index: int, view: int = 0) -> ClipFeatures:
        """Features, first frames and times of one sample's clips."""
        features = self.features(index, view)
        rows = slice(self.offset[index, view], self.offset[index, view] + self.count[index, view])
        return ClipFeatures(features, self._first_frame[rows], self._pts_seconds[rows])

    def record(self, index: int) -> Record:
        """Everything of one sample, as `write_cache` takes it; the features stay in the file, which must stay open."""
        return Record(
            self.samples[index],
            [self._stored(index, view) if self.has_features(index, view) else None for view in range(len(self.views))],
            self.reasons[index],
            int(self.video_size[index]),
            int(self.video_mtime_ns[index]),
            self.video_sha256[index],
        )

    def records(self) -> list[Record]:
        """Everything in the file, in memory."""
        return [
            replace(
                self.record(index),
                views=[
                    self.clips(index, view) if self.has_features(index, view) else None
                    for view in range(len(self.views))
                ],
            )
            for index in range(len(self))
        ]

    def _stored(self, index: int, view: int) -> ClipFeatures:
        first, count = int(self.offset[index, view]), int(self.count[index, view])
        rows = slice(first, first + count)

        def read(start: int, stop: int) -> np.ndarray:
            return self._read("features", slice(first + start, first + stop)).astype(np.float32)

        return ClipFeatures(StoredRows(read, (count, self.dim)), self._first_frame[rows], self._pts_seconds[rows])

    @cached_property
    def _first_frame(self) -> np.ndarray:
        return self._read("clips/first_frame")

    @cached_property
    def _pts_seconds(self) -> np.ndarray:
        return self._read("clips/pts_seconds")

    def _read(self, name: str, rows: slice = slice(None)) -> np.ndarray:
        try:
            return self._file[name][rows]
        except OSError as error:
            raise CacheError(
                f"{self.path}: dataset {name!r} cannot be read ({first_line(error)}); the file is damaged, "
                "restore it from a copy or extract again"
            ) from None

    def _text(self, name: str) -> list[str]:
        return [value.decode("utf-8") for value in self._read(name)]

    def _read_index(self) -> None:
        attrs = self._file.attrs
        self.meaning = Meaning(
            backbone=str(attrs["backbone"]),
            layer=str(attrs["layer"]),
            dim=int(attrs["dim"]),
            weights=str(attrs["weights"]),
            weights_sha256=str(attrs["weights_sha256"]),
            preprocessing=json.loads(attrs["preprocessing"]),
            clip_rule=json.loads(attrs["clip_rule"]),
        )
        if self.meaning.fingerprint != attrs["fingerprint"]:
            raise CacheError(
                f"{self.path}: its fingerprint is {attrs['fingerprint'][:12]} but its attributes give "
                f"{self.meaning.fingerprint[:12]}; they were changed after writing, extract again"
            )
        self.views: list[str] = json.loads(attrs["views"])
        self.numerics: dict = json.loads(attrs["numerics"])
        self.made_by: str = str(attrs["made_by"])
        self.reasons = self._text("samples/reason")
        self.offset = self._read("samples/offset")
        self.count = self._read("samples/count")
        self.video_size, self.video_mtime_ns = self._read("samples/video_size"), self._read("samples/video_mtime_ns")
        hashed = "samples/video_sha256" in self._file
        self.video_sha256 = self._text("samples/video_sha256") if hashed else [""] * len(self.reasons)
        self.samples = self._read_samples()
        rows, dim = self._file["features"].shape
        if dim != self.dim:
            raise CacheError(
                f"{self.path}: features are {dim} wide but the attribute 'dim' says {self.dim}; extract again"
            )
        shapes = {self.offset.shape, self.count.shape, (len(self.samples), len(self.views))}
        lengths = {len(column) for column in (self.reasons, self.video_size, self.video_mtime_ns, self.video_sha256)}
        if len(shapes) > 1 or lengths != {len(self.samples)}:
            raise CacheError(f"{self.path}: its index does not fit its {len(self.samples)} samples; extract again")
        outside = np.argwhere((self.count >= 0) & ((self.offset < 0) | (self.offset + self.count > rows)))
        if len(outside):
            raise CacheError(
                f"{self.path}: {self.samples[outside[0][0]].sample_id} points outside the {rows} feature rows; "
                "the index is damaged, extract again"
            )
        plain = self.count[:, 0].tolist()
        for index, sample in enumerate(self.samples):
            if (plain[index] > 0) == bool(self.reasons[index]):
                raise CacheError(
                    f"{self.path}: {sample.sample_id} has {max(0, self.count[index, 0])} clips and the reason "
                    f"{self.reasons[index]!r}; it needs one or the other, extract again"
                )
        for name in ("clips/first_frame", "clips/pts_seconds"):
            if self._file[name].shape != (rows,):
                raise CacheError(
                    f"{self.path}: {name!r} has shape {self._file[name].shape}, expected ({rows},); extract again"
                )

    def _read_samples(self) -> list[Sample]:
        text = {name: self._text(f"samples/{name}") for name in _TEXT_COLUMNS}
        for sample_id, split in zip(text["sample_id"], text["split"], strict=True):
            if split and split not in SPLITS:
                raise CacheError(
                    f"{self.path}: {sample_id} has split {split!r}, expected {', '.join(SPLITS)} or nothing (docs/schema.md)"
                )
        # Python's own numbers, a column at a time: a number taken out of an array by itself costs as much as a sample.
        start, end, score, difficulty = (
            self._read(f"samples/{name}").tolist() for name in ("start_frame", "end_frame", "final_score", "difficulty")
        )
        judges = self._read("samples/judges")
        judged, judges = (~np.isnan(judges).all(axis=1)).tolist(), judges.tolist()
        classes = {_column_name(name): self._text(f"samples/classes/{name}") for name in self._file["samples/classes"]}
        extra = {_column_name(name): self._text(f"samples/extra/{name}") for name in self._file["samples/extra"]}
        for kind, columns in (("classes", classes), ("extra", extra)):
            order = json.loads(self._file[f"samples/{kind}"].attrs["order"])
            ordered = {name: columns[name] for name in order}
            columns.clear()
            columns.update(ordered)
        return [
            Sample(
                sample_id=text["sample_id"][i],
                video=text["video"][i],
                start_frame=start[i] if start[i] >= 0 else None,
                end_frame=end[i] if end[i] >= 0 else None,
                split=text["split"][i] or None,
                group=text["group"][i] or None,
                fold=text["fold"][i] or None,
                final_score=None if math.isnan(score[i]) else score[i],
                difficulty=None if math.isnan(difficulty[i]) else difficulty[i],
                judges=tuple(judges[i]) if judged[i] else (),
                classes={name: column[i] for name, column in classes.items() if column[i]},
                caption=text["caption"][i] or None,
                extra={name: column[i] for name, column in extra.items() if column[i]},
            )
            for i in range(len(text["sample_id"]))
        ]


def check_cache(path: Path) -> None:
    """Whether a file is a cache that this program can read, by its attributes and the names in it; quick for any size.

    Raises:
        CacheError: it is not.
    """
    _open(path).close()


def _open(path: Path) -> h5py.File:
    if not path.exists():
        raise CacheError(f"{path}: no such file; make it with: aqa-extract --backbone s3d VIDEOS {path}")
    if not path.is_file():
        raise CacheError(f"{path}: is a folder, expected a feature cache (an HDF5 file written by aqa-extract)")
    try:
        file = h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        reason = first_line(error)
        if "truncated" in reason:
            raise CacheError(
                f"{path}: is truncated, a copy or download stopped early ({reason}); copy it again"
            ) from None
        raise CacheError(
            f"{path}: is not an HDF5 file ({reason}); expected a feature cache written by aqa-extract"
        ) from None
    try:
        _check_contract(path, file)
    except (OSError, RuntimeError) as error:
        file.close()
        raise CacheError(
            f"{path}: cannot be read ({first_line(error)}); the file is damaged, restore it from a copy or extract again"
        ) from None
    except BaseException:
        file.close()
        raise
    return file


def _check_contract(path: Path, file: h5py.File) -> None:
    format_name = file.attrs.get("format")
    if format_name != FORMAT:
        raise CacheError(f"{path}: is an HDF5 file of format {format_name!r}, expected {FORMAT!r} (see docs/schema.md)")
    version = file.attrs.get("version", 0)
    if not isinstance(version, int | np.integer):
        raise CacheError(f"{path}: has format version {version!r}, expected a whole number; extract again")
    if version > VERSION:
        raise CacheError(f"{path}: has format version {version}, this program reads up to {VERSION}; upgrade aqa-cache")
    if version < 1:
        raise CacheError(f"{path}: has format version {version}, expected 1 to {VERSION}; extract again")
    lacking = [f"attribute {name!r}" for name in _ROOT_ATTRIBUTES if name not in file.attrs]
    expected = ("features", "clips/first_frame", "clips/pts_seconds", *(f"samples/{name}" for name in _SAMPLE_DATASETS))
    lacking += [f"dataset {name!r}" for name in expected if not isinstance(file.get(name), h5py.Dataset)]
    lacking += [
        f"group {name!r}" for name in ("samples/classes", "samples/extra") if not isinstance(file.get(name), h5py.Group)
    ]
    if lacking:
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise CacheError(f"{path}: lacks {', '.join(lacking[:3])}{more}; it is incomplete, extract again")


class _Disk(io.FileIO):
    """A file whose failures are kept until they are asked for: HDF5 cannot close a file that it could not write, and crashes."""

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
            "features", (0, dim), dtype, chunks=(_CHUNK_ROWS, dim), maxshape=(None, dim), fletcher32=True,
            fillvalue=np.nan,  # what HDF5 gives for a chunk that damage has lost from its index
        )  # fmt: skip
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


def _write_attributes(file: h5py.File, meaning: Meaning, views: Sequence[str], numerics: dict) -> None:
    file.attrs["format"] = FORMAT
    file.attrs["version"] = VERSION
    for name in ("backbone", "layer", "dim", "weights", "weights_sha256", "fingerprint"):
        file.attrs[name] = getattr(meaning, name)
    file.attrs["preprocessing"] = canonical_json(meaning.preprocessing)
    file.attrs["clip_rule"] = canonical_json(meaning.clip_rule)
    file.attrs["views"] = json.dumps(list(views))
    file.attrs["numerics"] = canonical_json(numerics)
    file.attrs["made_by"] = _made_by()


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
    _write_array(file, "clips/first_frame", np.concatenate(first_frames))
    _write_array(file, "clips/pts_seconds", np.concatenate(times))
    index = (np.array(values, np.int64).reshape(len(light), views) for values in (offsets, counts))
    _write_samples(file.create_group("samples"), light, *index)


def _blocks(sample: Sample, features: np.ndarray | StoredRows, dim: int) -> Iterator[np.ndarray]:
    if features.ndim != 2 or features.shape[1] != dim or not len(features):
        raise CacheError(
            f"{sample.sample_id}: features have shape {features.shape}, expected (clips, {dim}) with at least one clip"
        )
    size = max(1, _BLOCK_BYTES // (4 * dim))
    for start in range(0, len(features), size):
        block = features[start : start + size]
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise CacheError(
                f"{sample.sample_id} ({sample.video}): the feature of clip {start + int(np.argmin(finite))} is not finite (NaN or "
                "infinite); the weights or the precision are unusable for this video, try --precision fp32"
            )
        yield block


def _write_samples(group: h5py.Group, records: Sequence[Record], offsets: np.ndarray, counts: np.ndarray) -> None:
    samples = [record.sample for record in records]
    for name in _TEXT_COLUMNS:
        _write_text(group, name, [getattr(sample, name) or "" for sample in samples])
    for name in ("start_frame", "end_frame"):
        frames = [getattr(sample, name) for sample in samples]
        _write_array(group, name, np.array([-1 if frame is None else frame for frame in frames], np.int64))
    for name in ("final_score", "difficulty"):
        values = [getattr(sample, name) for sample in samples]
        _write_array(group, name, np.array([np.nan if value is None else value for value in values], np.float64))
    judges = np.full((len(samples), max((len(sample.judges) for sample in samples), default=0)), np.nan)
    for index, sample in enumerate(samples):
        judges[index, : len(sample.judges)] = sample.judges
    _write_array(group, "judges", judges)
    for kind, names in (("classes", class_names(samples)), ("extra", extra_columns(samples))):
        subgroup = group.create_group(kind)
        subgroup.attrs["order"] = json.dumps(names)
        for name in names:
            _write_text(subgroup, _dataset_name(name), [getattr(sample, kind).get(name, "") for sample in samples])
    _write_text(group, "status", ["ok" if record.ok else "failed" for record in records])
    _write_text(group, "reason", [record.reason for record in records])
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
    encoded = [value.encode("utf-8") for value in values]
    # Fixed length, not variable: the contents of variable-length strings lie outside the chunks that a checksum covers.
    dtype = h5py.string_dtype("utf-8", max(1, max(map(len, encoded), default=1)))
    options = {"chunks": (len(values),), "compression": "gzip", "fletcher32": True} if values else {}
    group.create_dataset(name, (len(values),), dtype, data=np.array(encoded, dtype), **options)


def _dataset_name(column: str) -> str:
    # "." alone is a path to HDF5, as "/" is.
    return column.replace("%", "%25").replace("/", "%2F").replace(".", "%2E")


def _column_name(dataset: str) -> str:
    return dataset.replace("%2E", ".").replace("%2F", "/").replace("%25", "%")


def _made_by() -> str:
    from . import __version__

    return f"aqa-cache {__version__}"
