"""Samples on both sides of a split, found by id and by the frames of a video that they share."""

import math
import posixpath
import statistics
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aqa_cache.annotations import SPLITS, Sample
from aqa_cache.cache_file.reader import FeatureCache

# ends the sample_id of a test row whose action is also a training row (`aqa-data mtl-aqa`)
TEST_COPY = "@test"

SAME_ID, SAME_FRAMES, OVERLAPPING = "the same id", "the same frames", "overlapping frames"
FINE_TUNED, CHOSEN = "the backbone was fine-tuned on it", "an epoch of the backbone was chosen on it"
OF_BACKBONE = (FINE_TUNED, CHOSEN)

Frames = tuple[float, float]  # [start, end) of a video; infinite where the end is not known


@dataclass(frozen=True)
class Leak:
    """A sample that shares frames with a sample of another split, or that a fine-tuned backbone has learned
    from.

    Args:
        sample_id, split: the one that must not have been seen: of `test` before `val` before `train`.
        other, other_split: the sample it shares most with, if many: the one that reaches furthest into it. Of
            a backbone: the sample as the fine-tuning had it, among its `train` or its `val`.
        video: of both.
        why: `SAME_ID` (a marked copy, with other frames), `SAME_FRAMES`, or `OVERLAPPING`; `FINE_TUNED` or
            `CHOSEN`.
        frames: how many frames both have; None where the length of the video decides it.
    """

    sample_id: str
    split: str
    other: str
    other_split: str
    video: str
    why: str
    frames: int | None


def video_of(sample: Sample) -> str:
    """What a sample's video is known by: its path, however that is written.

    Links and absolute paths have the name of their file already (`aqa_cache.video.same_file`).
    """
    return posixpath.normpath(sample.video)


def samples_by_content(cache: FeatureCache) -> list[Sample]:
    """The samples of a cache; copies of a video, where it has their hashes, under the first's name."""
    if not any(cache.video_sha256):
        return cache.samples
    first: dict[str, str] = {}
    names = [
        first.setdefault(sha256, sample.video) if sha256 else sample.video
        for sample, sha256 in zip(cache.samples, cache.video_sha256, strict=True)
    ]
    # Copied only where it differs: this is called often, for all samples.
    return [
        sample if sample.video == name else replace(sample, video=name)
        for sample, name in zip(cache.samples, names, strict=True)
    ]


def find_leaks(
    samples: Sequence[Sample], split: Mapping[str, str | None], frames: Mapping[str, Frames]
) -> list[Leak]:
    """The samples that share frames with a sample of another split, each once per other split, in their
    order.

    Args:
        split: by sample_id.
        frames: by sample_id; `frames_of` has them.
    """
    by_video = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        if split[sample.sample_id] is not None:
            by_video[video_of(sample)][split[sample.sample_id]].append(sample)
    ids = {sample.sample_id: sample for sample in samples}
    found = {}
    for sides in by_video.values():
        for place, mine in enumerate(SPLITS):
            for other in SPLITS[:place]:
                if sides[mine] and sides[other]:
                    find = _Overlaps(sides[other], frames)
                    for sample in sides[mine]:
                        if overlap := find(sample):
                            found[sample.sample_id, other] = _leak(sample, *overlap, split, frames)
    for sample in samples:
        original = ids.get(sample.sample_id.removesuffix(TEST_COPY))
        side = split[original.sample_id] if original else None
        if (
            split[sample.sample_id] == "test"
            and side in ("train", "val")
            and (sample.sample_id, side) not in found
        ):
            found[sample.sample_id, side] = Leak(
                sample.sample_id, "test", original.sample_id, side, sample.video, SAME_ID, 0
            )
    place = {sample.sample_id: number for number, sample in enumerate(samples)}
    return [found[key] for key in sorted(found, key=lambda key: (place[key[0]], SPLITS.index(key[1])))]


def find_backbone_leaks(
    samples: Sequence[Sample], split: Mapping[str, str | None], tuned: Mapping[str, Sequence[str]]
) -> list[Leak]:
    """Test samples that the backbone was fine-tuned on or an epoch of it chosen on, and validation samples
    that it was fine-tuned on.

    They are found by sample_id alone, in the order of `samples`, each once; a marked copy is what it is a
    copy of.

    Args:
        split: by sample_id.
        tuned: `trained_on` and `chosen_on`, sample_ids; empty if the backbone was not fine-tuned.
    """
    trained, chosen = (
        {name.removesuffix(TEST_COPY): name for name in tuned.get(key, ())}
        for key in ("trained_on", "chosen_on")
    )
    found = []
    for sample in samples:
        name, side = sample.sample_id.removesuffix(TEST_COPY), split[sample.sample_id]
        if side in ("test", "val") and name in trained:
            found.append(Leak(sample.sample_id, side, trained[name], "train", sample.video, FINE_TUNED, None))
        elif side == "test" and name in chosen:
            found.append(Leak(sample.sample_id, side, chosen[name], "val", sample.video, CHOSEN, None))
    return found


