"""The clips of a split's samples as frames, where features are computed anew in every step."""

from collections.abc import Mapping, Sequence

import numpy as np

from aqa_cache.annotations import Sample
from aqa_cache.clips.views import PLAIN, View
from aqa_cache.frame_store.reader import FrameStore


class FrameViews:
    """The clips of a split's samples, as frames, in all views that there are of them; takes the place of
    `feature_views.Views`.

    Args:
        views: per sample those that are given, in this order, as far as they are in the video; None: the
            plain one.
    """

    def __init__(
        self, frames: FrameStore, samples: Sequence[Sample], views: Sequence[Sequence[View]] | None = None
    ):
        self._frames, self._ids = frames, [sample.sample_id for sample in samples]
        self._available = []
        for name, wanted in zip(self._ids, views or [(PLAIN,)] * len(samples), strict=True):
            available = set(frames.available(name))
            numbers = [frames.views.index(view) for view in wanted]
            self._available.append([number for number in numbers if number in available])

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def counts(self) -> list[int]:
        """How many views each sample has."""
        return [len(views) for views in self._available]

    def clip_count(self, index: int) -> int:
        return self._frames.count(self._ids[index])

    def clip(self, index: int, view: int, number: int) -> np.ndarray:
        """Clip `number` of sample `index` in the `view`-th view that it has, `(clip_len, size, size, 3)`
        uint8 RGB.
        """
        return self._frames.clip(self._ids[index], self._available[index][view], number)


def views_apart(
    views: Sequence[View],
    samples: Sequence[Sample],
    held_out: Sequence[Sample],
    frames: Mapping[str, tuple[int, int]],
) -> list[tuple[View, ...]]:
    """Per sample the views that, shifted, show no frame of one that is held out; those that are not shifted
    always stay.

    Args:
        frames: by sample_id the first frame, and the one behind the last, of its plain view.
    """
    by_video: dict[str, list[tuple[int, int]]] = {}
    for other in held_out:
        by_video.setdefault(other.video, []).append(frames[other.sample_id])

    def apart(sample: Sample, shift: int) -> bool:
        first, end = (place + shift for place in frames[sample.sample_id])
        return all(end <= start or stop <= first for start, stop in by_video.get(sample.video, ()))

    return [
        tuple(view for view in views if not view.shift or apart(sample, view.shift)) for sample in samples
    ]
