"""What is wrong with the index and the annotations of a feature cache, a line for each problem that names the
sample it hits.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..annotations import Sample, from_columns, to_columns
from .schema import FEATURES

if TYPE_CHECKING:  # the reader reports these problems
    from .reader import FeatureCache


def sample_problems(
    samples: Sequence[Sample], reasons: Sequence[str], statuses: Sequence[str]
) -> Iterator[str]:
    """Ids that two samples have, statuses that do not fit the reasons, annotations that their columns do not
    admit.
    """
    seen: dict[str, int] = {}
    for number, (sample, reason, status) in enumerate(zip(samples, reasons, statuses, strict=True)):
        name = sample.sample_id
        if name in seen:
            yield f"{name}: samples {seen[name] + 1} and {number + 1} both have this sample_id"
        seen.setdefault(name, number)
        expected = "failed" if reason else "ok"
        if status != expected:
            yield f"{name}: status is {status!r}, expected {expected!r}, as its reason is {reason!r}"
        if _is_odd(sample):
            try:
                from_columns(to_columns([sample]))
            except ValueError as error:
                yield f"{name or f'sample {number + 1}'}: annotation: {error}"


def index_problems(cache: "FeatureCache") -> Iterator[str]:
    """Feature rows that belong to no sample or to two, or are not in the order of samples."""
    rows = cache.file[FEATURES].shape[0]
    there = cache.lengths > 0
    counts, offsets = cache.lengths[there], cache.offset[there]
    # Where the rows of each follow those of the one before, all is right; this look is quick.
    behind = np.cumsum(counts)
    if (
        not np.array_equal(behind - counts, offsets)
        or (behind[-1] if len(behind) else 0) != rows
        or (cache.lengths[~there] != -1).any()
        or (cache.offset[~there] != -1).any()
    ):
        yield from _in_words(cache, rows)


def places(cache: "FeatureCache") -> Iterator[tuple[int, int, str]]:
    """Index of every sample and view, in the order their rows have, and how a problem names them."""
    for index, sample in enumerate(cache.samples):
        for number, view in enumerate(cache.views):
            yield index, number, sample.sample_id + (f" (view {view})" if number else "")


def _is_odd(sample: Sample) -> bool:
    """Whether the columns may not admit an annotation; a quick look for what they hardly ever do not."""
    numbers = (sample.final_score, sample.difficulty, *sample.judges)
    start, end = sample.start_frame, sample.end_frame
    return (
        sample.sample_id in ("", ".", "..")
        or not sample.video
        or any(number is not None and math.isinf(number) for number in numbers)
        or (sample.difficulty is not None and sample.difficulty <= 0)
        or (start is not None and end is not None and end <= start)
    )


def _in_words(cache: "FeatureCache", rows: int) -> Iterator[str]:
    owner = np.full(rows, -1, np.int64)
    previous = 0
    for index, view, name in places(cache):
        offset, count = int(cache.offset[index, view]), int(cache.lengths[index, view])
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
