"""What stands in the place of cached features while the backbone is trained: frames to compute them from, or features just computed."""

from collections.abc import Sequence

import numpy as np
import torch

from aqa_cache.annotations import Sample
from aqa_cache.frame_store import FrameStore


class FrameViews:
    """The clips of a split's samples, as frames, in all views that there are of them; takes the place of `feature_views.Views`.

    Args:
        augmented: whether other views than the plain one are given.
    """

    def __init__(self, frames: FrameStore, samples: Sequence[Sample], augmented: bool):
        self._frames, self._ids = frames, [sample.sample_id for sample in samples]
        self._available = [frames.available(name) if augmented else [0] for name in self._ids]

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def counts(self) -> list[int]:
        """How many views each sample has."""
        return [len(views) for views in self._available]

    def sample_id(self, index: int) -> str:
        return self._ids[index]

    def clip_count(self, index: int) -> int:
        return self._frames.count(self._ids[index])

    def clip(self, index: int, view: int, number: int) -> np.ndarray:
        """Clip `number` of sample `index` in the `view`-th view that it has, `(clip_len, size, size, 3)` uint8 RGB."""
        return self._frames.clip(self._ids[index], self._available[index][view], number)


class FreshFeatures(Sequence):
    """Clip features by sample, just computed, of the plain view; takes the place of `feature_views.Views`.

    Shape:
        - Features of a sample: `(clips, dim)` float32.
    """

    def __init__(self, features: Sequence[torch.Tensor]):
        self._features = list(features)

    def __len__(self) -> int:
        return len(self._features)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._features[index]

    def read(self, index: int, view: int = 0) -> torch.Tensor:
        assert view == 0, "only the plain view is evaluated"
        return self._features[index]

    @property
    def counts(self) -> list[int]:
        return [1] * len(self)

    def to(self, device: torch.device) -> "FreshFeatures":
        return FreshFeatures([features.to(device) for features in self._features])
