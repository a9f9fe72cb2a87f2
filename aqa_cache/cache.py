"""The feature cache: one HDF5 file that holds the clip features of every sample and all its annotations.

The file is a public contract, written down in `docs/schema.md`; its only writer and reader are here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
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
# Relative error of rounding to float16 is at most 2^-11; more means that values overflow or sink below its range.
_FLOAT16_MAX_RELATIVE_ERROR = 1e-3


@dataclass(frozen=True)
class ClipFeatures:
    """The clips of one view of one sample, in time order.

    Shape:
        - features: `(clips, dim)` float32; first_frame: `(clips,)` int64, 0-based in the video;
          pts_seconds: `(clips,)` float64, presentation time of the first frame, NaN where the source has no times.
    """

    features: np.ndarray
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
    """

    sample: Sample
    views: list[ClipFeatures | None] = field(default_factory=list)
    reason: str = ""
    video_size: int = 0
    video_mtime_ns: int = 0

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
    records: Sequence[Record],
    meaning: Meaning,
    *,
    views: Sequence[str] = (PLAIN_VIEW,),
    numerics: dict | None = None,
    dtype: str = "auto",
) -> np.dtype:
    """Write a cache at once: to a temporary file beside `path`, synced to disk, then renamed over it.

    Args:
        records: in the order the file shall have.
        views: names of the views, the plain one first; every ok record has one entry for each.
        numerics: device, precision, threads and library versions.
        dtype: `auto` (float16 if every value fits, else float32), `float16` or `float32`.

    Returns:
        The dtype the features were stored in.

    Raises:
        CacheError: a feature has the wrong size or is not finite, or float16 was demanded and cannot hold a value.
    """
    path = Path(path)
    stored = [(record, clips) for record in records for clips in record.views if clips is not None]
    for record, clips in stored:
        if clips.features.ndim != 2 or clips.features.shape[1] != meaning.dim or not len(clips.features):
            raise CacheError(
                f"{record.sample.sample_id}: features have shape {clips.features.shape}, expected (clips, {meaning.dim}) "
                "with at least one clip"
            )
        if not np.isfinite(clips.features).all():
            bad = int(np.argmax(~np.isfinite(clips.features).all(axis=1)))
            raise CacheError(
                f"{record.sample.sample_id} ({record.sample.video}): the feature of clip {bad} is not finite (NaN or infinite); "
                "the weights or the precision are unusable for this video, try --precision fp32"
            )
    fits = all(fits_float16(clips.features) for _, clips in stored)
    if dtype == "float16" and not fits:
        raise CacheError(f"{path.name}: float16 was asked for but cannot hold every feature; use float32 or auto")
    feature_dtype = np.dtype(np.float16 if fits and dtype != "float32" else np.float32)

    offsets = np.full((len(records), len(views)), -1, np.int64)
    counts = np.full((len(records), len(views)), -1, np.int64)
    rows = 0
    for index, record in enumerate(records):
        for view, clips in enumerate(record.views):
            if clips is not None:
                offsets[index, view], counts[index, view] = rows, len(clips.features)
                rows += len(clips.features)

    def concatenated(name: str, dtype: np.dtype) -> np.ndarray:
        parts = [getattr(clips, name) for _, clips in stored]
        return np.concatenate(parts).astype(dtype) if parts else np.empty(0, dtype)

    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = VERSION
        for name in ("backbone", "layer", "dim", "weights", "weights_sha256", "fingerprint"):
            file.attrs[name] = getattr(meaning, name)
        file.attrs["preprocessing"] = canonical_json(meaning.preprocessing)
        file.attrs["clip_rule"] = canonical_json(meaning.clip_rule)
        file.attrs["views"] = json.dumps(list(views))
        file.attrs["numerics"] = canonical_json(numerics or {})
        file.attrs["made_by"] = _made_by()
        features = file.create_dataset(
            "features", (rows, meaning.dim), feature_dtype, chunks=(_CHUNK_ROWS, meaning.dim), maxshape=(None, meaning.dim),
            fletcher32=True,
        )  # fmt: skip
        row = 0
        for _, clips in stored:
            features[row : row + len(clips.features)] = clips.features
            row += len(clips.features)
        _write_array(file, "clips/first_frame", concatenated("first_frame", np.int64))
        _write_array(file, "clips/pts_seconds", concatenated("pts_seconds", np.float64))
        _write_samples(file.create_group("samples"), records, offsets, counts)
    return feature_dtype


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

    Raises:
        CacheError: the file is no cache, newer than this program, truncated, incomplete, or damaged.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            self._read_index()
        except (KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
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
        return ClipFeatures(features, self._read("clips/first_frame", rows), self._read("clips/pts_seconds", rows))

    def records(self) -> list[Record]:
        """Everything in the file, as `write_cache` takes it."""
        size, mtime = self._read("samples/video_size"), self._read("samples/video_mtime_ns")
        return [
            Record(
                sample,
                [self.clips(i, view) if self.has_features(i, view) else None for view in range(len(self.views))],
                self.reasons[i],
                int(size[i]),
                int(mtime[i]),
            )
            for i, sample in enumerate(self.samples)
        ]

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
        self.samples = self._read_samples()
        rows, dim = self._file["features"].shape
        if dim != self.dim:
            raise CacheError(
                f"{self.path}: features are {dim} wide but the attribute 'dim' says {self.dim}; extract again"
            )
        shapes = {self.offset.shape, self.count.shape, (len(self.samples), len(self.views))}
        if len(shapes) > 1 or len(self.reasons) != len(self.samples):
            raise CacheError(f"{self.path}: its index does not fit its {len(self.samples)} samples; extract again")
        outside = np.argwhere((self.count >= 0) & ((self.offset < 0) | (self.offset + self.count > rows)))
        if len(outside):
            raise CacheError(
                f"{self.path}: {self.samples[outside[0][0]].sample_id} points outside the {rows} feature rows; "
                "the index is damaged, extract again"
            )
        for index, sample in enumerate(self.samples):
            if (self.count[index, 0] > 0) == bool(self.reasons[index]):
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
        number = {
            name: self._read(f"samples/{name}") for name in ("start_frame", "end_frame", "final_score", "difficulty")
        }
        judges = self._read("samples/judges")
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
                start_frame=int(number["start_frame"][i]) if number["start_frame"][i] >= 0 else None,
                end_frame=int(number["end_frame"][i]) if number["end_frame"][i] >= 0 else None,
                split=text["split"][i] or None,
                group=text["group"][i] or None,
                fold=text["fold"][i] or None,
                final_score=None if np.isnan(number["final_score"][i]) else float(number["final_score"][i]),
                difficulty=None if np.isnan(number["difficulty"][i]) else float(number["difficulty"][i]),
                judges=() if np.isnan(judges[i]).all() else tuple(map(float, judges[i])),
                classes={name: column[i] for name, column in classes.items() if column[i]},
                caption=text["caption"][i] or None,
                extra={name: column[i] for name, column in extra.items() if column[i]},
            )
            for i in range(len(text["sample_id"]))
        ]


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
