"""From the frames of one video, in order, to the clips of all its samples."""

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .rule import ClipRule
from .views import PLAIN, View


@dataclass(frozen=True)
class Clip:
    """One clip, ready for the backbone.

    Args:
        sample: key of the sample it belongs to; view: index of the view.
        first_frame: 0-based in the video.
        times: presentation times of its frames in seconds, NaN where the source has none.

    Shape:
        - frames: `clip_len` arrays `(size, size, 3)` uint8 RGB, shared with other clips.
    """

    sample: int
    view: int
    first_frame: int
    times: tuple[float, ...]
    frames: tuple[np.ndarray, ...]

    @property
    def pts_seconds(self) -> float:
        """Of the first frame."""
        return self.times[0]


class ClipAssembler:
    """Collects frames into clips; a frame that several clips need is taken once.

    Args:
        rule: how samples are cut into clips.
        spans: per sample its frames `[start, end)`; an end of None means to the end of the video, wherever
            that is.
        views: of every sample. A shifted view whose first clip would begin before the video has no clips
            here; one that leaves it at the other end has fewer clips than the plain one.

    Raises:
        AqaError: a sample too short for one clip.
    """

    def __init__(
        self, rule: ClipRule, spans: dict[int, tuple[int, int | None]], views: Sequence[View] = (PLAIN,)
    ):
        self._rule, self._views = rule, views
        self._coming: list[tuple[int, int, int, Iterator[int]]] = []
        self._open: list[tuple[int, int, int, list[float], list[np.ndarray]]] = []
        for sample, (start, end) in spans.items():
            for shift in sorted({view.shift for view in views}):
                if end is not None:
                    firsts = rule.first_frames(start, end)
                elif rule.clip_starts is not None:
                    firsts = [start + first for first in rule.clip_starts]
                else:
                    assert not rule.needs_end, "the last frames of a video are not known before its end"
                    firsts = itertools.count(start, rule.clip_stride)
                firsts = map(shift.__add__, firsts)
                first = next(firsts)
                if first >= 0:
                    heapq.heappush(self._coming, (first, sample, shift, firsts))

    def needs(self, frame: int) -> bool:
        """Whether any clip takes this frame. Frames must be asked for in order; those that no clip takes may
        be left out.
        """
        while self._coming and self._coming[0][0] <= frame:
            first, sample, shift, firsts = heapq.heappop(self._coming)
            assert first == frame, (first, frame)
            self._open.append((sample, shift, first, [], []))
            if (following := next(firsts, None)) is not None:
                heapq.heappush(self._coming, (following, sample, shift, firsts))
        return any((frame - first) % self._rule.frame_step == 0 for _, _, first, _, _ in self._open)

    def feed(self, frame: int, pts_seconds: float, pixels: np.ndarray) -> list[Clip]:
        """Give a frame that is needed; returns the clips it completes."""
        complete, still_open = [], []
        for sample, shift, first, times, frames in self._open:
            if (frame - first) % self._rule.frame_step == 0:
                frames.append(pixels)
                times.append(pts_seconds)
            if len(frames) == self._rule.clip_len:
                complete += self._views_of(sample, shift, first, times, frames)
            else:
                still_open.append((sample, shift, first, times, frames))
        self._open = still_open
        return complete

    def _views_of(
        self, sample: int, shift: int, first: int, times: list[float], frames: list[np.ndarray]
    ) -> list[Clip]:
        return [
            Clip(
                sample,
                number,
                first,
                tuple(times),
                tuple(frame[:, ::-1] if view.flip else frame for frame in frames),
            )
            for number, view in enumerate(self._views)
            if view.shift == shift
        ]
