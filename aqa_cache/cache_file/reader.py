"""The feature cache: one HDF5 file that holds the clip features of every sample and all its annotations.

The file is a public contract, written down in `docs/schema.md`; its only reader is here, its only writer in
`writer`, and both take its names from `schema`.
"""

import difflib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import h5py  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray

from ..annotations import SPLITS, Sample
from ..disk.hdf5 import DAMAGE
from ..errors import CacheError, first_line, some
from ..short_repr import cut, short_repr
from .attributes import read_attributes
from .problems import index_problems, sample_problems
from .schema import (
    FEATURES,
    FIRST_FRAME,
    GROUPS,
    MOST_FRAME,
    PTS_SECONDS,
    TEXT_COLUMNS,
    VIDEO_SHA256,
    column_name,
)
from .structure import broken, open_cache

# Values of features that are read at once: 16 MiB in float32.
_PIECE_VALUES = 2**22


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

    __repr__ = short_repr


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
    views: list[ClipFeatures | None] = field(default_factory=list[ClipFeatures | None])
    reason: str = ""
    video_size: int = 0
    video_mtime_ns: int = 0
    video_sha256: str = ""

    __repr__ = short_repr

    @property
    def ok(self) -> bool:
        return not self.reason

    @property
    def features(self) -> np.ndarray:
        """Of the plain view, `(clips, dim)` float32.

        Raises:
            CacheError: the sample has none; its reason says why.
        """
        if not self.views or self.views[0] is None:
            raise CacheError(f"{self.sample.sample_id}: has no features: {self.reason}")
        return self.views[0].features[:]


