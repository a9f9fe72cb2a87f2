"""What earlier runs, and other shards of this one, have finished: the published cache and the parts beside
it.
"""

import collections
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..annotations import Sample
from ..cache_file.feature_spec import FeatureSpec
from ..cache_file.reader import FeatureCache
from ..cache_file.record import Record
from ..errors import CacheError
from ..video.mended import DECODING, why_mended
from ..video.outside import videos_outside
from .numerics import decoding_of, of_computing
from .source import Source

_NOT_EXTRACTED = "not extracted yet; run the same aqa-extract command again"
_OPEN_FILES, _AWAY = 64, (0, 0)


@dataclass(frozen=True)
class _Entry:
    """Where a sample's record lies, of which frames of which file it is, and by which version of decoding."""

    path: Path
    index: int
    ok: bool
    frames: tuple
    stamp: tuple[int, int]
    sha256: str
    decoding: int


class ExistingRecords:
    """The newest record of every sample in the output and its parts; features are read when they are asked
    for.

    Args:
        output: the published cache, if there is one.
        parts: paths of the parts, oldest first.
        spec, views: what the records must have; None: those of the first file.

    Attributes:
        spec (FeatureSpec), views (list[str]): of all of them.
        published (list[Sample]): the samples of the output, in its order; empty if there is none.
        dtype: of the output's features; None if there is none.

    Raises:
        CacheError: a file is damaged, its features were made in another way, or has other views.
    """

    def __init__(
        self,
        output: Path,
        parts: Sequence[Path],
        spec: FeatureSpec | None = None,
        views: Sequence[str] | None = None,
    ):
        self.output = output
        self.spec, self.views = spec, None if views is None else list(views)
        self.published: list[Sample] = []
        self.dtype = None
        self._entries: dict[str, _Entry] = {}
        self._numerics: dict[Path, list[dict[str, Any]]] = {}
        self._open: collections.OrderedDict[Path, FeatureCache] = collections.OrderedDict()
        # Read to the end from the file that was opened: another may be published at its path meanwhile. Parts
        # are never written again.
        self._published_cache: FeatureCache | None = None
        try:
            if output.exists():
                self._published_cache = FeatureCache(output)
                self._take(self._published_cache)
            for path in parts:
                with FeatureCache(path) as cache:
                    self._take(cache)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._published_cache is not None:
            self._published_cache.close()
        for cache in self._open.values():
            cache.close()

    def sample_ids(self) -> set[str]:
        """Of the samples that have features."""
        return {sample_id for sample_id, entry in self._entries.items() if entry.ok}

    def videos_of_earlier_decoding(self) -> int:
        """How many videos `current` looks at, since an earlier version of decoding gave their frames."""
        return len(
            {entry.frames[0] for entry in self._entries.values() if entry.ok and entry.decoding < DECODING}
        )

    def numerics_of(self, sample_ids: Iterable[str]) -> list[dict[str, Any]]:
        """The numerics that made the features of these samples, without what they say of decoding, the oldest
        first.
        """
        entries = (self._entries.get(sample_id) for sample_id in sample_ids)
        paths = {entry.path for entry in entries if entry is not None and entry.ok}
        found: list[dict[str, Any]] = []
        for numerics in (
            numerics for path in self._numerics if path in paths for numerics in self._numerics[path]
        ):
            if numerics not in found:
                found.append(numerics)
        return found

    def current(
        self, samples: Sequence[Sample], source: Source | None = None, hashes: Mapping[str, str] | None = None
    ) -> "Current":
        """Which samples have a record of the frames and the video that they have now.

        Features of an earlier version of decoding count where a look at the video shows nothing that was
        wrong then, or where it cannot be looked at.

        Args:
            source: of the videos, whose sizes and times are looked at; None: records are believed.
            hashes: per video its SHA-256, where it was computed; a record that has one is then compared by it
                alone.
        """
        stamps: dict[str, tuple[int, int]] = {}
        current = Current([], [], [], {}, [])
        for sample in samples:
            entry = self._entries.get(sample.sample_id)
            if entry is None or entry.frames != _frames_of(sample):
                current.missing.append(sample)
                continue
            if source is not None and sample.video not in stamps:
                stamps[sample.video] = source.stamp(sample.video)
            stamp = stamps.get(sample.video, entry.stamp)
            if hashes is not None and entry.sha256:
                # Those of other shards are not hashed here, and are theirs to look after.
                same = hashes.get(sample.video, entry.sha256) == entry.sha256
            else:
                same = stamp in (entry.stamp, _AWAY)
            if not same or (not entry.ok and entry.path == self.output):
                current.missing.append(sample)
            elif entry.ok:
                there = source is not None and not source.far and stamp != _AWAY
                if entry.decoding < DECODING and there and (why := source.why_mended(sample.video)):
                    current.mended[sample.sample_id] = why
                    current.missing.append(sample)
                    continue
                current.done.append(sample)
                if stamp == _AWAY:
                    current.away.append(sample)
                if entry.decoding < DECODING and not there:
                    current.not_looked_at.append(sample.sample_id)
        return current

    def publishes(self, samples: Sequence[Sample]) -> bool:
        """Whether the output has these very samples with these very annotations, in this order."""
        # Else by their text: a mark that is not given is NaN, which does not equal itself.
        return self.published == list(samples) or list(map(repr, self.published)) == list(map(repr, samples))

    def failures(self, samples: Sequence[Sample]) -> list[tuple[str, str]]:
        """sample_id and reason of those that have a record which says why they failed."""
        records = ((sample, self.record(sample)) for sample in samples)
        return [
            (sample.sample_id, record.reason)
            for sample, record in records
            if record is not None and not record.ok
        ]

    def record(self, sample: Sample) -> Record | None:
        """The record of one sample, with the annotations given; None if there is none of its frames."""
        entry = self._entries.get(sample.sample_id)
        if entry is None or entry.frames != _frames_of(sample):
            return None
        return replace(self._cache(entry.path).record(entry.index), sample=sample)

    def _cache(self, path: Path) -> FeatureCache:
        if path == self.output and self._published_cache is not None:
            return self._published_cache
        if path not in self._open:
            if len(self._open) >= _OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            self._open[path] = FeatureCache(path)
        self._open.move_to_end(path)
        return self._open[path]

    def _take(self, cache: FeatureCache) -> None:
        path = cache.path
        self.spec, self.views = self.spec or cache.spec, self.views or cache.views
        self.spec.check_alike(
            cache.spec,
            f"{path}: exists and was made otherwise than asked for now (asked for, there)",
            "Give another output name, or move the file away.",
        )
        if cache.views != self.views:
            raise CacheError(
                f"{path}: has the views {'; '.join(cache.views)}, asked for now: {'; '.join(self.views)};"
                " give another output name, or the same --views"
            )
        if path == self.output:
            self.published, self.dtype = cache.samples, cache.dtype
        theirs = {name: value for name, value in cache.numerics.items() if name != "mixed_with"}
        self._numerics[path] = list(map(of_computing, [*cache.numerics.get("mixed_with", []), theirs]))
        decoding, earlier = decoding_of(cache.numerics), set(cache.numerics.get("not_looked_at", []))
        for index, sample in enumerate(cache.samples):
            if cache.reasons[index].endswith(_NOT_EXTRACTED):
                continue
            stamp = int(cache.video_size[index]), int(cache.video_mtime_ns[index])
            self._entries[sample.sample_id] = _Entry(
                path,
                index,
                not cache.reasons[index],
                _frames_of(sample),
                stamp,
                cache.video_sha256[index],
                1 if sample.sample_id in earlier else decoding,
            )


