"""Features that the backbone has just computed, where cached ones would be."""

from collections.abc import Sequence

import torch


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