class FeatureCache:
    """A feature cache opened for reading. Annotations and index are in memory, features are read when asked
    for.

    Args:
        path: the file.
        check: whether index and annotations are held against docs/schema.md as a whole; only verification,
            which lists every problem, does so itself.

    Attributes:
        samples (list[Sample]): every sample, in the file's order, also those without features.
        reasons (list[str]): per sample why it has no features; empty where it has; statuses: `ok`, `failed`.
        spec (FeatureSpec): what the features are.
        numerics (dict): what decides their last bits.
        views (list[str]): names of the views, `plain` first.
        offset, lengths: `(samples, views)` int64; -1 where a sample has no such view.
        video_size, video_mtime_ns, video_sha256: per sample, of its video when it was decoded.

    Raises:
        CacheError: the file is no cache, newer than this program, truncated, incomplete, or damaged.
        CacheBusy: another program has it open for writing.
    """

    def __init__(self, path: str | Path, *, check: bool = True):
        self.path = Path(path)
        self._file: Any = open_cache(self.path)  # h5py's types do not say what lies under a name
        try:
            self._read_index()
            if check and (problems := [*islice(chain(self.sample_problems(), index_problems(self)), 4)]):
                more = "; …" if len(problems) > 3 else ""
                raise CacheError(
                    f"{self.path}: {'; '.join(problems[:3])}{more}. See all with aqa-data verify, and extract"
                    " again"
                )
        except DAMAGE as error:
            self.close()
            what = (
                first_line(error)
                if type(error) is ValueError
                else f"{type(error).__name__}: {first_line(error)}"
            )
            raise broken(self.path, what) from None
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        self._file.close()

    def __repr__(self) -> str:
        made = f"{self.spec.backbone}, {self.spec.weights}"
        views = f", {len(self.views)} views" if len(self.views) > 1 else ""
        clips = int(self.lengths[:, 0].clip(0).sum())
        return cut(
            f"<FeatureCache {self.path}: {len(self)} samples, {clips} clips × {self.dim}{views}; {made}>"
        )

    def __len__(self) -> int:
        """How many samples there are, those without features included."""
        return len(self.samples)

    def __iter__(self) -> Iterator[str]:
        """The sample_ids, in the file's order."""
        return (sample.sample_id for sample in self.samples)

    def __contains__(self, sample_id: object) -> bool:
        return sample_id in self._places

    def __getitem__(self, sample_id: str) -> Record:
        """What the cache holds of a sample: annotations, and clips in memory; `.features` are those of the
        plain view.

        Raises:
            CacheError: there is no such sample.
        """
        if sample_id not in self._places:
            near = difflib.get_close_matches(str(sample_id), self._places, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise CacheError(f"{self.path}: has no sample {sample_id!r} among its {len(self)}{hint}")
        return self._in_memory(self._places[sample_id])

    @cached_property
    def _places(self) -> dict[str, int]:
        return {sample.sample_id: place for place, sample in enumerate(self.samples)}

    @property
    def file(self) -> h5py.File:
        """The file itself: whatever else is to be read of this cache is read here, since another may have
        been published at its path meanwhile.
        """
        return self._file

    @property
    def fingerprint(self) -> str:
        return self.spec.fingerprint

    @property
    def dim(self) -> int:
        return self.spec.dim

    @property
    def dtype(self) -> np.dtype:
        """As stored: float16 or float32."""
        return self._file[FEATURES].dtype

    def sample_problems(self) -> Iterator[str]:
        """What is wrong with ids, statuses and annotations; only of a cache that was opened unchecked."""
        return sample_problems(self.samples, self.reasons, self.statuses)

    @property
    def frame_rate(self) -> float | None:
        """Frames per second of the videos, from the times of the clips: the median over the samples; None
        where no sample has two clips with times.
        """
        return frame_rate_of(self.frame_rates())

    def frame_rates(self) -> np.ndarray:
        """That of each sample where it is known, in no order."""
        clips, offset = self.lengths[:, 0], self.offset[:, 0]
        several = clips >= 2
        first, last = offset[several], offset[several] + clips[several] - 1
        frames = self._first_frame[last] - self._first_frame[first]
        seconds = self._pts_seconds[last] - self._pts_seconds[first]
        known = seconds > 0
        return frames[known] / seconds[known]

    def has_features(self, index: int, view: int = 0) -> bool:
        return bool(self.lengths[index, view] > 0)

    def features(self, index: int, view: int = 0) -> np.ndarray:
        """The clip features of one sample, `(clips, dim)` float32.

        Raises:
            CacheError: the sample has no such view, its checksum fails, or a value is not finite.
        """
        if not self.has_features(index, view):
            why = self.reasons[index] or f"it has no view {self.views[view]!r}"
            raise CacheError(f"{self.samples[index].sample_id}: no features in {self.path.name}: {why}")
        start = self.offset[index, view]
        features = self._read(FEATURES, slice(start, start + self.lengths[index, view])).astype(np.float32)
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            raise CacheError(
                f"{self.samples[index].sample_id}: the feature of clip {int(np.argmin(finite))} in"
                f" {self.path.name} is not finite (NaN or infinite); extract this sample again"
            )
        return features

    def features_of(self, places: Sequence[tuple[int, int]]) -> np.ndarray:
        """The clip features of many samples in views that they have, `(index, view)` each, one below the
        other: `(clips, dim)` float32. The file is read in large pieces.

        Raises:
            CacheError: as `features`.
        """
        index, view = np.array(places, np.int64).reshape(-1, 2).T
        first, count = self.offset[index, view], self.lengths[index, view]
        begin = np.concatenate([[0], np.cumsum(count)]).tolist()
        rows = np.empty((begin[-1], self.dim), np.float32)
        for piece in _pieces(first, count, max(1, _PIECE_VALUES // self.dim)):
            start, stop = int(first[piece[0]]), int((first[piece] + count[piece]).max())
            try:
                read = self._read(FEATURES, slice(start, stop)).astype(np.float32, copy=False)
            except CacheError:  # perhaps of a sample that lies between them
                read = None
            if read is not None and not np.isfinite(read).all():
                read = None
            numbers: list[int] = piece.tolist()
            for place in numbers:
                at = int(first[place]) - start
                rows[begin[place] : begin[place + 1]] = (
                    self.features(*places[place]) if read is None else read[at : at + int(count[place])]
                )
        return rows

    def clips(self, index: int, view: int = 0) -> ClipFeatures:
        """Features, first frames and times of one sample's clips."""
        features = self.features(index, view)
        rows = slice(self.offset[index, view], self.offset[index, view] + self.lengths[index, view])
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
        return [self._in_memory(index) for index in range(len(self))]

    def _in_memory(self, index: int) -> Record:
        views = range(len(self.views))
        clips = [self.clips(index, view) if self.has_features(index, view) else None for view in views]
        return replace(self.record(index), views=clips)

    def _stored(self, index: int, view: int) -> ClipFeatures:
        first, count = int(self.offset[index, view]), int(self.lengths[index, view])
        rows = slice(first, first + count)

        def read(start: int, stop: int) -> np.ndarray:
            return self._read(FEATURES, slice(first + start, first + stop)).astype(np.float32)

        return ClipFeatures(
            StoredRows(read, (count, self.dim)), self._first_frame[rows], self._pts_seconds[rows]
        )

    @cached_property
    def _first_frame(self) -> np.ndarray:
        frames = self._read(FIRST_FRAME)
        if len(frames) and (frames.min() < -1 or frames.max() > MOST_FRAME):
            raise broken(self.path, f"{FIRST_FRAME!r} holds {frames.min()} to {frames.max()}")
        return frames

    @cached_property
    def _pts_seconds(self) -> np.ndarray:
        times = self._read(PTS_SECONDS)
        if np.isinf(times).any():
            raise broken(self.path, f"{PTS_SECONDS!r} holds infinite times")
        return times

    def _read(self, name: str, rows: slice = slice(None)) -> np.ndarray:
        try:
            return self._file[name][rows]
        except DAMAGE as error:
            raise CacheError(
                f"{self.path}: dataset {name!r} cannot be read ({first_line(error)}); the file is damaged, "
                "restore it from a copy or extract again"
            ) from None
        except MemoryError:  # of a file with holes
            raise CacheError(
                f"{self.path}: dataset {name!r} is larger than the memory; extract again"
            ) from None

    def _text(self, name: str) -> list[str]:
        values = self._read(name).tolist()
        # Text behind it would vanish in the next file, and two names be one.
        if b"\0" in b"\n".join(values):
            raise ValueError(f"dataset {name!r} holds text with a NUL in it")
        return [value.decode("utf-8") for value in values]

    def _read_index(self) -> None:
        said = read_attributes(self._file)
        self.spec, self.views, self.numerics, self.made_by = (
            said.spec,
            said.views,
            said.numerics,
            said.made_by,
        )
        rows, dim = self._file[FEATURES].shape
        if dim != self.dim:
            raise CacheError(
                f"{self.path}: features are {dim} wide but the attribute 'dim' says {self.dim}; extract again"
            )
        self.reasons, self.statuses = self._text("samples/reason"), self._text("samples/status")
        self.offset = self._read("samples/offset").astype(np.int64, copy=False)
        self.lengths = self._read("samples/count").astype(np.int64, copy=False)
        self.video_size, self.video_mtime_ns = (
            self._read("samples/video_size"),
            self._read("samples/video_mtime_ns"),
        )
        if (self.video_size < 0).any():
            raise ValueError("samples/video_size holds negative numbers")
        hashed = VIDEO_SHA256 in self._file
        self.video_sha256 = self._text(VIDEO_SHA256) if hashed else [""] * len(self.reasons)
        self.samples = self._read_samples(said.orders)
        if self.offset.shape[1] != len(self.views):
            raise CacheError(
                f"{self.path}: its index does not fit its {len(self.views)} views; extract again"
            )
        # Not offset + count, which may be beyond what 64 bits hold.
        outside = np.argwhere((self.lengths >= 0) & ((self.offset < 0) | (self.lengths > rows - self.offset)))
        if len(outside):
            raise CacheError(
                f"{self.path}: {self.samples[int(outside[0, 0])].sample_id} points outside the {rows} feature"
                " rows; the index is damaged, extract again"
            )
        plain = self.lengths[:, 0].tolist()
        for index, sample in enumerate(self.samples):
            if (plain[index] > 0) == bool(self.reasons[index]):
                raise CacheError(
                    f"{self.path}: {sample.sample_id} has {max(0, self.lengths[index, 0])} clips and the"
                    f" reason {self.reasons[index]!r}; it needs one or the other, extract again"
                )

    def _read_samples(self, orders: dict[str, list[str]]) -> list[Sample]:
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
        if min(start, default=0) < -1 or min(end, default=0) < -1:
            raise ValueError("samples/start_frame or end_frame holds numbers below -1")
        judges = self._read("samples/judges")
        judged: list[bool] = np.any(~np.isnan(judges), axis=1).tolist()
        judges = judges.tolist()
        classes, extra = (self._columns(kind, orders[kind]) for kind in GROUPS)
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

    def _columns(self, group: str, order: list[str]) -> dict[str, list[str]]:
        columns = {column_name(name): f"{group}/{name}" for name in self._file[group]}
        if sorted(columns) != sorted(order):
            raise ValueError(f"{group} holds {some(sorted(columns))}, its order names {some(order)}")
        return {name: self._text(columns[name]) for name in order}


def frame_rate_of(rates: np.ndarray) -> float | None:
    """The median of the samples'; None where there are none."""
    return float(np.median(rates)) if len(rates) else None


def read_numerics(path: Path) -> dict[str, Any]:
    """The numerics of a cache alone; quick for any size.

    Raises:
        CacheError: it is none, or its attributes are not those of one.
    """
    with open_cache(path) as file:
        try:
            return read_attributes(file).numerics
        except DAMAGE as error:
            raise broken(path, f"{type(error).__name__}: {first_line(error)}") from None


def _pieces(first: NDArray[np.int64], count: NDArray[np.int64], most: int) -> Iterator[NDArray[np.intp]]:
    """Stretches of rows, by their places, in the order of the file: together they span `most` rows of it at
    most, or are one.
    """
    order = np.argsort(first, kind="stable")
    begin = 0
    while begin < len(order):
        inside = np.searchsorted(
            first[order], int(first[order[begin]]) + most - int(count.max(initial=0)), "right"
        )
        end = max(begin + 1, int(inside))
        yield order[begin:end]
        begin = end
