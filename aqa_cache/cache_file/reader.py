"""The feature cache: one HDF5 file that holds the clip features of every sample and all its annotations.

The file is a public contract, written down in `docs/schema.md`; its only reader is here, its only writer in
`writer`, and both take its names from `schema`.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..annotations import SPLITS, Sample
from ..disk.hdf5 import open_hdf5
from ..errors import CacheError, first_line
from .meaning import Learned, Meaning
from .schema import (
    ATTRIBUTES,
    DATASETS,
    FEATURES,
    FIRST_FRAME,
    FORMAT,
    FRAMES,
    GROUPS,
    PTS_SECONDS,
    TEXT_COLUMNS,
    TUNED,
    VERSION,
    VIDEO_SHA256,
    column_name,
)


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
        - features: `(clips, dim)` float32, in memory or in a file; first_frame: `(clips,)` int64, 0-based in
          the video; pts_seconds: `(clips,)` float64, presentation time of the first frame, NaN where the
          source has no times.
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


class FeatureCache:
    """A feature cache opened for reading. Annotations and index are in memory, features are read when asked
    for.

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
        CacheBusy: another program has it open for writing.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._file: Any = _open(self.path)  # h5py's types do not say what lies under a name
        try:
            self._read_index()
        except (KeyError, ValueError, IndexError, TypeError, AttributeError, OSError, RuntimeError) as error:
            self.close()
            raise CacheError(
                f"{self.path}: does not keep to docs/schema.md ({type(error).__name__}: {first_line(error)});"
                " it is damaged or was written by another program, extract again"
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
    def file(self) -> h5py.File:
        """The file itself: whatever else is to be read of this cache is read here, since another may have
        been published at its path meanwhile.
        """
        return self._file

    @property
    def fingerprint(self) -> str:
        return self.meaning.fingerprint

    @property
    def dim(self) -> int:
        return self.meaning.dim

    @property
    def dtype(self) -> np.dtype:
        """As stored: float16 or float32."""
        return self._file[FEATURES].dtype

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
        features = self._read(FEATURES, slice(start, start + self.count[index, view])).astype(np.float32)
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            raise CacheError(
                f"{self.samples[index].sample_id}: the feature of clip {int(np.argmin(finite))} in"
                f" {self.path.name} is not finite (NaN or infinite); extract this sample again"
            )
        return features

    def clips(self, index: int, view: int = 0) -> ClipFeatures:
        """Features, first frames and times of one sample's clips."""
        features = self.features(index, view)
        rows = slice(self.offset[index, view], self.offset[index, view] + self.count[index, view])
        return ClipFeatures(features, self._first_frame[rows], self._pts_seconds[rows])

    def record(self, index: int) -> Record:
        """Everything of one sample, as `write_cache` takes it; the features stay in the file, which must stay
        open.
        """
        return Record(
            self.samples[index],
            [
                self._stored(index, view) if self.has_features(index, view) else None
                for view in range(len(self.views))
            ],
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
            return self._read(FEATURES, slice(first + start, first + stop)).astype(np.float32)

        return ClipFeatures(
            StoredRows(read, (count, self.dim)), self._first_frame[rows], self._pts_seconds[rows]
        )

    @cached_property
    def _first_frame(self) -> np.ndarray:
        return self._read(FIRST_FRAME)

    @cached_property
    def _pts_seconds(self) -> np.ndarray:
        return self._read(PTS_SECONDS)

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
            tuned=Learned.from_record(json.loads(attrs[TUNED])) if TUNED in attrs else None,
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
        self.video_size, self.video_mtime_ns = (
            self._read("samples/video_size"),
            self._read("samples/video_mtime_ns"),
        )
        hashed = VIDEO_SHA256 in self._file
        self.video_sha256 = self._text(VIDEO_SHA256) if hashed else [""] * len(self.reasons)
        self.samples = self._read_samples()
        rows, dim = self._file[FEATURES].shape
        if dim != self.dim:
            raise CacheError(
                f"{self.path}: features are {dim} wide but the attribute 'dim' says {self.dim}; extract again"
            )
        shapes = {self.offset.shape, self.count.shape, (len(self.samples), len(self.views))}
        lengths = {
            len(column) for column in (self.reasons, self.video_size, self.video_mtime_ns, self.video_sha256)
        }
        if len(shapes) > 1 or lengths != {len(self.samples)}:
            raise CacheError(
                f"{self.path}: its index does not fit its {len(self.samples)} samples; extract again"
            )
        outside = np.argwhere((self.count >= 0) & ((self.offset < 0) | (self.offset + self.count > rows)))
        if len(outside):
            raise CacheError(
                f"{self.path}: {self.samples[outside[0][0]].sample_id} points outside the {rows} feature"
                " rows; the index is damaged, extract again"
            )
        plain = self.count[:, 0].tolist()
        for index, sample in enumerate(self.samples):
            if (plain[index] > 0) == bool(self.reasons[index]):
                raise CacheError(
                    f"{self.path}: {sample.sample_id} has {max(0, self.count[index, 0])} clips and the reason"
                    f" {self.reasons[index]!r}; it needs one or the other, extract again"
                )
        for name in (FIRST_FRAME, PTS_SECONDS):
            if self._file[name].shape != (rows,):
                raise CacheError(
                    f"{self.path}: {name!r} has shape {self._file[name].shape}, expected ({rows},); extract"
                    " again"
                )

    def _read_samples(self) -> list[Sample]:
        text = {name: self._text(f"samples/{name}") for name in TEXT_COLUMNS}
        for sample_id, split in zip(text["sample_id"], text["split"], strict=True):
            if split and split not in SPLITS:
                raise CacheError(
                    f"{self.path}: {sample_id} has split {split!r}, expected {', '.join(SPLITS)} or nothing"
                    " (docs/schema.md)"
                )
        # Python's own numbers, a column at a time: a number taken out of an array by itself costs as much as
        # a sample.
        start, end, score, difficulty = (
            self._read(f"samples/{name}").tolist()
            for name in ("start_frame", "end_frame", "final_score", "difficulty")
        )
        judges = self._read("samples/judges")
        judged: list[bool] = np.any(~np.isnan(judges), axis=1).tolist()
        judges = judges.tolist()
        classes = {
            column_name(name): self._text(f"samples/classes/{name}") for name in self._file["samples/classes"]
        }
        extra = {
            column_name(name): self._text(f"samples/extra/{name}") for name in self._file["samples/extra"]
        }
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
    """Whether a file is a cache that this program can read, by its attributes and the names in it; quick for
    any size.

    Raises:
        CacheError: it is not.
    """
    _open(path).close()


def _open(path: Path) -> h5py.File:
    if not path.exists():
        raise CacheError(f"{path}: no such file; make it with: aqa-extract --backbone s3d VIDEOS {path}")
    if not path.is_file():
        raise CacheError(
            f"{path}: is a folder, expected a feature cache (an HDF5 file written by aqa-extract)"
        )
    try:
        file = open_hdf5(path)
    except PermissionError as error:
        raise CacheError(f"{path}: cannot be read ({first_line(error)}); see that you may read it") from None
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
            f"{path}: cannot be read ({first_line(error)}); the file is damaged, restore it from a copy or"
            " extract again"
        ) from None
    except BaseException:
        file.close()
        raise
    return file


def _check_contract(path: Path, file: h5py.File) -> None:
    format_name = file.attrs.get("format")
    if format_name != FORMAT:
        frames = (
            "; these are decoded frames of end-to-end training, which may be deleted"
            if format_name == FRAMES
            else ""
        )
        raise CacheError(
            f"{path}: is an HDF5 file of format {format_name!r}, expected {FORMAT!r} (see"
            f" docs/schema.md){frames}"
        )
    version = file.attrs.get("version", 0)
    if not isinstance(version, int | np.integer):
        raise CacheError(f"{path}: has format version {version!r}, expected a whole number; extract again")
    if version > VERSION:
        raise CacheError(
            f"{path}: has format version {version}, this program reads up to {VERSION}; upgrade aqa-cache"
        )
    if version < 1:
        raise CacheError(f"{path}: has format version {version}, expected 1 to {VERSION}; extract again")
    lacking = [f"attribute {name!r}" for name in ATTRIBUTES if name not in file.attrs]
    lacking += [f"dataset {name!r}" for name in DATASETS if not isinstance(file.get(name), h5py.Dataset)]
    lacking += [f"group {name!r}" for name in GROUPS if not isinstance(file.get(name), h5py.Group)]
    if lacking:
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise CacheError(f"{path}: lacks {', '.join(lacking[:3])}{more}; it is incomplete, extract again")
