"""What is inside a feature cache, for a person who was handed one. Features themselves are not read."""

import statistics
from collections import Counter
from dataclasses import asdict

from ..annotations import class_names, extra_columns
from .reader import FeatureCache


def provenance(cache: FeatureCache) -> dict:
    """What the features are and what made them, as JSON holds it."""
    return {
        **asdict(cache.meaning),
        "tuned": cache.meaning.tuned and cache.meaning.tuned.record(),
        "fingerprint": cache.fingerprint,
        "numerics": cache.numerics,
        "made_by": cache.made_by,
        "views": cache.views,
        "dtype": str(cache.dtype),
    }


def contents(cache: FeatureCache) -> dict:
    """Everything that `aqa-data show` shows, as JSON holds it.

    Returns:
        `file` and `bytes`; `provenance`; `samples`, of which `failed`; `clips` by view, over the samples that
        have it (`samples`, `total`, and the `min`, `median` and `max` of a sample); `splits`, one entry per
        split with its counts, the samples without split under the name ''; `final_score` (`min`, `mean`,
        `std`, `max` in points; null without scores); `caption_words` (`min`, `median`, `max`; null without
        captions); `classes`, by column the samples of every class; `extra` columns; `failures` with
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


def _clips(cache: FeatureCache, view: int) -> dict:
    counts = [int(count) for count in cache.count[:, view] if count > 0]
    sizes = {"min": min(counts), "median": statistics.median(counts), "max": max(counts)} if counts else {}
    return {"samples": len(counts), "total": sum(counts), **sizes}


def _split(cache: FeatureCache, split: str | None) -> dict:
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
