"""What scoring says of a sample."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from aqa_cache.short_repr import short_repr

from ..runs.training_samples import TrainingSample

if TYPE_CHECKING:
    from .background import Background
    from .comparison import Comparison


@dataclass(frozen=True)
class ClipContribution:
    """What one clip adds to a score.

    Args:
        first_frame: of the clip, in the video; pts_seconds: its time, None where the source has none.
        points: what it adds.
    """

    clip: int
    first_frame: int
    pts_seconds: float | None
    points: float


@dataclass(frozen=True)
class Contributions:
    """A score taken apart by clips: the clips' points and the remainder add up to it.

    Args:
        remainder: what no clip of its own adds.
        exact: whether the score is such a sum; else a clip's points are what the score loses without it.
    """

    clips: tuple[ClipContribution, ...]
    remainder: float
    exact: bool

    __repr__ = short_repr


@dataclass(frozen=True)
class Neighbour:
    """A training sample, and how alike the encoder finds it: the cosine of the two outputs."""

    sample: TrainingSample
    similarity: float


@dataclass(frozen=True)
class Judge:
    """A mark of a panel.

    Args:
        number: of the column, 3 for `judge_3`.
        deviation: how far the mark lies above the mean of the others' marks.
        points_without: the panel's score with that mean in the mark's place; None where its rule, or the
            difficulty that this asks for, is not known.
    """

    number: int
    mark: float
    deviation: float
    points_without: float | None


@dataclass(frozen=True)
class Panel:
    """The marks that judges gave a sample, beside its predicted score.

    Args:
        judges: those who gave a mark, two at least.
        rule: how marks become a score, in words; empty where that is not known.
        points: the score that the rule makes of the marks; None as `Judge.points_without`.
        predicted_mark: the mark that, given by all, makes the predicted score; None likewise.
        furthest: number of the judge whose mark lies furthest from the mean of the others'; None where all
            gave the same.
        share_as_far: of the training panels, and this one, the share in which a judge lies as far from the
            others; None where no training sample has marks.
    """

    judges: tuple[Judge, ...]
    rule: str
    points: float | None
    predicted_mark: float | None
    furthest: int | None
    share_as_far: float | None

    @property
    def furthest_judge(self) -> Judge | None:
        return next((judge for judge in self.judges if judge.number == self.furthest), None)


@dataclass(frozen=True)
class Flag:
    """Why a person should look at a sample.

    Args:
        name: `unlike`, `wide` or `rare`, as `aqa_heads.scoring.flags` says.
        reason: in words.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Score:
    """One scored sample.

    Args:
        frames: `[first, end)` of the video that the clips are of.
        points: the score; None where the run has no score task.
        spread: a standard deviation in points: of several runs that of their scores, else the score head's;
            None where there is none.
        by_run: the score of every run, by its folder's name.
        interval: that holds the true score as often as `interval_note` says; None: the note says why.
        classes: by column the probability of every class, the most probable first.
        caption: None where the run has no captioner.
        contributions: None where there is no score, or a note says why.
        neighbours: the training samples most alike, the nearest first.
        share_as_far: of the training samples, and itself, the share that lies as far from the others as it
            does, by the encoder's output; None where that is not known. Small: it is unlike them.
        share_as_wide: of the calibration samples, and itself, the share whose interval is as wide; None where
            there is none to compare.
        flags: why it is to be sent to a person; empty where nothing speaks for that.
        notes: what a person should know of it, a line each.
        final_score: the true score, where the table or the cache has one; group, difficulty: likewise.
        panel: the judges' marks, where the table or the cache has two at least.
    """

    sample_id: str
    video: str
    frames: tuple[int, int] | None
    points: float | None
    spread: float | None = None
    by_run: dict[str, float] = field(default_factory=dict[str, float])
    interval: tuple[float, float] | None = None
    interval_note: str = ""
    classes: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    caption: str | None = None
    contributions: Contributions | None = None
    neighbours: tuple[Neighbour, ...] = ()
    share_as_far: float | None = None
    share_as_wide: float | None = None
    flags: tuple[Flag, ...] = ()
    notes: tuple[str, ...] = ()
    final_score: float | None = None
    panel: Panel | None = None
    group: str | None = None
    difficulty: float | None = None

    __repr__ = short_repr


@dataclass(frozen=True)
class ScoreTable:
    """Several scored samples, the best first; stretches of one video (`every`) by how well they fit.

    Args:
        failures: sample_id and reason of those that could not be scored.
        notes: on all of them.
        scale: lowest and highest training score, in points; None where they are not known.
        folder: what the samples' videos are relative to; None of cached samples. stream: index of the video
            stream in them; None: the best one.
        background: what stands behind the scores.
        comparison: of the two samples, where it was asked for.
        by_fit: whether they are stretches, those most like the training samples first.
    """

    scores: Sequence[Score]
    failures: Sequence[tuple[str, str]]
    notes: tuple[str, ...] = ()
    scale: tuple[float, float] | None = None
    folder: Path | None = None
    stream: int | None = None
    background: "Background | None" = None
    comparison: "Comparison | None" = None
    by_fit: bool = False

    __repr__ = short_repr
