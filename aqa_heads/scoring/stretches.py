"""Stretches of a long video, to find those that look like an action that the run knows."""

import bisect
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aqa_cache.annotations import Sample
from aqa_cache.errors import AqaError

from .made_with import recorded_spec
from .results import Score
from .trained import Trained

MOST, LISTED = 2000, 10
_STEP = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,9})?)\s*(s?)", re.ASCII)
WORTH = (
    "the most like the training samples first, by the share of these that lie as far from the others. That is"
    " no detector (docs/scoring.md says what it is worth): look at each, and score the right one with --start"
    " and --end"
)


@dataclass(frozen=True)
class Step:
    """From the begin of a stretch to that of the next.

    Args:
        in_seconds: else in frames.
    """

    size: float
    in_seconds: bool


def step_of(text: str) -> Step:
    """
    >>> step_of("2s"), step_of("50")
    (Step(size=2.0, in_seconds=True), Step(size=50.0, in_seconds=False))

    Raises:
        AqaError: it is neither seconds nor a number of frames, or 0.
    """
    found = _STEP.fullmatch(text.strip())
    if found is None or not float(found[1]) or (not found[2] and "." in found[1]):
        raise AqaError(f"--every is {text!r}, expected seconds such as 2s, or a number of frames such as 50")
    return Step(float(found[1]), bool(found[2]))


def length_of(runs: Sequence[Trained]) -> int:
    """Frames of a stretch: the window of the clip rule; else as many as the median training sample has.

    Raises:
        AqaError: it is not known how long training samples are.
    """
    spec = recorded_spec(runs[0].config)
    if spec is not None and (window := spec.clip_rule.get("window")):
        return int(window)
    lengths = [length for run in runs for length in run.lengths]
    if not lengths:
        raise AqaError(
            f"--every: {runs[0].path} does not say how long its training samples are; give --start and --end"
        )
    return round(statistics.median(lengths))


def stretches_of(
    path: Path, whole: Sample, step: Step, length: int, stream: int | None = None
) -> list[Sample]:
    """The stretches of a sample, one every step, all of the same length; where the end cuts one short, it
    ends with the last frame.

    Raises:
        AqaError: the video cannot be read, or is shorter than a stretch; or there are more than `MOST`.
    """
    times = None
    if step.in_seconds:
        from aqa_cache.video.times import frame_times

        times = frame_times(path, stream)
        frames = len(times)
    else:
        from aqa_cache.video.probing import probe

        frames = probe(path, stream).frames
    first, end = whole.start_frame or 0, min(frames, frames if whole.end_frame is None else whole.end_frame)
    if end - first < length:
        raise AqaError(
            f"{path}: has {max(0, end - first)} frames there, and a stretch has {length}, as training samples"
            " have; leave --every out"
        )
    begins, number = [first], 1
    while True:
        if times is None:
            begin = first + number * int(step.size)
        else:
            begin = bisect.bisect_left(times, times[first] + number * step.size - 1e-6)
        if begin + length > end:
            begins += [end - length] if begin < end and begins[-1] + length < end else []
            break
        if len(begins) == MOST:
            raise AqaError(
                f"{path}: has more than {MOST} stretches with this --every; give a larger one, or --start and"
                " --end"
            )
        begins += [begin] if begin > begins[-1] else []
        number += 1
    return [
        replace(whole, sample_id=_name(whole, begin, times), start_frame=begin, end_frame=begin + length)
        for begin in begins
    ]


def _name(whole: Sample, begin: int, times: Sequence[float] | None) -> str:
    return f"{whole.sample_id}@{begin}" if times is None else f"{whole.sample_id}@{times[begin]:.1f}s"


def best_fitting(scores: Sequence[Score], length: int) -> list[Score]:
    """At most `LISTED`, the most like training samples first; of those that overlap by more than half a
    stretch the best alone.
    """
    ranked = sorted(scores, key=lambda one: (-_fit(one), one.sample_id))
    found: list[Score] = []
    for score in ranked:
        assert score.frames is not None
        begin = score.frames[0]
        if all(abs(begin - other.frames[0]) >= length / 2 for other in found if other.frames):
            found.append(score)
    return found[:LISTED]


def _fit(score: Score) -> float:
    """The share of training samples that are no more like the others; between equals, the cosine decides."""
    nearest = score.neighbours[0].similarity if score.neighbours else 0.0
    return (score.share_as_far or 0.0) + 1e-6 * nearest
