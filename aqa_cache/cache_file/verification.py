"""Whether a feature cache is whole: everything in it is read once and held against docs/schema.md."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from ..annotations import from_columns, to_columns
from ..errors import CacheBusy, CacheError, first_line
from .reader import FeatureCache
from .schema import DATASETS, FEATURES, FIRST_FRAME, PLAIN_VIEW, PTS_SECONDS, TEXT

# Rows read at once where a dataset has no chunks, which say how many belong together.
_BLOCK_ROWS = 64
# Beside OSError, what h5py raises when a byte of the file's own structure is wrong.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)


@dataclass(frozen=True)
class Verification:
    """What was read, and every problem in a line of its own that names the sample it hits.

    Args:
        samples, clips: how many; 0 if the file could not be opened, which is a problem then.
    """

    path: Path
    problems: list[str]
    samples: int = 0
    clips: int = 0
    dim: int = 0


def verify_cache(
    path: str | Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    whole: Callable[[FeatureCache], None] = lambda cache: None,
) -> Verification:
    """Read all of a cache, a chunk at a time, and check checksums, index, annotations, fingerprint, and that
    values are finite.

    Args:
        progress: called with the feature rows that were read and all there are.
        whole: called with the cache if it has no problems, so that more can be read of the same file.

    Raises:
        CacheError: there is no such file, or another program has it open for writing. Any damage is a
            problem of the result.
    """
    path = Path(path)
    try:
        cache = FeatureCache(path)
    except CacheError as error:
        if not path.is_file() or isinstance(error, CacheBusy):
            raise
        return Verification(path, [f"{error} (nothing more can be checked)"])
    except _DAMAGE as error:
        return Verification(path, [_structure_problem(path, error)])
    with cache:
        try:
            file, features = cache.file, cache.file[FEATURES]
            problems = [
                *_dataset_problems(cache, file),
                *_sample_problems(cache, file),
                *_index_problems(cache, len(features)),
                *_feature_problems(cache, features, progress),
                *_time_problems(cache, file),
            ]
            found = Verification(path, problems, len(cache), len(features), cache.dim)
        except _DAMAGE as error:
            return Verification(path, [_structure_problem(path, error)], len(cache))
        if not problems:
            whole(cache)
        return found


def _structure_problem(path: Path, error: Exception) -> str:
    return f"{path}: its structure is damaged ({first_line(error)}) (nothing more can be checked)"


def _dataset_problems(cache: FeatureCache, file: h5py.File) -> Iterator[str]:
    """Datasets other than the features: whether they can be read; and all: whether a checksum would say if
    they could not.
    """
    if cache.views[:1] != [PLAIN_VIEW]:
        yield f"the first view is {cache.views[:1]}, expected {PLAIN_VIEW!r}"
    for name, dtypes in DATASETS.items():
        if dtypes != TEXT and file[name].dtype.name not in dtypes:
            yield f"dataset {name!r} is {file[name].dtype.name}, expected {' or '.join(dtypes)}"
    datasets = {}
    file.visititems(
        lambda name, item: datasets.update({name: item} if isinstance(item, h5py.Dataset) else {})
    )
    for name, dataset in datasets.items():
        ours = name == FEATURES or name.startswith(("clips/", "samples/"))
        if ours and dataset.size and not dataset.fletcher32:
            yield f"dataset {name!r} has no Fletcher-32 checksum, so damage in it cannot be seen"
        if name != FEATURES and (error := _first_error(dataset)):
            yield f"dataset {name!r} cannot be read ({error})"


def _first_error(dataset: h5py.Dataset) -> str | None:
    if not dataset.size:
        return None
    if not dataset.shape:
        return _error(dataset, ())
    if lost := _lost_blocks(dataset):
        return f"{len(lost)} of its chunks cannot be found"
    step = _step(dataset)
    errors = (_error(dataset, slice(start, start + step)) for start in range(0, len(dataset), step))
    return next((error for error in errors if error), None)


def _error(dataset: h5py.Dataset, place: slice | tuple) -> str | None:
    try:
        dataset[place]
    except _DAMAGE as error:
        return first_line(error)
    return None


def _lost_blocks(dataset: h5py.Dataset) -> set[int]:
    """First rows of the blocks of which a chunk is not in the index of chunks, or is there without its
    checksum.

    HDF5 reads zeros or empty text there and reports nothing.
    """
    if not dataset.chunks:
        return set()
    creation = dataset.id.get_create_plist()
    filters = [creation.get_filter(number)[0] for number in range(creation.get_nfilters())]
    checksum = 1 << filters.index(h5py.h5z.FILTER_FLETCHER32) if h5py.h5z.FILTER_FLETCHER32 in filters else 0
    found: Counter[int] = Counter()

    def count(chunk) -> None:
        if not chunk.filter_mask & checksum:
            found[chunk.chunk_offset[0]] += 1

    dataset.id.chunk_iter(count)
    across = math.prod(
        math.ceil(size / chunk) for size, chunk in zip(dataset.shape[1:], dataset.chunks[1:], strict=True)
    )
    return {start for start in range(0, len(dataset), dataset.chunks[0]) if found[start] != across}


def _step(dataset: h5py.Dataset) -> int:
    return dataset.chunks[0] if dataset.chunks else _BLOCK_ROWS


def _sample_problems(cache: FeatureCache, file: h5py.File) -> Iterator[str]:
    seen: dict[str, int] = {}
    statuses = (
        file["samples/status"].asstr()[:] if not _first_error(file["samples/status"]) else [None] * len(cache)
    )
    for number, (sample, reason, status) in enumerate(
        zip(cache.samples, cache.reasons, statuses, strict=True)
    ):
        name = sample.sample_id
        if name in seen:
            yield f"{name}: samples {seen[name] + 1} and {number + 1} both have this sample_id"
        seen.setdefault(name, number)
        expected = "failed" if reason else "ok"
        if status not in (None, expected):
            yield f"{name}: status is {status!r}, expected {expected!r}, as its reason is {reason!r}"
        try:
            from_columns(to_columns([sample]))
        except ValueError as error:
            yield f"{name or f'sample {number + 1}'}: annotation: {error}"


def _index_problems(cache: FeatureCache, rows: int) -> Iterator[str]:
    owner = np.full(rows, -1, np.int64)
    previous = 0
    for index, view, name in _places(cache):
        offset, count = int(cache.offset[index, view]), int(cache.count[index, view])
        if count == offset == -1:
            continue
        if count < 1 or offset < 0:
            yield (
                f"{name}: points to {count} clips at row {offset}, expected both -1, or a row and at least"
                " one clip"
            )
            continue
        theirs = owner[offset : offset + count]
        if (theirs >= 0).any():
            other = cache.samples[theirs[theirs >= 0][0]].sample_id
            yield f"{name}: shares {(theirs >= 0).sum()} of its {count} feature rows with {other}"
        elif offset < previous:
            yield f"{name}: its feature rows come before those of the sample or view before it"
        theirs[:] = index
        previous = offset + count
    if (owner < 0).any():
        yield (
            f"{(owner < 0).sum()} feature row(s) belong to no sample, the first is row"
            f" {int(np.argmax(owner < 0))}"
        )


def _feature_problems(
    cache: FeatureCache, dataset: h5py.Dataset, progress: Callable[[int, int], None]
) -> Iterator[str]:
    rows, step = len(dataset), _step(dataset)
    unreadable, infinite = np.zeros(rows, bool), np.zeros(rows, bool)
    lost = _lost_blocks(dataset)
    for start in range(0, rows, step):
        block = slice(start, min(start + step, rows))
        try:
            infinite[block] = ~np.isfinite(dataset[block]).all(axis=1)
            unreadable[block] = start in lost
        except _DAMAGE:
            unreadable[block] = True
        progress(block.stop, rows)
    for index, view, name in _places(cache):
        if not cache.has_features(index, view):
            continue
        offset, count = cache.offset[index, view], cache.count[index, view]
        for bad, what in (
            (unreadable, "cannot be read, as a checksum fails or a chunk is lost"),
            (infinite, "are not finite (NaN or infinite)"),
        ):
            clips = np.flatnonzero(bad[offset : offset + count])
            if len(clips):
                yield (
                    f"{name}: the features of {len(clips)} of {count} clips {what}, the first is clip"
                    f" {clips[0]}"
                )


def _time_problems(cache: FeatureCache, file: h5py.File) -> Iterator[str]:
    names = (FIRST_FRAME, PTS_SECONDS)
    if any(_first_error(file[name]) for name in names):
        return
    first_frame, times = (file[name][:] for name in names)
    for index, view, name in _places(cache):
        if not cache.has_features(index, view):
            continue
        rows = slice(cache.offset[index, view], cache.offset[index, view] + cache.count[index, view])
        if (first_frame[rows] < -1).any() or (np.diff(first_frame[rows]) < 0).any():
            yield (
                f"{name}: the first frames of its clips are {_few(first_frame[rows])}, expected numbers from"
                " 0 in time order"
            )
        if np.isinf(times[rows]).any():
            yield (
                f"{name}: the times of its clips are {_few(times[rows])}, expected seconds, or NaN where"
                " there are none"
            )


def _places(cache: FeatureCache) -> Iterator[tuple[int, int, str]]:
    """Index of every sample and view, in the order their rows have, and how a problem names them."""
    for index, sample in enumerate(cache.samples):
        for number, view in enumerate(cache.views):
            yield index, number, sample.sample_id + (f" (view {view})" if number else "")


def _few(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values[:5]) + (", …" if len(values) > 5 else "")
