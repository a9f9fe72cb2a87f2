"""Clip features brought to mean 0 and standard deviation 1."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn


class Standardiser(nn.Module):
    """Subtract a mean and multiply by a scale, per dimension; zeros where a clip is only padding.

    As made, it changes nothing but the padding; `fit` sets it from clips. Both are saved with the model.

    Shape:
        - features: `(batch, clips, dim)`; count: `(batch,)`, the clips of a sample that are real, from the
          first on.
        - Output: as features.

    Differs from the original, which trains its backbone end to end and feeds raw features.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def fit(self, clips: Sequence[torch.Tensor]) -> None:
        """Take mean and standard deviation over all `clips`, each `(clips, dim)`, on any device; a constant
        dimension becomes 0.

        They are gone through twice and may be read anew each time.
        """
        rows, total = 0, np.zeros(len(self.mean))
        lowest, highest = np.full(len(self.mean), np.inf), np.full(len(self.mean), -np.inf)
        for sample in (torch.as_tensor(features).cpu().numpy() for features in clips):
            rows += len(sample)
            total += sample.sum(0, dtype=np.float64)
            np.minimum(lowest, sample.min(0), out=lowest)
            np.maximum(highest, sample.max(0), out=highest)
        mean = total / rows
        variance = (
            sum(np.square(torch.as_tensor(features).cpu().numpy() - mean).sum(0) for features in clips) / rows
        )
        scale = np.where(lowest == highest, 0, 1 / np.sqrt(np.where(lowest == highest, 1, variance)))
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(scale))

    def forward(self, features: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        padding = torch.arange(features.shape[1], device=count.device) >= count.unsqueeze(1)
        return ((features - self.mean) * self.scale).masked_fill(padding.unsqueeze(2), 0)