@dataclass(frozen=True)
class Current:
    """How far samples are; one that is in neither list has failed in an extraction that is not published yet.

    Args:
        done: have features; away: those of them whose videos are not there any more.
        missing: nobody has been through with them as they are now, or an earlier extraction failed.
        mended: by id, why those of them whose videos have not changed may have features of wrong frames.
        not_looked_at: ids of those done whose features are of an earlier version of decoding, and whose
            videos cannot be looked at.
    """

    done: list[Sample]
    away: list[Sample]
    missing: list[Sample]
    mended: dict[str, str]
    not_looked_at: list[str]


class Records:
    """The records of samples, in their order, read while they are gone through, any number of times.

    Args:
        outdated: ids of samples whose records are of other frames or another video, and so are none.
        hashes: per video its SHA-256, for records that have none.

    Attributes:
        failures: sample_id and reason of those that failed; missing: ids of those without a record.
    """

    def __init__(
        self,
        existing: ExistingRecords,
        samples: Sequence[Sample],
        outdated: Collection[str],
        hashes: Mapping[str, str],
    ):
        self._existing, self._samples, self._outdated, self._hashes = existing, samples, outdated, hashes
        self.failures: list[tuple[str, str]] = []
        self.missing: list[str] = []

    def __iter__(self) -> Iterator[Record]:
        self.failures, self.missing = [], []
        for sample in self._samples:
            record = self._existing.record(sample)
            if record is not None and record.ok and sample.sample_id in self._outdated:
                record = None
            if record is None:
                self.missing.append(sample.sample_id)
                record = not_extracted(sample, len(self._existing.views))
            elif not record.ok:
                self.failures.append((sample.sample_id, record.reason))
            if not record.video_sha256 and record.ok and sample.video in self._hashes:
                record = replace(record, video_sha256=self._hashes[sample.video])
            yield record


def not_extracted(sample: Sample, views: int, stamp: tuple[int, int] = (0, 0)) -> Record:
    """The record of a sample that nobody has extracted.

    Args:
        stamp: of its video, see `video_stamp`.
    """
    reason = f"{sample.sample_id} ({sample.video}): {_NOT_EXTRACTED}"
    return Record(sample, [None] * views, reason, *stamp)


def wrongly_made(cache: FeatureCache, videos: Path) -> tuple[list[tuple[Sample, str]], list[Sample]]:
    """The samples of a cache that an earlier version of decoding may have given wrong frames, each with what
    its video is, and those of that version whose videos are not there to be looked at. A name in a cache does
    not lead out of the folder.

    Args:
        videos: the folder that the names of videos are relative to.
    """
    outside = set(videos_outside(videos, (sample.video for sample in cache.samples)))
    earlier = set(cache.numerics.get("not_looked_at", []))
    old = decoding_of(cache.numerics) < DECODING
    found, unseen = [], []
    for index, sample in enumerate(cache.samples):
        if not cache.has_features(index) or not (old or sample.sample_id in earlier):
            continue
        if sample.video in outside or not (videos / sample.video).exists():
            unseen.append(sample)
        elif why := why_mended(videos / sample.video):
            found.append((sample, why))
    return found, unseen


def _frames_of(sample: Sample) -> tuple:
    return sample.video, sample.start_frame, sample.end_frame
