"""A small transformer over the clips."""

import torch
from torch import nn

from .seam import Encoder, check_width, padding_of

_DROPOUT = 0.2
_HEADS = 4
# sin and cos in turn in every attention head.
_STEP = 2 * _HEADS
_LONGEST_PERIOD = 10_000


class TransformerEncoder(Encoder):
    """The mean over a sample's clips after a small pre-norm transformer in which every clip sees all the
    others.

    Positions are sines and cosines, so there is no largest number of clips, and no position was ever
    untrained.

    Args:
        dim: size of one clip feature.
        hidden: size of the output, a multiple of 8.
        layers: transformer layers of four heads, with dropout 0.2 in training.

    Shape:
        - features: `(batch, clips, dim)`; lengths: `(batch,)`, at least 1; padding changes nothing.
        - Output: `(batch, hidden)`.

    Raises:
        TrainingError: `hidden` is no multiple of 8.

    Source: Vaswani et al. 2017, arXiv:1706.03762, its encoder. Differs: pre-norm, which trains without
    warm-up.
    """

    def __init__(self, dim: int, hidden: int = 512, layers: int = 2):
        super().__init__()
        check_width("transformer", hidden, _STEP, f"{_HEADS} heads of even size")
        self.out_dim = hidden
        self.project = nn.Linear(dim, hidden)
        layer = nn.TransformerEncoderLayer(
            hidden, _HEADS, 4 * hidden, _DROPOUT, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(hidden), enable_nested_tensor=False)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        padding = padding_of(features, lengths)
        placed = self.project(features) + _positions(features.shape[1], self.out_dim, features)
        outputs = self.layers(placed, src_key_padding_mask=padding).masked_fill(padding.unsqueeze(2), 0)
        return outputs.sum(1) / lengths.unsqueeze(1)


def _positions(clips: int, size: int, like: torch.Tensor) -> torch.Tensor:
    """Sine and cosine of every clip's place in turn, at falling frequencies: `(clips, size)`."""
    place = torch.arange(clips, device=like.device, dtype=torch.float32).unsqueeze(1)
    frequency = _LONGEST_PERIOD ** (-torch.arange(0, size, 2, device=like.device, dtype=torch.float32) / size)
    angle = place * frequency
    return torch.stack((angle.sin(), angle.cos()), 2).flatten(1).to(like.dtype)
