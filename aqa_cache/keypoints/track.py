"""The joints of one person over time, and what is done where some were not found."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import AqaError, some

PERSONS = ("surest", "largest")
THIRDS = CONFIDENCE, DEPTH = "confidence", "depth"
_MOST_POSITIONS = 1 << 26  # of one video: 1 GiB of x and y


@dataclass(frozen=True)
class Track:
    """Where the joints of the people in a video, or in a part of it, are.

    Args:
        joints: their names; empty: not said.
        open_ended: whether frames behind the last that has anybody are not in the file, as in lists of
            detections.

    Shape:
        - positions: `(frames, people, joints, 2 or 3)`, NaN where a joint was not found.
        - confidence: `(frames, people, joints)`; None: not said.
    """

    positions: np.ndarray
    joints: tuple[str, ...] = ()
    confidence: np.ndarray | None = None
    open_ended: bool = False

    def __len__(self) -> int:
        return len(self.positions)

    def without_doubtful(self, least: float) -> "Track":
        """With the joints left out whose confidence is not above `least`."""
        if self.confidence is None:
            return self
        doubtful = ~(self.confidence > least)
        return replace(self, positions=np.where(doubtful[..., None], np.nan, self.positions))

    def person(self, which: str | None) -> np.ndarray:
        """The positions of one person, `(frames, joints, 2 or 3)`.

        Args:
            which: of several in a frame the `surest` (by the mean confidence of its joints) or the `largest`
                (by the diagonal of its box); None: there must not be several.

        Raises:
            AqaError: there is nobody, or there are several, or their confidence is not known.
        """
        if not self.positions.shape[1]:
            raise AqaError(f"has nobody in any of its {len(self)} frames")
        found = np.isfinite(self.positions).all(axis=3)
        seen = found.any(axis=2)
        crowded = np.flatnonzero(seen.sum(axis=1) > 1)
        if len(crowded) and which is None:
            raise AqaError(
                f"frame {crowded[0]} has {int(seen[crowded[0]].sum())} people, as have"
                f" {len(crowded) - 1} more; give --person {' or '.join(PERSONS)}, or leave one in the file"
            )
        if len(crowded) and which == "surest":
            if self.confidence is None:
                raise AqaError("has several people and no confidence; give --person largest")
            rank = np.where(found, self.confidence, 0).mean(axis=2)
        else:
            inside = np.where(found[..., None], self.positions, np.nan)
            low = np.where(found[..., None], inside, np.inf).min(axis=2)
            high = np.where(found[..., None], inside, -np.inf).max(axis=2)
            with np.errstate(invalid="ignore", over="ignore"):
                rank = np.linalg.norm(high - low, axis=2)
        chosen = np.where(seen, rank, -1).argmax(axis=1)
        return self.positions[np.arange(len(self)), chosen]


def check_size(frames: int, people: int, joints: int) -> None:
    """Whether so many positions can be held: a few numbers in a file can ask for more than any machine has.

    Raises:
        AqaError: whose text is the reason alone.
    """
    if frames * people * joints > _MOST_POSITIONS:
        raise AqaError(
            f"asks for {frames:,} frames of {people:,} people with {joints:,} joints each, which is more than"
            f" {_MOST_POSITIONS:,} positions; correct the frames' numbers, or give the video in parts"
        )


def fill_gaps(positions: np.ndarray, joints: Sequence[str]) -> tuple[np.ndarray, float]:
    """Positions with every gap filled: on a straight line from the last frame in which the joint was found to
    the next; before the first and behind the last as there.

    Args:
        joints: names.

    Shape:
        - positions: `(frames, joints, 2 or 3)`, NaN where a joint was not found.

    Returns:
        the positions, and the share of frames and joints that were filled.

    Raises:
        AqaError: a joint was found in no frame.
    """
    found = np.isfinite(positions).all(axis=2)
    if never := [name for name, any_frame in zip(joints, found.any(axis=0), strict=True) if not any_frame]:
        if len(never) == len(joints):
            raise AqaError(f"has nobody in any of its {len(positions)} frames")
        raise AqaError(
            f"{some(never)} found in none of its {len(positions)} frames; leave such joints out with --only,"
            " or lower --min-confidence"
        )
    filled, frames = positions.astype(np.float64), np.arange(len(positions))
    for joint in np.flatnonzero(~found.all(axis=0)):
        there = found[:, joint]
        for axis in range(positions.shape[2]):
            filled[:, joint, axis] = np.interp(frames, frames[there], positions[there, joint, axis])
    return filled, float(1 - found.mean())
