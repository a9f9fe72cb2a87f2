"""The real clips of a batch as rows, one sample after the other: no layer on them ever sees padding."""

import torch
from torch import nn
from torch.nn import functional as F


class Rows:
    """Which row is which clip of which sample.

    Args:
        lengths: `(batch,)`, the clips of each sample, at least 1.

    Attributes:
        sample, place: `(rows,)`, of each row the number of its sample, and of its clip in it from 0 on.
    """

    def __init__(self, lengths: torch.Tensor):
        self.lengths = lengths
        self.sample = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
        self._first = lengths.cumsum(0) - lengths
        self.place = torch.arange(len(self.sample), device=lengths.device) - self._first[self.sample]

    def of(self, padded: torch.Tensor) -> torch.Tensor:
        """From `(batch, clips, dim)` to `(rows, dim)`."""
        return padded[self.sample, self.place]

    def padded(self, rows: torch.Tensor) -> torch.Tensor:
        """From `(rows, dim)` to `(batch, clips, dim)`, zeros behind the last clip of a sample."""
        padded = rows.new_zeros(len(self.lengths), int(self.lengths.max()), rows.shape[1])
        return padded.index_put((self.sample, self.place), rows)

    def mean(self, rows: torch.Tensor) -> torch.Tensor:
        """Of each sample: `(batch, dim)`."""
        return self.padded(rows).sum(1) / self.lengths.unsqueeze(1)

    def around(self, rows: torch.Tensor) -> torch.Tensor:
        """Each row with the clips before and after it, zeros beyond the ends: `(rows, 3 * dim)`."""
        has_before = (self.place > 0).unsqueeze(1)
        has_after = (self.place < self.lengths[self.sample] - 1).unsqueeze(1)
        before = F.pad(rows, (0, 0, 1, 0))[:-1] * has_before
        after = F.pad(rows, (0, 0, 0, 1))[1:] * has_after
        return torch.cat((before, rows, after), 1)

    def halved(self, rows: torch.Tensor) -> tuple["Rows", torch.Tensor]:
        """The means of each sample's clips in pairs, and which they are; a last clip without a partner stays
        as it is.
        """
        half = Rows((self.lengths + 1) // 2)
        first = self._first[half.sample] + 2 * half.place
        second = torch.where(2 * half.place + 1 < self.lengths[half.sample], first + 1, first)
        return half, (rows.index_select(0, first) + rows.index_select(0, second)) / 2


class RowNorm(nn.BatchNorm1d):
    """Batch norm over rows.

    Differs: the running statistics are plain means over the first ten batches, and move by a tenth from then
    on, as with few samples there are few batches. A batch of one row, which has no variance, is normalised by
    the running statistics and leaves them as they are.

    Shape:
        - Input, output: `(rows, dim)`.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        mean, variance, seen = self.running_mean, self.running_var, self.num_batches_tracked
        assert mean is not None and variance is not None and seen is not None
        from_batch = self.training and len(input) > 1
        if from_batch:
            seen.add_(1)
        share = max(0.1, 1 / max(1, int(seen))) if from_batch else 0.0
        return F.batch_norm(input, mean, variance, self.weight, self.bias, from_batch, share, self.eps)


class Neighbours(nn.Module):
    """A convolution over time, three clips wide, zeros beyond the ends of a sample.

    Args:
        dim: of its input and its output.

    Shape:
        - Input, output: `(rows, dim)`.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.linear = nn.Linear(3 * dim, dim)

    def forward(self, rows: torch.Tensor, which: Rows) -> torch.Tensor:
        return self.linear(which.around(rows))
