"""Whether runs learned from a new sample, or from what is next to it in its video."""

import math
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from aqa_cache.errors import some

from ..runs.training_samples import TrainingSample, VideoStamp
from .trained import Trained

Frames = tuple[float, float]
Learned = Sequence[tuple[str, TrainingSample]]


@dataclass(frozen=True)
class Video:
    """The video of a new sample.

    Args:
        name: as in its annotations, or its path.
        stamp: of the file; None where it is not known.
        path: of the file where it is at hand, so that its content can be compared.
    """

    name: str
    stamp: VideoStamp | None = None
    path: Path | None = None

    def is_of(self, sample: TrainingSample) -> bool:
        """Whether a training sample is of this video.

        Files of different sizes are different videos, whatever their names; of one size they are the same if
        their content is, or, where only one of them can be hashed, if they have the same name or time of
        modification. Of files that are not known names are compared, with as many folders as both have.
        """
        mine, theirs = self.stamp, sample.stamp
        if mine is None or theirs is None:
            return same_path(self.name, sample.video)
        if mine.size != theirs.size:
            return False
        if theirs.sha256 and self._sha256:
            return theirs.sha256 == self._sha256
        return mine.mtime_ns == theirs.mtime_ns or posixpath.basename(self.name) == posixpath.basename(
            sample.video
        )

    @cached_property
    def _sha256(self) -> str:
        if self.stamp is not None and self.stamp.sha256:
            return self.stamp.sha256
        if self.path is None or not self.path.is_file():
            return ""
        from aqa_cache.disk.tensor_file import sha256_of

        return sha256_of(self.path)


def same_path(one: str, other: str) -> bool:
    """Whether one of two paths, however they are written, ends with the other.

    >>> same_path("/data/a/01.mp4", "a//01.mp4"), same_path("b/01.mp4", "a/01.mp4")
    (True, False)
    """
    ends = [
        [
            part
            for part in posixpath.normpath(path.replace("\\", "/")).split("/")
            if part not in ("", ".", "..")
        ]
        for path in (one, other)
    ]
    shorter = min(map(len, ends))
    return shorter > 0 and ends[0][-shorter:] == ends[1][-shorter:]


def learned_of(runs: Sequence[Trained], video: Video) -> Learned:
    """The training samples of a video, each with the name of the run that learned from it."""
    return [(run.name, sample) for run in runs for sample in run.learned if video.is_of(sample)]


def overlapping(learned: Learned, frames: Frames | None, sample_id: str = "") -> dict[str, list[str]]:
    """The sample_ids of training samples that share frames with a new one, with the names of the runs that
    learned from them. Where frames are not known, as of imported features, one of the same name is the same.

    Args:
        learned: what `learned_of` gives of the new sample's video.
        frames: of it; None: they are not known.
        sample_id: of it.
    """
    found: dict[str, list[str]] = {}
    for run, sample in learned:
        unknown = sample.frames is None or frames is None
        if sample.sample_id == sample_id if unknown else _gap(sample.frames, frames) < 0:
            found.setdefault(sample.sample_id, []).append(run)
    return found


def learned_notes(
    runs: int, sample_id: str, learned: Learned, frames: Frames | None, shared: Mapping[str, Sequence[str]]
) -> list[str]:
    """What is to be said where runs learned from a sample, or from others of its video.

    Args:
        runs: how many there are.
        learned, frames: as `overlapping` takes them, and shared what it gives.
    """
    if shared:
        names = {name for of_sample in shared.values() for name in of_sample}
        which = "the run" if runs == 1 else f"{len(names)} of {runs} runs"
        others = sorted(shared.keys() - {sample_id})
        named = f" ({some(others, 3)})" if others else ""
        return [
            f"{which} learned from it, or from the same frames of this video{named}: the score is better than"
            " it would be of a new one"
        ]
    others = {sample.sample_id: _gap(sample.frames, frames) for _, sample in learned}
    if not others:
        return []
    nearest = min(others, key=lambda name: (others[name], name))
    away = f", {others[nearest]:.0f} frames away" if math.isfinite(others[nearest]) else ""
    return [
        f"the run learned from {len(others)} other sample(s) of this video (nearest: {nearest}{away}):"
        " same light, same camera, so the score is easier than on another day"
    ]


def _gap(one: Frames | None, other: Frames | None) -> float:
    """Frames between two stretches; negative where they overlap, infinite where one is not known."""
    if one is None or other is None:
        return math.inf
    gap = max(one[0] - other[1], other[0] - one[1])
    return gap if gap >= 0 else -1
