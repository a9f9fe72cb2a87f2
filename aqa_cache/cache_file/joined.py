"""Several caches read as one, and a cache that lies at a URL."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..annotations import Sample
from ..errors import CacheError, some
from ..remote.fetched import Fetched
from ..remote.place import Place
from ..remote.url import is_url, local_path
from .feature_spec import FeatureSpec
from .reader import FeatureCache, frame_rate_of
from .record import ClipFeatures, Record


@contextlib.contextmanager
def open_caches(features: str | Path | Sequence[str | Path]) -> Iterator[FeatureCache]:
    """A cache, or several as one (`JoinedCaches`, which answers as a cache does), open in the block.

    Args:
        features: paths, or URLs, from which the file is fetched for as long as the block lasts.

    Raises:
        CacheError: as `FeatureCache` and `JoinedCaches`; a URL at which nothing lies.
    """
    several = [features] if isinstance(features, str | Path) else list(features)
    with contextlib.ExitStack() as stack:
        caches = [stack.enter_context(_opened(one)) for one in several]
        yield (
            caches[0]
            if len(caches) == 1
            else cast(FeatureCache, JoinedCaches(caches, list(map(str, several))))
        )


@contextlib.contextmanager
def _opened(name: str | Path) -> Iterator[FeatureCache]:
    if not is_url(name) or (path := local_path(str(name))) is not None:
        with FeatureCache(name if not is_url(name) else path) as cache:
            yield cache
        return
    url, _, file = str(name).rpartition("/")
    place = Place(url)
    if (item := place.item(file)) is None:
        raise CacheError(f"{name}: no such cache")
    with (
        Fetched(place, {file: item}, most_bytes=max(1, item.size)) as fetched,
        fetched.at_hand(file) as path,
        FeatureCache(path) as cache,
    ):
        yield cache


class JoinedCaches:
    """Caches of the same spec and views, as one: the samples of the first, then those of the second, …

    What training asks of a `FeatureCache` it can be asked too, under the same names.

    Args:
        caches: open for as long as this is used; names: for a person.

    Raises:
        CacheError: they mean different features, have other views, or a sample_id is in two of them.
    """

    def __init__(self, caches: Sequence[FeatureCache], names: Sequence[str]):
        self._caches, first = caches, caches[0]
        for cache, name in zip(caches[1:], names[1:], strict=True):
            first.spec.check_alike(
                cache.spec,
                f"{name}: its features were made in another way than those of {names[0]} (there, here)",
                "Train on caches that were made in the same way.",
            )
            if cache.views != first.views:
                raise CacheError(
                    f"{name}: has the views {'; '.join(cache.views)}, {names[0]} has"
                    f" {'; '.join(first.views)}; train on caches with the same views"
                )
        _check_ids(caches, names)
        self.spec: FeatureSpec = first.spec
        self.views = first.views
        self.path = first.path.with_name(" + ".join(cache.path.name for cache in caches))
        self.made_by = first.made_by
        self.numerics = _numerics(caches)
        self.samples = _told_apart(caches, names)
        self.reasons = list(chain.from_iterable(cache.reasons for cache in caches))
        self.video_sha256 = list(chain.from_iterable(cache.video_sha256 for cache in caches))
        self.video_size, self.video_mtime_ns = (
            np.concatenate([getattr(cache, name) for cache in caches])
            for name in ("video_size", "video_mtime_ns")
        )
        self.lengths = np.concatenate([cache.lengths for cache in caches])
        self.dtype = np.result_type(*(cache.dtype for cache in caches))
        self._starts = np.cumsum([0, *map(len, caches)])

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def fingerprint(self) -> str:
        return self.spec.fingerprint

    @property
    def dim(self) -> int:
        return self.spec.dim

    @property
    def frame_rate(self) -> float | None:
        """As that of one cache: the median over all samples."""
        return frame_rate_of(np.concatenate([cache.frame_rates() for cache in self._caches]))

    def has_features(self, index: int, view: int = 0) -> bool:
        return bool(self.lengths[index, view] > 0)

    def features(self, index: int, view: int = 0) -> np.ndarray:
        """The clip features of one sample, `(clips, dim)` float32."""
        cache, place = self._place(index)
        return cache.features(place, view)

    def features_of(self, places: Sequence[tuple[int, int]]) -> np.ndarray:
        """As that of one cache: of many samples, `(index, view)` each, one below the other."""
        begin = np.cumsum([0, *(int(self.lengths[place]) for place in places)]).tolist()
        rows = np.empty((begin[-1], self.dim), np.float32)
        numbers = np.searchsorted(self._starts, [index for index, _ in places], side="right") - 1
        for number, cache in enumerate(self._caches):
            mine = np.flatnonzero(numbers == number).tolist()
            if not mine:
                continue
            start = int(self._starts[number])
            read = cache.features_of([(places[at][0] - start, places[at][1]) for at in mine])
            first = 0
            for at in mine:
                count = begin[at + 1] - begin[at]
                rows[begin[at] : begin[at + 1]] = read[first : first + count]
                first += count
        return rows

    def clips(self, index: int, view: int = 0) -> ClipFeatures:
        """Features, first frames and times of one sample's clips."""
        cache, place = self._place(index)
        return cache.clips(place, view)

    def record(self, index: int) -> Record:
        """Everything of one sample."""
        cache, place = self._place(index)
        return replace(cache.record(place), sample=self.samples[index])

    def _place(self, index: int) -> tuple[FeatureCache, int]:
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._caches[number], index - int(self._starts[number])


def _check_ids(caches: Sequence[FeatureCache], names: Sequence[str]) -> None:
    where: dict[str, str] = {}
    twice: dict[tuple[str, str], list[str]] = {}
    for cache, name in zip(caches, names, strict=True):
        for sample in cache.samples:
            if (other := where.setdefault(sample.sample_id, name)) is not name:
                twice.setdefault((other, name), []).append(sample.sample_id)
    if twice:
        (one, other), ids = next(iter(twice.items()))
        raise CacheError(
            f"{len(ids)} sample_id(s) are in both {one} and {other}: {some(ids)}; a sample may be in one of"
            " them, and samples of one name must be one sample: rename them, or leave a cache out"
        )


def _told_apart(caches: Sequence[FeatureCache], names: Sequence[str]) -> list[Sample]:
    """The samples; where videos of one name are different files, by their sizes, with the cache before it."""
    sizes: dict[str, set[int]] = {}
    for cache in caches:
        for sample, size in zip(cache.samples, cache.video_size.tolist(), strict=True):
            sizes.setdefault(sample.video, set()).add(size)
    other = {video for video, several in sizes.items() if len(several - {0}) > 1}
    return [
        replace(sample, video=f"{name}:{sample.video}") if sample.video in other else sample
        for cache, name in zip(caches, names, strict=True)
        for sample in cache.samples
    ]


def _numerics(caches: Sequence[FeatureCache]) -> dict[str, Any]:
    """Those that most caches have; others beside them."""
    records = [str(sorted(cache.numerics.items())) for cache in caches]
    counted = Counter(records).most_common()
    first, *others = [caches[records.index(record)].numerics for record, _ in counted]
    return {**first, "mixed_with": [*first.get("mixed_with", []), *others]} if others else first
