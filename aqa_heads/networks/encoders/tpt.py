"""Phases that look for their clips, one after the other: the temporal parsing transformer."""

import math

import torch
from torch import nn

from ..score_heads.seam import Encoded
from .rows import Rows
from .seam import Encoder, check_width, padding_of
from .xavier import start_as_xavier

_DROPOUT = 0.1
_HEADS = 8
_TEMPERATURE = 0.07
PHASES = 5
# The original's number of clips: losses are in its units, whatever there are.
_CLIPS = 20
_SPARSITY = 0.05


class TptEncoder(Encoder):
    """What each of five learned phases finds in the clips, and the mean of what a small network says of the
    five.

    A phase attends over time, with a temperature that is learned; in training phases are to come one after
    the other, and each to lie close together. Clips have no positions: where a phase is follows from what is
    there. `parts` are the phases.

    Args:
        dim: size of one clip feature.
        hidden: size of the output and of each part, a multiple of 8.
        layers: of the decoder.

    Shape:
        - features: `(batch, clips, dim)`; lengths: `(batch,)`, at least 1; padding changes nothing.
        - Output: pooled `(batch, hidden)`, parts `(batch, 5, hidden)`; a loss in training.

    Raises:
        TrainingError: `hidden` is no multiple of 8.

    Source: Bai et al. 2022, ECCV, "Action Quality Assessment with Temporal Parsing Transformer"
    (github.com/baiyang4/aqa_tpt). Differs: any number of clips, by the real ones alone, with the losses'
    margins in shares of it; margins of a sixth of the sample, which the original's 3.2 of 20 clips slightly
    exceed, so that it could never have them all; the temperature's logarithm is learned, so that it stays
    above 0; no pairs: the network after the decoder sees the phases of one sample. Score heads that compare
    samples make pairs of `parts`.
    """

    parts = PHASES

    def __init__(self, dim: int, hidden: int = 512, layers: int = 2):
        super().__init__()
        check_width("tpt", hidden, _HEADS, f"{_HEADS} heads")
        self.out_dim = hidden
        self.phases = nn.Parameter(torch.empty(PHASES, hidden))
        self.layers = nn.ModuleList(_Layer(dim, hidden, first=not place) for place in range(layers))
        self.read = nn.Sequential(
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(_DROPOUT), nn.Linear(hidden, hidden)
        )
        start_as_xavier(self)

    def decode(
        self, features: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The phases, and of each layer the weights of the clips, `(batch, 5, clips)`: 0 for padding, of
        sum 1 for each phase.
        """
        which = Rows(lengths)
        clips, padding = which.of(features), padding_of(features, lengths)[:, : int(lengths.max())]
        state = features.new_zeros(len(lengths), *self.phases.shape)
        weights = []
        for layer in self.layers:
            state, seen = layer(state, self.phases, clips, which, padding)
            weights.append(seen)
        return state, weights

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> Encoded:
        parts, weights = self.decode(features, lengths)
        loss = torch.stack([_loss(each, lengths) for each in weights]).sum() if self.training else None
        return Encoded(self.read(parts).mean(1), parts=parts, loss=loss)


class _Layer(nn.Module):
    def __init__(self, dim: int, hidden: int, first: bool):
        super().__init__()
        self.key, self.value = nn.Linear(dim, hidden), nn.Linear(dim, hidden)
        self.query = nn.Linear(hidden, hidden)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(_TEMPERATURE)))
        self.feed = nn.Sequential(
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(_DROPOUT), nn.Linear(hidden, hidden)
        )
        self.drop = nn.Dropout(_DROPOUT)
        self.among = nn.MultiheadAttention(hidden, _HEADS, _DROPOUT, batch_first=True) if first else None
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(3 if first else 2))

    def forward(self, state, phases, clips, which: Rows, padding) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = which.padded(self.key(clips)), which.padded(self.value(clips))
        likeness = self.query(state + phases) @ keys.mT / keys.shape[2] / self.log_temperature.exp()
        weights = likeness.masked_fill(padding.unsqueeze(1), -torch.inf).softmax(2)
        state = self.norms[0](state + self.drop(weights @ values))
        state = self.norms[1](state + self.drop(self.feed(state)))
        if self.among is not None:
            placed = state + phases
            said, _ = self.among(placed, placed, state, need_weights=False)
            state = self.norms[2](state + self.drop(said))
        return state, weights


def _loss(weights: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    ranking, sparsity = parsing_losses(weights, lengths)
    return ranking + _SPARSITY * sparsity


def parsing_losses(weights: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """By how much phases fail to come one after the other, and how far each is spread out over time.

    Every sample is as long as 20 clips, whatever it has: its clips are at places from 1 to 20. m(k) is the
    mean place of phase k by its weights.

        ranking = sum of max(0, margin - gap) over the gaps m(1) - 1, m(k + 1) - m(k), 20 - m(5);
            margin 19 / 6, so that equal gaps are just enough
        sparsity = mean over the phases of sum over the clips of weight * |place - m(k)|

    Args:
        weights: `(batch, phases, clips)`, 0 for padding; lengths: `(batch,)`.

    Returns:
        The means over the samples that have more than one clip, of which there may be none: 0.
    """
    span = _CLIPS - 1
    number = torch.arange(weights.shape[2], device=weights.device)
    place = 1 + span * number / (lengths - 1).clamp(min=1).unsqueeze(1)
    place = place.unsqueeze(1)
    centre = (weights * place).sum(2)
    ends = centre.new_ones(len(lengths), 1)
    gaps = torch.cat((ends, centre, _CLIPS * ends), 1).diff(dim=1)
    ranking = torch.relu(span / (weights.shape[1] + 1) - gaps).sum(1)
    sparsity = (weights * (place - centre.unsqueeze(2)).abs()).sum(2).mean(1)
    long = lengths > 1
    some = long.sum().clamp(min=1)
    return (ranking * long).sum() / some, (sparsity * long).sum() / some
