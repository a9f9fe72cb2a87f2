"""The parts of an extraction that has not ended: finished samples beside the cache they will be published in."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .annotations import Sample
from .cache import FeatureCache, Record, write_cache
from .configuration import ExtractionConfig
from .errors import AqaError, CacheError
from .meaning import Meaning
from .pipeline import video_stamp
from .sources import Source

PART_SAMPLES, PART_SECONDS = 64, 30.0


class Parts:
    """Finished samples on their way into a cache, saved every `PART_SAMPLES` samples or `PART_SECONDS` seconds.

    A part is a small cache of the same format in `NAME.h5.parts/`, written at once; stopping loses at most what came after the
    last one.

    Args:
        output: the cache they belong to.
        meaning, numerics: of the features.
    """

    def __init__(self, output: Path, meaning: Meaning, numerics: dict):
        self.output, self.meaning, self.numerics = output, meaning, numerics
        self.folder = output.with_name(output.name + ".parts")
        self._unsaved: list[Record] = []
        self._saved_at = time.monotonic()
        self._number = 0

    def add(self, record: Record) -> None:
        """Keep a finished sample, and save a part if it is time for one."""
        self._unsaved.append(record)
        if len(self._unsaved) >= PART_SAMPLES or time.monotonic() - self._saved_at > PART_SECONDS:
            self.save()

    def save(self) -> None:
        """Save what has not been saved yet.

        Raises:
            AqaError: the folder cannot be written to.
        """
        if not self._unsaved:
            return
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise AqaError(
                f"{self.folder}: cannot be made ({error.strerror}); choose another folder for the output"
            ) from None
        self._number += 1
        # Start time and process in the name, so that no run writes over a part of another.
        path = self.folder / f"{time.time_ns():020d}-{os.getpid()}-{self._number:06d}.h5"
        write_cache(path, self._unsaved, self.meaning, numerics=self.numerics, dtype="float32")
        self._unsaved, self._saved_at = [], time.monotonic()

    def remove(self) -> None:
        """Throw the parts away, once the cache is published."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def reusable(
        self, source: Source, config: ExtractionConfig, say: Callable[[str], None]
    ) -> tuple[dict[str, Record], list[dict]]:
        """Records of earlier runs whose frames and video have not changed, with the annotations of now.

        Args:
            config: for `prune`, `allow_mixed` and `dtype`.
            say: told of features that are kept without their video, and of samples that are dropped.

        Returns:
            The records by sample_id, and the numerics other than those of now that made some of them.

        Raises:
            CacheError: they mean something else, were computed otherwise, or would be thrown away.
        """
        earlier, mixed_with = self._read_earlier(config)
        self._check_dropped(earlier.keys() - {sample.sample_id for sample in source.samples}, config, say)
        kept, gone = {}, []
        for sample in source.samples:
            record = earlier.get(sample.sample_id)
            if record is None or _frames_of(record.sample) != _frames_of(sample):
                continue
            if not source.path(sample).exists():
                gone.append(sample)
            elif (record.video_size, record.video_mtime_ns) != video_stamp(source.path(sample)):
                continue
            kept[sample.sample_id] = replace(record, sample=sample)
        if gone:
            say(
                f"{len(gone)} samples keep the features they have, though their videos are not there any more: "
                f"{gone[0].sample_id} ({gone[0].video}){', …' if len(gone) > 1 else ''}"
            )
        return kept, mixed_with if kept else []

    def _read_earlier(self, config: ExtractionConfig) -> tuple[dict[str, Record], list[dict]]:
        earlier: dict[str, Record] = {}
        mixed_with: list[dict] = []
        for path in [self.output, *sorted(self.folder.glob("*.h5"))]:
            if not path.exists():
                continue
            with FeatureCache(path) as cache:
                self._check_meaning(cache, config)
                theirs = {name: value for name, value in cache.numerics.items() if name != "mixed_with"}
                others = cache.numerics.get("mixed_with", [])
                if theirs != self.numerics and len(cache):
                    self._check_numerics(path, theirs, config)
                    others = [theirs, *others]
                mixed_with += [one for one in others if one not in mixed_with]
                earlier.update((record.sample.sample_id, record) for record in cache.records() if record.ok)
        return earlier, mixed_with

    def _check_meaning(self, cache: FeatureCache, config: ExtractionConfig) -> None:
        path = cache.path
        if differences := self.meaning.differences(cache.meaning):
            raise CacheError(
                f"{path}: exists and was made otherwise than asked for now (asked for, there):\n  "
                + "\n  ".join(differences)
                + "\nGive another output name, or move the file away."
            )
        if len(cache.views) > 1:
            raise CacheError(
                f"{path}: has {len(cache.views)} views, this program adds to caches of one; give another name"
            )
        if path == self.output and config.dtype == "float32" and cache.dtype != "float32" and len(cache):
            raise CacheError(
                f"{path}: holds features rounded to float16, which --dtype float32 cannot undo; give another name"
            )

    def _check_numerics(self, path: Path, theirs: dict, config: ExtractionConfig) -> None:
        if config.allow_mixed:
            return
        differing = [
            f"{name}: {self.numerics.get(name)}, {theirs.get(name)}"
            for name in sorted(self.numerics.keys() | theirs.keys())
            if self.numerics.get(name) != theirs.get(name)
        ]
        raise CacheError(
            f"{path}: its features were computed otherwise than they would be now (now, there):\n  "
            + "\n  ".join(differing)
            + "\nThey mean the same and differ in their last bits; --allow-mixed accepts both in one file."
        )

    def _check_dropped(self, dropped: set[str], config: ExtractionConfig, say: Callable[[str], None]) -> None:
        if not dropped:
            return
        if not config.prune:
            raise CacheError(
                f"{self.output}: an earlier run extracted {len(dropped)} sample(s) that are not asked for now: {min(dropped)}"
                f"{', …' if len(dropped) > 1 else ''}. Give another output name to keep them, or --prune to drop them."
            )
        say(
            f"Dropped from {self.output.name}, since no longer asked for: {len(dropped)} sample(s), {min(dropped)}"
            f"{', …' if len(dropped) > 1 else ''}"
        )


def _frames_of(sample: Sample) -> tuple:
    return sample.video, sample.start_frame, sample.end_frame
