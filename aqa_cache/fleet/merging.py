"""From the parts in a place to a cache: listed, checked, and written sample by sample."""

import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..cache_file.reader import FeatureCache
from ..cache_file.record import Record
from ..cache_file.writer import write_cache
from ..disk.atomic import check_target
from ..errors import AqaError, CacheError, some
from ..extraction.existing import not_extracted
from ..extraction.numerics import mixed, of_computing
from ..extraction.publishing import Published
from ..remote.fetched import MOST_BYTES
from ..remote.place import Item
from ..remote.trouble import StoreError
from ..video.mended import DECODING
from .part_place import PartPlace, Wanted
from .parts import DamagedPart, PartName, key_of_record
from .standing import hosts_of

_log = logging.getLogger(__name__)

_MOST_OPEN = 32

Opened = Callable[[str], contextlib.AbstractContextManager[FeatureCache]]


def merge_place(
    url: str,
    output: str | Path,
    *,
    dtype: str = "auto",
    allow_mixed: bool = False,
    cache_bytes: int = MOST_BYTES,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Published:
    """Publish what the parts of a place hold.

    In memory are the annotations and a few parts. Parts lie on this machine up to a bound, and are fetched
    once where all of them fit.

    Args:
        output: the cache; one that is there is replaced if it holds no other sample.
        dtype: of its features, see `write_cache`; allow_mixed: whether they may have been made with different
            numerics.
        cache_bytes: of parts, that are on this machine at once.
        progress: told how many parts have been looked at, of how many.

    Raises:
        AqaError: there are no parts, they cannot be in one file, or it cannot be written.
    """
    output = Path(output)
    check_target(output, "feats.h5")
    place = PartPlace(url)
    place.put_kept()
    wanted = place.wanted()
    if wanted is None:
        raise CacheError(f"{place.url}: holds no extraction (no wanted.h5); nothing to merge")
    parts = place.parts(wanted.spec)
    if not parts:
        raise CacheError(f"{place.url}: holds no parts yet; nothing to merge")
    _check_replaced(output, wanted)
    names = list(map(str, parts))
    with place.opened({str(name): item for name, item in parts.items()}, names, cache_bytes) as opened:
        found = _Found(wanted, place, parts, opened, progress)
        chosen = found.choose(allow_mixed)
        largest = max(item.size for item in parts.values())
        most_open = max(1, min(_MOST_OPEN, cache_bytes // (2 * largest)))  # what is open is not evicted
        records = _Records(wanted, chosen, found.failed, opened, most_open)
        try:
            stored = write_cache(
                output,
                records,
                wanted.spec,
                views=wanted.views,
                numerics=found.numerics(chosen),
                dtype=dtype,
            )
        finally:
            records.close()
    if stored == np.float32 and dtype == "auto":
        _log.info("Stored as float32: float16 cannot hold every feature.")
    return Published(len(wanted.samples), records.failures, records.missing, str(stored))


@dataclass(frozen=True)
class _Entry:
    """Where a record lies: in which part, and at which place in it."""

    part: PartName
    index: int


class _Found:
    """What the parts hold of the wanted samples.

    Attributes:
        failed: by id, where a sample is that failed.
    """

    def __init__(
        self,
        wanted: Wanted,
        place: PartPlace,
        parts: Mapping[PartName, Item],
        opened: Opened,
        progress: Callable[[int, int], None],
    ):
        self._wanted, self._place, self._parts = wanted, place, parts
        self._keys = {key[0]: key for key in wanted.keys()}
        self._made: dict[str, dict[str, _Entry]] = {}  # by the digest of the numerics, by id
        self._numerics: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, _Entry] = {}
        damaged: list[PartName] = []
        for number, name in enumerate(parts, 1):
            try:
                with opened(str(name)) as cache:
                    self._take(name, cache)
            except DamagedPart as error:
                damaged.append(name)
                _log.info(f"{error}.")
            except FileNotFoundError:
                _log.info(f"{place.url}/{name}: was removed meanwhile.")
            progress(number, len(parts))
        self._remove(damaged)

    def choose(self, allow_mixed: bool) -> dict[str, _Entry]:
        """By id, where the features of each sample are: with the numerics that most samples have; of others
        what these lack, if that is allowed.

        Raises:
            CacheError: no numerics have all of them, and it is not.
        """
        ranked = sorted(self._made, key=lambda digest: (-len(self._made[digest]), digest))
        chosen = dict(self._made[ranked[0]]) if ranked else {}
        for digest in ranked[1:]:
            lacking = self._made[digest].keys() - chosen.keys()
            if lacking and not allow_mixed:
                hosts = hosts_of(self._place, self._parts, digest)
                first = hosts_of(self._place, self._parts, ranked[0])
                raise CacheError(
                    mixed(
                        self._place.url,
                        self._numerics[ranked[0]],
                        self._numerics[digest],
                        f"{len(lacking)} sample(s) that {hosts} made",
                    )
                    + f"\nHere, now: of the {len(chosen)} sample(s) that {first} made. To make the others in"
                    " the same way, run aqa-extract there again."
                )
            chosen |= {sample_id: self._made[digest][sample_id] for sample_id in lacking}
        return chosen

    def numerics(self, chosen: Mapping[str, _Entry]) -> dict[str, Any]:
        """The record of the published file, as one machine writes it."""
        used = {entry.part.numerics for entry in chosen.values()}
        ranked = sorted(used, key=lambda digest: (-len(self._made[digest]), digest))
        records = [self._numerics[digest] for digest in ranked]
        if not records:
            return {}
        more = {"mixed_with": records[1:]} if len(records) > 1 else {}
        return {**records[0], **more, "decoding": DECODING}

    def _take(self, name: PartName, cache: FeatureCache) -> None:
        self._wanted.spec.check_alike(
            cache.spec,
            f"{self._place.url}/{name}: was made otherwise than it is named (wanted, there)",
        )
        if cache.views != self._wanted.views:
            raise CacheError(
                f"{self._place.url}/{name}: has the views {'; '.join(cache.views)}; move it away"
            )
        self._numerics.setdefault(name.numerics, of_computing(cache.numerics))
        made = self._made.setdefault(name.numerics, {})
        for index in range(len(cache)):
            record = cache.record(index)
            sample_id = record.sample.sample_id
            if self._keys.get(sample_id) != key_of_record(record):
                continue  # not wanted any more, or of another stretch or file
            (made if record.ok else self.failed).setdefault(sample_id, _Entry(name, index))
        if not made:
            del self._made[name.numerics]

    def _remove(self, damaged: Sequence[PartName]) -> None:
        """So that the next extraction sees that they are not there."""
        if not damaged:
            return
        try:
            for name in damaged:
                self._place.place.remove(str(name))
        except StoreError as error:
            _log.info(f"{error}. Remove the damaged part(s) by hand, so that they are made anew.")
            return
        _log.info(f"Removed {len(damaged)} damaged part(s): run aqa-extract again to make them anew.")


class _Records:
    """The records in the wanted order, read while they are gone through, any number of times.

    Attributes:
        failures: sample_id and reason of those that failed; missing: ids of those without a record.
    """

    def __init__(
        self,
        wanted: Wanted,
        chosen: Mapping[str, _Entry],
        failed: Mapping[str, _Entry],
        opened: Opened,
        most_open: int,
    ):
        self._wanted, self._chosen, self._failed = wanted, chosen, failed
        self._opened, self._most_open = opened, most_open
        self._open: OrderedDict[PartName, tuple[FeatureCache, contextlib.ExitStack]] = OrderedDict()
        self.failures: list[tuple[str, str]] = []
        self.missing: list[str] = []

    def __iter__(self) -> Iterator[Record]:
        self.failures, self.missing = [], []
        for sample in self._wanted.samples:
            entry = self._chosen.get(sample.sample_id) or self._failed.get(sample.sample_id)
            if entry is None:
                self.missing.append(sample.sample_id)
                yield not_extracted(sample, len(self._wanted.views))
                continue
            record = replace(self._cache(entry.part).record(entry.index), sample=sample)
            if not record.ok:
                self.failures.append((sample.sample_id, record.reason))
            yield record

    def close(self) -> None:
        for _, stack in self._open.values():
            stack.close()
        self._open.clear()

    def _cache(self, part: PartName) -> FeatureCache:
        if part not in self._open:
            if len(self._open) >= self._most_open:
                self._open.popitem(last=False)[1][1].close()
            stack = contextlib.ExitStack()
            try:
                self._open[part] = stack.enter_context(self._opened(str(part))), stack
            except FileNotFoundError:
                raise AqaError(f"{part}: was removed while it was merged; merge again") from None
        self._open.move_to_end(part)
        return self._open[part][0]


def _check_replaced(output: Path, wanted: Wanted) -> None:
    """Nothing that only the old file holds is replaced."""
    if not output.exists():
        return
    with FeatureCache(output) as before:
        wanted.spec.check_alike(
            before.spec,
            f"{output}: exists and was made otherwise than the parts (parts, there)",
            "Give another name, or move the file away.",
        )
        kept = {sample.sample_id for index, sample in enumerate(before.samples) if before.has_features(index)}
    if lost := kept - {sample.sample_id for sample in wanted.samples}:
        raise CacheError(
            f"{output}: exists and holds {len(lost)} sample(s) that are not wanted of the place:"
            f" {some(sorted(lost))}; give another name, or move the file away"
        )
