"""What earlier runs, and other shards of this one, have finished: the published cache and the parts beside it."""

import collections
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .annotations import Sample
from .cache import FeatureCache, Record
from .errors import CacheError
from .meaning import Meaning
from .sources import Source, video_stamp

NOT_EXTRACTED = "not extracted yet; run the same aqa-extract command again"
_OPEN_FILES = 64


@dataclass(frozen=True)
class _Entry:
    """Where a sample's record lies, and of which frames of which file it is."""

    path: Path
    index: int
    ok: bool
    frames: tuple
    stamp: tuple[int, int]
    sha256: str


class Finished:
    """The newest record of every sample in the output and its parts; features are read when they are asked for.

    Args:
        output: the published cache, if there is one.
        parts: paths of the parts, oldest first.
        meaning, views: what the records must have; None: those of the first file.

    Attributes:
        meaning (Meaning), views (list[str]): of all of them.
        published (list[Sample]): the samples of the output, in its order; empty if there is none.
        dtype: of the output's features; None if there is none.

    Raises:
        CacheError: a file is damaged, means something else, or has other views.
    """

    def __init__(
        self, output: Path, parts: Sequence[Path], meaning: Meaning | None = None, views: Sequence[str] | None = None
    ):
        self.output = output
        self.meaning, self.views = meaning, None if views is None else list(views)
        self.published: list[Sample] = []
        self.dtype = None
        self._entries: dict[str, _Entry] = {}
        self._numerics: dict[Path, list[dict]] = {}
        self._open: collections.OrderedDict[Path, FeatureCache] = collections.OrderedDict()
        for path in [output, *parts] if output.exists() else parts:
            with FeatureCache(path) as cache:
                self._take(cache)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for cache in self._open.values():
            cache.close()

    def sample_ids(self) -> set[str]:
        """Of the samples that have features."""
        return {sample_id for sample_id, entry in self._entries.items() if entry.ok}

    def numerics_of(self, sample_ids: Iterable[str]) -> list[dict]:
        """The numerics that made the features of these samples, the oldest first."""
        entries = (self._entries.get(sample_id) for sample_id in sample_ids)
        paths = {entry.path for entry in entries if entry is not None and entry.ok}
        found: list[dict] = []
        for numerics in (numerics for path in self._numerics if path in paths for numerics in self._numerics[path]):
            if numerics not in found:
                found.append(numerics)
        return found

    def reusable(
        self, source: Source, samples: Sequence[Sample], hashes: dict[str, str], say: Callable[[str], None]
    ) -> set[str]:
        """Ids of the samples that need not be extracted: same frames of a video that has not changed, or is away.

        Args:
            samples: those to look at.
            hashes: per video its SHA-256, where it was computed; a record's own, if it has one, then decides.
            say: told of features that are kept without their video.
        """
        stamps: dict[str, tuple[int, int]] = {}
        kept, away = set(), []
        for sample in samples:
            entry = self._entries.get(sample.sample_id)
            if entry is None or not entry.ok or entry.frames != _frames_of(sample):
                continue
            if sample.video not in stamps:
                stamps[sample.video] = video_stamp(source.path(sample))
            stamp = stamps[sample.video]
            if stamp == (0, 0):
                away.append(sample)
            elif entry.sha256 and hashes.get(sample.video):
                if entry.sha256 != hashes[sample.video]:
                    continue
            elif entry.stamp != stamp:
                continue
            kept.add(sample.sample_id)
        if away:
            say(
                f"{len(away)} sample(s) keep the features they have, though their videos are not there any more: "
                f"{away[0].sample_id} ({away[0].video}){', …' if len(away) > 1 else ''}"
            )
        return kept

    def lacking(self, samples: Sequence[Sample]) -> list[Sample]:
        """Those that no process has been through with: without features, and without a part that says why they failed."""

        def through(entry: _Entry | None, sample: Sample) -> bool:
            return entry is not None and entry.frames == _frames_of(sample) and (entry.ok or entry.path != self.output)

        return [sample for sample in samples if not through(self._entries.get(sample.sample_id), sample)]

    def record(self, sample: Sample) -> Record | None:
        """The record of one sample, with the annotations given; None if there is none."""
        entry = self._entries.get(sample.sample_id)
        if entry is None or entry.frames != _frames_of(sample):
            return None
        return replace(self._cache(entry.path).record(entry.index), sample=sample)

    def _cache(self, path: Path) -> FeatureCache:
        if path not in self._open:
            if len(self._open) >= _OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            self._open[path] = FeatureCache(path)
        self._open.move_to_end(path)
        return self._open[path]

    def _take(self, cache: FeatureCache) -> None:
        path = cache.path
        self.meaning, self.views = self.meaning or cache.meaning, self.views or cache.views
        if differences := self.meaning.differences(cache.meaning):
            raise CacheError(
                f"{path}: exists and was made otherwise than asked for now (asked for, there):\n  "
                + "\n  ".join(differences)
                + "\nGive another output name, or move the file away."
            )
        if cache.views != self.views:
            raise CacheError(
                f"{path}: has the views {'; '.join(cache.views)}, asked for now: {'; '.join(self.views)}; give another output name, "
                "or the same --views"
            )
        if path == self.output:
            self.published, self.dtype = cache.samples, cache.dtype
        theirs = {name: value for name, value in cache.numerics.items() if name != "mixed_with"}
        self._numerics[path] = [*cache.numerics.get("mixed_with", []), theirs]
        for index, sample in enumerate(cache.samples):
            if cache.reasons[index].endswith(NOT_EXTRACTED):
                continue
            stamp = int(cache.video_size[index]), int(cache.video_mtime_ns[index])
            self._entries[sample.sample_id] = _Entry(
                path, index, not cache.reasons[index], _frames_of(sample), stamp, cache.video_sha256[index]
            )


class Records:
    """The records of samples, in their order, read while they are gone through, any number of times.

    Attributes:
        failures: sample_id and reason of those that failed; missing: ids of those without a record.
    """

    def __init__(self, finished: Finished, samples: Sequence[Sample]):
        self._finished, self._samples = finished, samples
        self.failures: list[tuple[str, str]] = []
        self.missing: list[str] = []

    def __iter__(self) -> Iterator[Record]:
        self.failures, self.missing = [], []
        for sample in self._samples:
            record = self._finished.record(sample)
            if record is None:
                self.missing.append(sample.sample_id)
                reason = f"{sample.sample_id} ({sample.video}): {NOT_EXTRACTED}"
                record = Record(sample, [None] * len(self._finished.views), reason)
            elif not record.ok:
                self.failures.append((sample.sample_id, record.reason))
            yield record


def _frames_of(sample: Sample) -> tuple:
    return sample.video, sample.start_frame, sample.end_frame
