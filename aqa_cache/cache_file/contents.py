"""What is inside a feature cache, for a person who was handed one. Features themselves are not read."""

import statistics
from collections import Counter
from dataclasses import asdict
from typing import Any

from ..annotations import class_names, extra_columns
from .reader import FeatureCache


def provenance(cache: FeatureCache) -> dict[str, Any]:
    """What the features are and what made them, as JSON holds it."""
    return {
        **asdict(cache.spec),
        "tuned": cache.spec.tuned and cache.spec.tuned.record(),
        "fingerprint": cache.fingerprint,
        "numerics": cache.numerics,
        "made_by": cache.made_by,
        "views": cache.views,
        "dtype": str(cache.dtype),
    }


def contents(cache: FeatureCache) -> dict[str, Any]:
    """Everything that `aqa-data show` shows, as JSON holds it.

    Returns:
        `file` and `bytes`; `provenance`; `samples`, of which `failed`; `clips` by view, over the samples that
        have it (`samples`, `total`, and the `min`, `median` and `max` of a sample);
        `unseen_frames`, see there; `splits`, one entry per split with its counts, the samples without split
        under the name ''; `final_score` (`min`, `mean`, `std`, `max` in points; null without scores);
        `caption_words` (`min`, `median`, `max`; null without captions); `classes`, by column the samples of
        every class; `extra` columns; `failures` with
        `sample_id` and `reason`.
    """
    samples = cache.samples
    scores = [sample.final_score for sample in samples if sample.final_score is not None]
    words = [len(sample.caption.split()) for sample in samples if sample.caption]
    classes = {}
    for name in class_names(samples):
        tally = Counter(sample.classes[name] for sample in samples if name in sample.classes)
        classes[name] = dict(sorted(tally.items()))
    return {
        "file": cache.path.name,
        "bytes": cache.file.id.get_filesize(),
        "provenance": provenance(cache),
        "samples": len(cache),
        "failed": sum(bool(reason) for reason in cache.reasons),
        "clips": {view: _clips(cache, number) for number, view in enumerate(cache.views)},
        "unseen_frames": unseen_frames(cache),
        "splits": [_split(cache, split) for split in dict.fromkeys(sample.split for sample in samples)],
        "final_score": (
            {
                "min": min(scores),
                "mean": statistics.fmean(scores),
                "std": statistics.pstdev(scores),
                "max": max(scores),
            }
            if scores
            else None
        ),
        "caption_words": (
            {"min": min(words), "median": statistics.median(words), "max": max(words)} if words else None
        ),
        "classes": classes,
        "extra": extra_columns(samples),
        "failures": [
            {"sample_id": sample.sample_id, "reason": reason}
            for sample, reason in zip(samples, cache.reasons, strict=True)
            if reason
        ],
    }


def unseen_frames(cache: FeatureCache) -> dict[str, Any] | None:
    """How many annotated frames no clip of the plain view takes.

    Returns:
        `samples` whose end is annotated and whose clips are known, `frames` of them, and those `unseen`; None
        where there is no such sample.
    """
    span = cache.spec.row_span
    if span is None:
        return None
    counted = total = seen = 0
    for index, sample in enumerate(cache.samples):
        if sample.end_frame is None or not cache.has_features(index):
            continue
        firsts = cache.record(index).views[0].first_frame
        if (firsts < 0).any():
            continue
        start, end = sample.start_frame or 0, sample.end_frame
        counted, total, reached = counted + 1, total + end - start, start
        for first in sorted(firsts.tolist()):
            seen += max(0, min(first + span, end) - max(first, reached))
            reached = max(reached, first + span)
    return {"samples": counted, "frames": total, "unseen": total - seen} if counted else None


def said_unseen(unseen: dict[str, Any] | None) -> str | None:
    """In words; None where every frame was seen or that is not known."""
    if not unseen or not unseen["unseen"]:
        return None
    share = 100 * unseen["unseen"] / unseen["frames"]
    return (
        f"no clip saw {unseen['unseen']:,} of {unseen['frames']:,} annotated frames ({share:.1f} %, of"
        f" {unseen['samples']:,} samples whose end is annotated)"
    )


def _clips(cache: FeatureCache, view: int) -> dict[str, Any]:
    counts = [int(count) for count in cache.lengths[:, view] if count > 0]
    sizes = {"min": min(counts), "median": statistics.median(counts), "max": max(counts)} if counts else {}
    return {"samples": len(counts), "total": sum(counts), **sizes}


def _split(cache: FeatureCache, split: str | None) -> dict[str, Any]:
    members = [(index, sample) for index, sample in enumerate(cache.samples) if sample.split == split]
    samples = [sample for _, sample in members]
    return {
        "split": split or "",
        "samples": len(samples),
        "with_features": sum(cache.has_features(index) for index, _ in members),
        "groups": len({sample.group for sample in samples if sample.group}),
        "final_score": sum(sample.final_score is not None for sample in samples),
        "difficulty": sum(sample.difficulty is not None for sample in samples),
        "judges": sum(bool(sample.judges) for sample in samples),
        "classes": sum(bool(sample.classes) for sample in samples),
        "captions": sum(bool(sample.caption) for sample in samples),
    }
