"""From the frames of one video, in order, to the clips of all its samples."""

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .clips import ClipRule


@dataclass(frozen=True)
class Clip:
    """One clip, ready for the backbone.

    Args:
        sample: key of the sample it belongs to.
        number: its place among the sample's clips.
        first_frame: 0-based in the video; pts_seconds: its presentation time, NaN where the source has none.

    Shape:
        - frames: `(clip_len, size, size, 3)` uint8 RGB.
    """

    sample: int
    number: int
    first_frame: int
    pts_seconds: float
    frames: np.ndarray


class ClipAssembler:
    """Collects frames into clips; a frame that several clips need is taken once.

    Args:
        rule: how samples are cut into clips.
        spans: per sample its frames `[start, end)`; an end of None means to the end of the video, wherever that is.

    Raises:
        AqaError: a sample too short for one clip.
    """

    def __init__(self, rule: ClipRule, spans: dict[int, tuple[int, int | None]]):
        self._rule = rule
        self._coming: list[tuple[int, int, int, Iterator[int]]] = []
        self._open: list[tuple[int, int, int, float, list[np.ndarray]]] = []
        for sample, (start, end) in spans.items():
            if end is not None:
                firsts = iter(rule.first_frames(start, end))
            elif rule.clip_starts is not None:
                firsts = iter([start + first for first in rule.clip_starts])
            else:
                assert rule.window is None, "the last frames of a video are not known before its end"
                firsts = itertools.count(start, rule.clip_stride)
            self._expect(sample, 0, firsts)

    def needs(self, frame: int) -> bool:
        """Whether any clip takes this frame. Frames must be asked for in order, none left out."""
        while self._coming and self._coming[0][0] == frame:
            first, sample, number, firsts = heapq.heappop(self._coming)
            self._open.append((sample, number, first, float("nan"), []))
            self._expect(sample, number + 1, firsts)
        return any((frame - first) % self._rule.frame_step == 0 for _, _, first, _, _ in self._open)

    def feed(self, frame: int, pts_seconds: float, pixels: np.ndarray) -> list[Clip]:
        """Give a frame that is needed; returns the clips it completes."""
        complete, still_open = [], []
        for sample, number, first, time, frames in self._open:
            if (frame - first) % self._rule.frame_step == 0:
                frames.append(pixels)
            time = pts_seconds if frame == first else time
            if len(frames) == self._rule.clip_len:
                complete.append(Clip(sample, number, first, time, np.stack(frames)))
            else:
                still_open.append((sample, number, first, time, frames))
        self._open = still_open
        return complete

    def _expect(self, sample: int, number: int, firsts: Iterator[int]) -> None:
        first = next(firsts, None)
        if first is not None:
            heapq.heappush(self._coming, (first, sample, number, firsts))
