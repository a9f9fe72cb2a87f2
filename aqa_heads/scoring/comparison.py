"""Two takes side by side: the difference of their scores, clip by clip, and whether it is more than noise."""

from dataclasses import dataclass

from aqa_cache.errors import AqaError

from ..evaluation.calibration import Calibration
from ..evaluation.differences import difference_interval
from .intervals import LEVEL
from .results import Contributions, Score


@dataclass(frozen=True)
class ComparedPart:
    """A part of the action in both takes, and what its clips add to each score.

    Args:
        first_clips, second_clips: numbers of the clips.
        first_points, second_points: None where the take has no contributions.
    """

    first_clips: tuple[int, ...]
    second_clips: tuple[int, ...]
    first_points: float
    second_points: float

    @property
    def difference(self) -> float:
        return self.first_points - self.second_points


@dataclass(frozen=True)
class Comparison:
    """How much better the first of two takes is, in points.

    Args:
        first, second: their sample_ids.
        difference: the first's points less the second's.
        interval: that holds the true difference as often as `note` says; None: the note says why.
        share_as_large: of equally good pairs, at least the share that is said to differ as much.
        clear: whether the difference is more than noise, by the interval.
        parts: clips of both that belong together; empty where a take has no contributions.
        remainder: the difference of what no clip adds; with those of the parts it adds up to `difference`.
    """

    first: str
    second: str
    difference: float
    interval: tuple[float, float] | None
    note: str
    share_as_large: float | None
    clear: bool
    parts: tuple[ComparedPart, ...] = ()
    remainder: float = 0.0

    @property
    def in_words(self) -> str:
        """The answer, in a sentence."""
        if self.interval is None:
            return "whether that is more than noise cannot be said"
        said = "that is more than noise" if self.clear else "that can be noise"
        return f"{said}: up to {self.share_as_large:.0%} of equally good pairs are said to differ as much"


def compare(first: Score, second: Score, calibration: Calibration, level: float = LEVEL) -> Comparison:
    """Compare two scored samples.

    Raises:
        AqaError: one has no score.
    """
    if first.points is None or second.points is None:
        raise AqaError("--compare: the run predicts no score, so there is no difference; leave it out")
    difference = first.points - second.points
    same = first.group is not None and first.group == second.group
    found = difference_interval(
        calibration, difference, (_scale(first, calibration), _scale(second, calibration)), same, level
    )
    parts = _aligned(first.contributions, second.contributions)
    remainder = difference - sum(part.difference for part in parts)
    return Comparison(
        first.sample_id,
        second.sample_id,
        difference,
        found.interval,
        found.note,
        found.share_as_large,
        found.clear,
        parts,
        remainder,
    )


def _scale(score: Score, calibration: Calibration) -> float | None:
    """The spread of the kind that the calibration has: the seeds', or that of one run's score head."""
    return score.spread if calibration.of_seeds or len(score.by_run) == 1 else None


def _aligned(first: Contributions | None, second: Contributions | None) -> tuple[ComparedPart, ...]:
    """As many parts as the shorter take has clips, from the first clip to the last; of the longer take each
    has the clips whose middle lies at the same share of the action.
    """
    if first is None or second is None:
        return ()
    number = min(len(first.clips), len(second.clips))
    divided = [_divided(take, number) for take in (first, second)]
    return tuple(
        ComparedPart(ours, theirs, _sum(first, ours), _sum(second, theirs)) for ours, theirs in zip(*divided)
    )


def _divided(take: Contributions, parts: int) -> list[tuple[int, ...]]:
    clips = range(len(take.clips))
    return [
        tuple(clip for clip in clips if (2 * clip + 1) * parts // (2 * len(clips)) == part)
        for part in range(parts)
    ]


def _sum(take: Contributions, clips: tuple[int, ...]) -> float:
    return sum(take.clips[clip].points for clip in clips)
