"""The clips of a split's samples as frames, where features are computed anew in every step."""

from collections.abc import Sequence

import numpy as np

from aqa_cache.annotations import Sample
from aqa_cache.frame_store import FrameStore
from aqa_cache.views import PLAIN, View


class FrameViews:
    """The clips of a split's samples, as frames, in all views that there are of them; takes the place of `feature_views.Views`.

    Args:
        views: those of the store that are given, in this order, which does not depend on what else is in the store.
    """

    def __init__(self, frames: FrameStore, samples: Sequence[Sample], views: Sequence[View] = (PLAIN,)):
        self._frames, self._ids = frames, [sample.sample_id for sample in samples]
        numbers = [frames.views.index(view) for view in views]
        self._available = []
        for name in self._ids:
            available = set(frames.available(name))
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
        """Clip `number` of sample `index` in the `view`-th view that it has, `(clip_len, size, size, 3)` uint8 RGB."""
        return self._frames.clip(self._ids[index], self._available[index][view], number)
