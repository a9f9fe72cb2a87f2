"""Whether a feature cache is whole: everything in it is read once and held against docs/schema.md."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import h5py  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray

from ..disk.hdf5 import DAMAGE, members
from ..errors import CacheBusy, CacheError, first_line
from ..short_repr import short_repr
from .problems import index_problems, places
from .reader import FeatureCache
from .schema import FEATURES, FIRST_FRAME, PTS_SECONDS
from .structure import lost_blocks

# Rows read at once where a dataset has no chunks, which say how many belong together.
_BLOCK_ROWS = 64


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

    __repr__ = short_repr


def verify(
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
        cache = FeatureCache(path, check=False)
    except CacheError as error:
        if not path.is_file() or isinstance(error, CacheBusy):
            raise
        return Verification(path, [f"{error} (nothing more can be checked)"])
    except DAMAGE as error:
        return Verification(path, [_structure_problem(path, error)])
    with cache:
        try:
            file, features = cache.file, cast(h5py.Dataset, cache.file[FEATURES])
            problems = [
                *_dataset_problems(cache, file),
                *cache.sample_problems(),
                *index_problems(cache),
                *_feature_problems(cache, features, progress),
                *_time_problems(cache, file),
            ]
            found = Verification(path, problems, len(cache), len(features), cache.dim)
        except DAMAGE as error:
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
    for member in members(file):
        name, dataset = member.name, member.dataset
        ours = name == FEATURES or name.startswith(("clips/", "samples/"))
        if ours and _without_checksum(dataset):
            yield f"dataset {name!r} has no Fletcher-32 checksum, so damage in it cannot be seen"
        if name != FEATURES and (error := _first_error(dataset)):
            yield f"dataset {name!r} cannot be read ({error})"


def _without_checksum(dataset: Any) -> bool:  # h5py has no types
    return bool(dataset.size) and not dataset.fletcher32


def _first_error(dataset: Any) -> str | None:
    if not dataset.size:
        return None
    if not dataset.shape:
        return _error(dataset, ())
    if lost := lost_blocks(dataset):
        return f"{len(lost)} of its chunks cannot be found"
    step = _step(dataset)
    errors = (_error(dataset, slice(start, start + step)) for start in range(0, len(dataset), step))
    return next((error for error in errors if error), None)


def _error(dataset: Any, place: slice | tuple[()]) -> str | None:
    try:
        dataset[place]
    except DAMAGE as error:
        return first_line(error)
    return None


def _step(dataset: Any) -> int:
    return dataset.chunks[0] if dataset.chunks else _BLOCK_ROWS


def _feature_problems(
    cache: FeatureCache, dataset: Any, progress: Callable[[int, int], None]
) -> Iterator[str]:
    rows, step = len(dataset), _step(dataset)
    unreadable, infinite = np.zeros(rows, bool), np.zeros(rows, bool)
    lost = lost_blocks(dataset)
    for start in range(0, rows, step):
        block = slice(start, min(start + step, rows))
        try:
            infinite[block] = ~np.isfinite(dataset[block]).all(axis=1)
            unreadable[block] = start in lost
        except DAMAGE:
            unreadable[block] = True
        progress(block.stop, rows)
    for index, view, name in places(cache):
        if not cache.has_features(index, view):
            continue
        offset, count = cache.offset[index, view], cache.lengths[index, view]
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


def _values(dataset: Any) -> NDArray[Any]:
    return dataset[:]


def _time_problems(cache: FeatureCache, file: h5py.File) -> Iterator[str]:
    names = (FIRST_FRAME, PTS_SECONDS)
    if any(_first_error(file[name]) for name in names):
        return
    first_frame, times = (_values(file[name]) for name in names)
    for index, view, name in places(cache):
        if not cache.has_features(index, view):
            continue
        rows = slice(cache.offset[index, view], cache.offset[index, view] + cache.lengths[index, view])
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


def _few(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values[:5]) + (", …" if len(values) > 5 else "")
