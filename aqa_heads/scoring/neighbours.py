"""The training samples that are most like a new one, and whether the run learned from it or from what is next
to it.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath

import numpy as np

from aqa_cache.errors import some

from ..evaluation.novelty import share_as_far
from ..runs.training_samples import TrainingSample, directions
from .results import Neighbour
from .trained import Trained

COUNT = 3
UNLIKE = 0.05  # of samples that are like the training samples so many are said not to be
_COMPARED = 10**9  # numbers, at most about so many
Frames = tuple[float, float]


def neighbours_of(
    runs: Sequence[Trained], encoded: Sequence[np.ndarray | None], apart_from: frozenset[str] = frozenset()
) -> tuple[Neighbour, ...]:
    """The three nearest by the cosine of the encoder's outputs, averaged over the runs that know them.

    Args:
        encoded: per run what its encoder gives of the new sample, `(width,)`.
        apart_from: sample_ids that are left out.
    """
    found: dict[str, list[float]] = {}
    samples: dict[str, TrainingSample] = {}
    for run, output in zip(runs, encoded, strict=True):
        if output is None or run.samples is None or run.samples.encoded is None:
            continue
        cosines = directions(run.samples.encoded) @ directions(output[None])[0]
        for sample, cosine in zip(run.samples.samples[:: run.samples.every], cosines.tolist(), strict=True):
            if sample.sample_id not in apart_from:
                found.setdefault(sample.sample_id, []).append(cosine)
                samples[sample.sample_id] = sample
    mean = {name: sum(cosines) / len(cosines) for name, cosines in found.items()}
    nearest = sorted(mean, key=lambda name: (-mean[name], name))[:COUNT]
    return tuple(Neighbour(samples[name], mean[name]) for name in nearest)


def shares_as_far(run: Trained, encoded: np.ndarray) -> np.ndarray | None:
    """Which share of a run's training samples lies as far from the others as new ones do, `(samples,)`; None
    where the run does not keep what the encoder gives for them.

    Args:
        encoded: `(samples, width)`, of the new ones.
    """
    kept = run.samples
    if kept is None or kept.encoded is None or kept.length is None or not len(kept.encoded):
        return None
    # All are compared with all.
    every = max(1, math.ceil(len(kept.encoded) * math.sqrt(kept.encoded.shape[1] / _COMPARED)))
    known = kept.encoded[::every].astype(np.float64) * kept.length[::every, None]
    return share_as_far(encoded, known)


def overlapping(runs: Sequence[Trained], video: str, frames: Frames | None) -> dict[str, list[str]]:
    """The sample_ids of training samples that share frames with a new one, with the names of the runs that
    learned from them.

    Args:
        video: of the new sample; one of the same name, in whatever folder, is taken for the same.
        frames: of it; None: they are not known.
    """
    found: dict[str, list[str]] = {}
    for run in runs:
        for sample in run.learned:
            if _same_video(sample.video, video) and _gap(sample.frames, frames) < 0:
                found.setdefault(sample.sample_id, []).append(run.name)
    return found


def learned_notes(
    runs: Sequence[Trained],
    sample_id: str,
    video: str,
    frames: Frames | None,
    shared: Mapping[str, Sequence[str]],
) -> list[str]:
    """What is to be said where runs learned from a sample, or from others of its video.

    Args:
        shared: what `overlapping` gives.
    """
    if shared:
        learned = {name for names in shared.values() for name in names}
        which = "the run" if len(runs) == 1 else f"{len(learned)} of {len(runs)} runs"
        others = sorted(shared.keys() - {sample_id})
        named = f" ({some(others, 3)})" if others else ""
        return [
            f"{which} learned from it, or from the same frames of a video of this name{named}: the score is"
            " better than it would be of a new one"
        ]
    others = {
        sample.sample_id: _gap(sample.frames, frames)
        for run in runs
        for sample in run.learned
        if _same_video(sample.video, video)
    }
    if not others:
        return []
    nearest = min(others, key=lambda name: (others[name], name))
    away = f", {others[nearest]:.0f} frames away" if math.isfinite(others[nearest]) else ""
    return [
        f"the run learned from {len(others)} other sample(s) of a video of this name (nearest:"
        f" {nearest}{away}): same light, same camera, so the score is easier than on another day"
    ]


def length_note(runs: Sequence[Trained], frames: Frames | None) -> list[str]:
    """What is to be said of a sample that is shorter or longer than every training sample."""
    lengths = [
        sample.frames[1] - sample.frames[0]
        for run in runs
        for sample in run.learned
        if sample.frames is not None
    ]
    if frames is None or not lengths:
        return []
    mine, shortest, longest = frames[1] - frames[0], min(lengths), max(lengths)
    if shortest <= mine <= longest:
        return []
    return [
        f"{mine:.0f} frames are scored; the training samples have {shortest:.0f} to {longest:.0f}"
        + (": if the action is a part of the video, give --start and --end" if mine > longest else "")
    ]


def _same_video(one: str, other: str) -> bool:
    return PurePath(one).name == PurePath(other).name


def _gap(one: Frames | None, other: Frames | None) -> float:
    """Frames between two stretches; negative where they overlap, infinite where one is not known."""
    if one is None or other is None:
        return math.inf
    gap = max(one[0] - other[1], other[0] - one[1])
    return gap if gap >= 0 else -1
