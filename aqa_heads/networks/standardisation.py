"""Clip features brought to mean 0 and standard deviation 1."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

# That are added up at once: values, 8 MiB in float64, and samples, as each is an object until then.
_BLOCK_VALUES, _BLOCK_SAMPLES = 2**20, 2**12


class Standardiser(nn.Module):
    """Subtract a mean and multiply by a scale, per dimension; zeros where a clip is only padding.

    As made, it changes nothing but the padding; `fit` sets it from clips. Both are saved with the model.

    Shape:
        - features: `(batch, clips, dim)`; lengths: `(batch,)`, the clips of a sample that are real, from the
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
        for block, first in _blocks(clips):
            rows += len(block)
            total = _added(total, block.astype(np.float64), first)
            np.minimum(lowest, block.min(0), out=lowest)
            np.maximum(highest, block.max(0), out=highest)
        mean, squares = total / rows, np.zeros(len(self.mean))
        for block, first in _blocks(clips):
            squares = _added(squares, np.square(block - mean), first)
        variance = squares / rows
        scale = np.where(lowest == highest, 0, 1 / np.sqrt(np.where(lowest == highest, 1, variance)))
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(scale))

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        padding = torch.arange(features.shape[1], device=lengths.device) >= lengths.unsqueeze(1)
        return ((features - self.mean) * self.scale).masked_fill(padding.unsqueeze(2), 0)


def _blocks(clips: Sequence[torch.Tensor]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Samples one below the other, some at a time: `(clips, dim)`, and the first clip of each sample."""
    held: list[torch.Tensor] = []
    values = 0
    for features in clips:
        if values >= _BLOCK_VALUES or len(held) >= _BLOCK_SAMPLES:
            yield _joined(held)
            held, values = [], 0
        held.append(torch.as_tensor(features))
        values += held[-1].numel()
    yield _joined(held)


def _joined(held: Sequence[torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    return torch.cat(held).cpu().numpy(), np.cumsum([0, *(features.shape[0] for features in held[:-1])])


def _added(total: np.ndarray, block: np.ndarray, first: np.ndarray) -> np.ndarray:
    """`total` and then the sum of each sample: in the order in which one sample at a time would be added."""
    return np.concatenate([total[None], np.add.reduceat(block, first, axis=0)]).sum(0)