def neighbours(
    samples: Sequence[Sample], split: Mapping[str, str | None], frames: Mapping[str, Frames]
) -> dict[str, float] | None:
    """Test samples whose action just before or just after in the same video is a training sample.

    Same light, same camera, often the same round: not a leak, but easier than another day.

    Args:
        samples: without those that leak; a copy would stand between a sample and its neighbour.

    Returns:
        `n` of `of` test samples, and the `smallest` and `median` gap to the nearer such sample, in frames.
        None where there is no test sample with known frames.
    """
    by_video = defaultdict(list)
    for sample in samples:
        if split[sample.sample_id] is not None and math.isfinite(frames[sample.sample_id][1]):
            by_video[video_of(sample)].append((*frames[sample.sample_id], split[sample.sample_id]))
    gaps, tested = [], 0
    for actions in by_video.values():
        actions.sort()
        for place, (start, end, side) in enumerate(actions):
            if side != "test":
                continue
            tested += 1
            before, after = actions[max(0, place - 1) : place], actions[place + 1 : place + 2]
            gap = [start - other[1] for other in before if other[2] == "train"]
            gap += [other[0] - end for other in after if other[2] == "train"]
            if gap:
                gaps.append(min(gap))
    if not tested:
        return None
    smallest, median = (min(gaps), statistics.median(gaps)) if gaps else (None, None)
    return {"n": len(gaps), "of": tested, "smallest": smallest, "median": median}


def frames_of(
    samples: Sequence[Sample], used: Mapping[str, tuple[int, int]] | None = None
) -> dict[str, Frames]:
    """The frames of each sample by sample_id: those that were used, where they are known, else those
    annotated.
    """
    used = used or {}
    return {
        sample.sample_id: used.get(
            sample.sample_id,
            (sample.start_frame or 0, math.inf if sample.end_frame is None else sample.end_frame),
        )
        for sample in samples
    }


class _Overlaps:
    """Finds the sample of one side that overlaps a given one, without looking at each."""

    def __init__(self, side: Sequence[Sample], frames: Mapping[str, Frames]):
        self._frames = frames
        self._same = {frames[sample.sample_id]: sample for sample in side}
        side = sorted(side, key=lambda sample: frames[sample.sample_id])
        self._starts = [frames[sample.sample_id][0] for sample in side]
        self._furthest = []  # of the samples so far, the one that ends last
        for sample in side:
            last = self._furthest[-1] if self._furthest else sample
            self._furthest.append(max(last, sample, key=lambda one: frames[one.sample_id][1]))

    def __call__(self, sample: Sample) -> tuple[Sample, str] | None:
        start, end = self._frames[sample.sample_id]
        if same := self._same.get((start, end)):
            return same, SAME_FRAMES
        place = bisect_left(self._starts, end)  # the samples before it begin before this one ends
        if place and self._frames[self._furthest[place - 1].sample_id][1] > start:
            return self._furthest[place - 1], OVERLAPPING
        return None


def _leak(
    sample: Sample, other: Sample, why: str, split: Mapping[str, str | None], frames: Mapping[str, Frames]
) -> Leak:
    (start, end), (first, last) = frames[sample.sample_id], frames[other.sample_id]
    common = min(end, last) - max(start, first)
    return Leak(
        sample.sample_id,
        split[sample.sample_id],
        other.sample_id,
        split[other.sample_id],
        sample.video,
        why,
        int(common) if math.isfinite(common) else None,
    )


def frames_of_features(cache: FeatureCache, plain: bool = False) -> dict[str, tuple[int, int]]:
    """First frame, and frame behind the last, that a sample's features were made of, where both are known.

    Args:
        plain: those of the plain view; else of any view.
    """
    length = cache.spec.row_span
    if length is None:
        return {}
    views = slice(1 if plain else None)
    count, offset = cache.lengths[:, views], cache.offset[:, views]
    having = count > 0
    # By turns the rows of one sample and view, and those until the next one's; a row behind the last is none.
    ends = np.stack([offset[having], offset[having] + count[having]], 1).ravel()
    rows = np.append(cache.first_frame, 0)
    first, last = np.full(count.shape, np.iinfo(np.int64).max), np.zeros(count.shape, np.int64)
    if len(ends):
        first[having] = np.minimum.reduceat(rows, ends)[::2]
        last[having] = np.maximum.reduceat(rows, ends)[::2]
    start, stop = first.min(1), last.max(1) + length
    return {
        cache.samples[index].sample_id: (int(start[index]), int(stop[index]))
        for index in np.flatnonzero(having.any(1) & (start >= 0)).tolist()
    }
