"""Which samples are to be sent to a person, each with the reason in words.

- `unlike`: what the encoder gives of it lies farther from the training samples than theirs from each other.
- `wide`: its interval is wider than those that the run's own calibration samples would get.
- `rare`: hardly a training sample is of its class, as it is given, else as the run says.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aqa_cache.annotations import Sample

from .neighbours import shares_as_far
from .results import Flag, Score
from .trained import Trained

UNLIKE, WIDE, RARE = "unlike", "wide", "rare"
IN_SHORT = {
    UNLIKE: "unlike the training samples",
    WIDE: "wide interval",
    RARE: "hardly known class",
}
RATE = 0.05  # of samples that are like those of training, or of calibration, so many are flagged
FEWEST = 5  # training samples of a class that is known


def with_flags(
    runs: Sequence[Trained], samples: Sequence[Sample], scores: Sequence[Score], encoded: np.ndarray
) -> list[Score]:
    """Scores with how unlike the training samples of the first run they are, and their flags.

    Args:
        encoded: what the encoder of that run gives of each sample, `(samples, width)`; empty without one.
    """
    shares = shares_as_far(runs[0], encoded) if len(encoded) else None
    far = [None] * len(scores) if shares is None else shares.tolist()
    scores = [replace(score, share_as_far=share) for score, share in zip(scores, far, strict=True)]
    return [
        replace(score, flags=(*_unlike(score), *_wide(score), *_rare(runs, sample, score)))
        for score, sample in zip(scores, samples, strict=True)
    ]


def flag_names(score: Score) -> list[str]:
    """The names of its flags, each once."""
    return list(dict.fromkeys(flag.name for flag in score.flags))


def _unlike(score: Score) -> list[Flag]:
    if score.share_as_far is None or score.share_as_far > RATE:
        return []
    reason = (
        f"unlike the training samples: at most {RATE:.0%} of these lie so far from the others, by what the"
        " encoder gives"
    )
    return [Flag(UNLIKE, reason)]


def _wide(score: Score) -> list[Flag]:
    if score.interval is None or score.share_as_wide is None or score.share_as_wide > RATE:
        return []
    reason = f"its interval is wide: at most {RATE:.0%} of the run's held-out samples would have one as wide"
    return [Flag(WIDE, reason)]


def _rare(runs: Sequence[Trained], sample: Sample, score: Score) -> list[Flag]:
    """The classes of the sample that are rare in training: in the run that has the fewest of them."""
    counts = [run.class_counts for run in runs]
    flags = []
    for column in dict.fromkeys(name for of_run in counts for name in of_run or ()):
        given = sample.classes.get(column)
        name = given or next(iter(score.classes.get(column, ())), None)
        if name is None:
            continue
        known = min(of_run.get(column, {}).get(name, 0) for of_run in counts if of_run is not None)
        if known < FEWEST:
            how_many = f"{known or 'no'} training sample{'' if known == 1 else 's'}"
            said = "" if given else ", which the run says it is,"
            reason = f"its class is hardly known: {column} {name}{said} has {how_many}, fewer than {FEWEST}"
            flags.append(Flag(RARE, reason))
    return flags


def uncounted_note(runs: Sequence[Trained]) -> list[str]:
    """Said where a run has classes, and nothing to count its training samples of each."""
    if any(run.model.class_names for run in runs) and any(run.class_counts is None for run in runs):
        return [
            "how many training samples each class had is not known, so none is flagged as hardly known; name"
            " the run folder that aqa-train wrote"
        ]
    return []
