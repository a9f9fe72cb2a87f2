"""The last output of an LSTM or a GRU.

On a CPU, PyTorch's GRU makes the gradient of its weights step by step, and its LSTM lays its weights out anew
at every call. Where that is dear, training goes through layers that do neither; what is evaluated does not.
"""

import math

import torch
from torch import nn

from ...captions.recurrent import Given, Timeline, run_layers
from .seam import Encoder

_DROPOUT = 0.2
# Weights of an LSTM that are dear to lay out anew.
_MANY = 2_000_000


class RecurrentEncoder(Encoder):
    """The output of an RNN at a sample's last clip; `LstmEncoder` or `GruEncoder`.

    Args:
        dim: size of one clip feature.
        hidden: size of the output.
        layers: stacked RNNs, with dropout 0.2 between them in training.

    Shape:
        - features: `(batch, clips, dim)`; lengths: `(batch,)`, at least 1; padding changes nothing.
        - Output: `(batch, hidden)`.
    """

    def __init__(self, dim: int, hidden: int = 1024, layers: int = 2):
        super().__init__()
        self.out_dim = hidden
        self.build(dim, hidden, layers, batch_first=True, dropout=_DROPOUT if layers > 1 else 0.0)
        for name in ("weight_ih_l0", "weight_hh_l0"):
            nn.init.orthogonal_(self.rnn.get_parameter(name), math.sqrt(2))

    @property
    def rnn(self) -> nn.RNNBase:
        raise NotImplementedError

    @property
    def trains_faster_by_layers(self) -> bool:
        """Than by `rnn` itself, on a CPU."""
        raise NotImplementedError

    def build(self, *sizes: int, **options) -> None:
        """Make the RNN, under the name that its weights have in files."""
        raise NotImplementedError

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        if self.training and features.device.type == "cpu" and self.trains_faster_by_layers:
            timeline = Timeline.of(lengths)
            outputs, _ = run_layers(self.rnn, [Given(features[timeline.sequence, timeline.time])], timeline)
            return outputs[timeline.row(torch.arange(len(lengths)), lengths - 1)]
        # All clips go through the input matrix in one product: torch does so for a whole sequence, not for
        # single steps.
        outputs, _ = self.rnn(features)
        return outputs[torch.arange(len(lengths), device=lengths.device), lengths - 1]


class LstmEncoder(RecurrentEncoder):
    """The output of an LSTM at a sample's last clip; see `RecurrentEncoder`.

    Source: Exp 7 of the paper. Differs: hidden size 1024 by default, not 8192 (1.07 G parameters, 16 GiB with
    Adam's state); trained (the original leaves it out of the optimiser) and without dropout when evaluated.
    """

    def build(self, *sizes: int, **options) -> None:
        self.lstm = nn.LSTM(*sizes, **options)

    @property
    def rnn(self) -> nn.LSTM:
        return self.lstm

    @property
    def trains_faster_by_layers(self) -> bool:
        return sum(weight.numel() for weight in self.lstm.parameters()) > _MANY


class GruEncoder(RecurrentEncoder):
    """The output of a GRU at a sample's last clip; see `RecurrentEncoder`. It starts as the LSTM does."""

    def build(self, *sizes: int, **options) -> None:
        self.gru = nn.GRU(*sizes, **options)

    @property
    def rnn(self) -> nn.GRU:
        return self.gru

    @property
    def trains_faster_by_layers(self) -> bool:
        return True
