"""The feature cache: one HDF5 file that holds the clip features of every sample and all its annotations.

The file is a public contract, written down in `docs/schema.md`; its only reader is here, its only writer in
`writer`, and both take its names from `schema`.
"""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import h5py  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray

from ..disk.hdf5 import DAMAGE
from ..errors import CacheError, first_line
from ..short_repr import cut
from .arrays import read_array
from .attributes import read_attributes
from .index import read_index
from .problems import index_problems, sample_problems
from .record import ClipFeatures, Record, StoredRows
from .schema import FEATURES, FIRST_FRAME, MOST_FRAME, PTS_SECONDS
from .structure import broken, open_cache

# Values of features that are read at once: 16 MiB in float32.
_PIECE_VALUES = 2**22


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
            if check:
                self._check_whole()
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
        frames = self.first_frame[last] - self.first_frame[first]
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
        return ClipFeatures(features, self.first_frame[rows], self._pts_seconds[rows])

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

    def _read_index(self) -> None:
        said = read_attributes(self._file)
        self.spec, self.views, self.numerics = said.spec, said.views, said.numerics
        self.made_by = said.made_by
        index = read_index(self.path, self._file, said)
        self.samples, self.reasons, self.statuses = index.samples, index.reasons, index.statuses
        self.offset, self.lengths = index.offset, index.lengths
        self.video_size, self.video_mtime_ns = index.video_size, index.video_mtime_ns
        self.video_sha256 = index.video_sha256

    def _check_whole(self) -> None:
        """Hold index and annotations against docs/schema.md; the error names the first problems."""
        problems = [*islice(chain(self.sample_problems(), index_problems(self)), 4)]
        if problems:
            more = "; …" if len(problems) > 3 else ""
            raise CacheError(
                f"{self.path}: {'; '.join(problems[:3])}{more}. See all with aqa-data verify, and extract"
                " again"
            )

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
            StoredRows(read, (count, self.dim)), self.first_frame[rows], self._pts_seconds[rows]
        )

    @cached_property
    def first_frame(self) -> NDArray[np.int64]:
        """Of every row of the features, the first frame of its clip."""
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
        return read_array(self.path, self._file, name, rows)


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
