"""The training samples that are most like a new one, and how far from all of them it lies."""

import math
from collections.abc import Sequence

import numpy as np

from ..evaluation.novelty import share_as_far
from ..runs.training_samples import TrainingSample, directions
from .results import Neighbour
from .trained import Trained

COUNT = 3
_COMPARED = 10**9  # numbers, at most about so many


def neighbours_of(
    runs: Sequence[Trained], encoded: Sequence[np.ndarray | None], apart_from: frozenset[str] = frozenset()
) -> tuple[Neighbour, ...]:
    """The three nearest by the cosine of the encoder's outputs, averaged over the runs that know them; of a
    run that learned scores, those that have one.

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
        known = run.samples.samples[:: run.samples.every]
        scored = any(sample.final_score is not None for sample in known)
        for sample, cosine in zip(known, cosines.tolist(), strict=True):
            if sample.sample_id not in apart_from and not (scored and sample.final_score is None):
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
