"""Mean and spread of the clips, and how many there are."""

from collections.abc import Sequence

import torch

from .seam import Encoder, mean_of, padding_of


class StatisticsEncoder(Encoder):
    """Mean and standard deviation over a sample's clips, and the logarithm of their number.

    Nothing in it is trained by gradients. It stands for the mean of the clips everywhere, so that the score
    starts from a ridge regression of all three. How much each counts is set once from the training samples
    (`weigh`): standard deviations that say nothing would drown what means say, and the number is one column
    among thousands.

    Args:
        dim: size of one clip feature.

    Shape:
        - features: `(batch, clips, dim)`, zeros beyond a sample's length; lengths: `(batch,)`, at least 1.
        - Output: `(batch, 2 * dim + 1)`; the standard deviations of one clip are 0.
    """

    replaces_mean = True

    def __init__(self, dim: int):
        super().__init__()
        self.out_dim = 2 * dim + 1
        self.sizes = (dim, dim, 1)
        self.register_buffer("centre", torch.zeros(self.out_dim))
        self.register_buffer("weights", torch.ones(len(self.sizes)))

    @torch.no_grad()
    def weigh(self, centre: torch.Tensor, weights: Sequence[float]) -> None:
        """Set what is taken from mean, standard deviation and number, `(2 * dim + 1,)`, and the three factors
        that they then have.
        """
        self.centre.copy_(centre)
        self.weights.copy_(torch.tensor(weights))

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        weights = torch.repeat_interleave(self.weights, torch.tensor(self.sizes, device=self.weights.device))
        return (self.raw(features, lengths) - self.centre) * weights

    def raw(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The three as they are. Shape: `(batch, 2 * dim + 1)`."""
        mean = mean_of(features, lengths)
        padding = padding_of(features, lengths).unsqueeze(2)
        apart = (features - mean.unsqueeze(1)).masked_fill(padding, 0)
        variance = mean_of(apart.square(), lengths)
        # The root's slope at 0 is infinite.
        varies = variance > 0
        spread = torch.where(varies, variance, 1).sqrt() * varies
        number = lengths.unsqueeze(1).to(features.dtype).log()
        return torch.cat((mean, spread, number), 1)
