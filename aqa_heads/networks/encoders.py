"""From the clip features of a sample to one feature: the column 'feature encoding' of Table 1, and what may
stand there.
"""

import math

import torch
from torch import nn

from ..errors import TrainingError
from ..settings.experiments import KNOWN_ENCODERS
from .score_heads.seam import Encoded

_DROPOUT = 0.2
_TRANSFORMER_HEADS = 4
# sin and cos in turn in every attention head.
_TRANSFORMER_STEP = 2 * _TRANSFORMER_HEADS
_LONGEST_PERIOD = 10_000


class Encoder(nn.Module):
    """What every encoder has: from the clips of a sample to one feature.

    Attributes:
        out_dim (int): size of that feature; an encoder sets it when it is made.
        weighs_clips: whether its output is a mean of the clips weighted by `contributions`. That mean then
            stands for the mean of the clips everywhere, and the weights are written with the predictions.
        parts: how many parts it gives beside its one feature (`Encoded.parts`); None: none.

    Shape:
        - features: `(batch, clips, dim)`, zeros from a sample's `count` on; count: `(batch,)`, at least 1.
        - Output: `(batch, out_dim)`, or an `Encoded` of it with parts or with a loss of the encoder's own.
          What lies from `count` on changes nothing.
    """

    weighs_clips: bool = False
    parts: int | None = None

    def forward(self, features: torch.Tensor, count: torch.Tensor) -> torch.Tensor | Encoded:
        raise NotImplementedError

    def contributions(self, features: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        """The clips' weights, `(batch, clips)`: 0 from `count` on, each row's sum 1."""
        raise NotImplementedError


class AverageEncoder(Encoder):
    """The mean over a sample's clips.

    Args:
        dim: size of one clip feature.

    Shape:
        - features: `(batch, clips, dim)`, zeros from a sample's `count` on; count: `(batch,)`, at least 1.
        - Output: `(batch, dim)`.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.out_dim = dim

    def forward(self, features: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        return features.sum(1) / count.unsqueeze(1)


class RecurrentEncoder(Encoder):
    """The output of an RNN at a sample's last clip; `LstmEncoder` or `GruEncoder`.

    Args:
        dim: size of one clip feature.
        hidden: size of the output.
        layers: stacked RNNs, with dropout 0.2 between them in training.

    Shape:
        - features: `(batch, clips, dim)`; count: `(batch,)`, at least 1; what lies from `count` on changes
          nothing.
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

    def build(self, *sizes: int, **options) -> None:
        """Make the RNN, under the name that its weights have in files."""
        raise NotImplementedError

    def forward(self, features: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        # All clips go through the input matrix in one product: torch does so for a whole sequence, not for
        # single steps.
        outputs, _ = self.rnn(features)
        return outputs[torch.arange(len(count), device=count.device), count - 1]


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


class GruEncoder(RecurrentEncoder):
    """The output of a GRU at a sample's last clip; see `RecurrentEncoder`. It starts as the LSTM does."""

    def build(self, *sizes: int, **options) -> None:
        self.gru = nn.GRU(*sizes, **options)

    @property
    def rnn(self) -> nn.GRU:
        return self.gru


class AttentionEncoder(Encoder):
    """The mean over a sample's clips, weighted by how much each matters: gated attention pooling.

    weight(clip) = softmax over the sample's clips of w · (tanh(V clip) * sigmoid(U clip)). It starts with
    equal weights, as the average.

    Args:
        dim: size of one clip feature.
        hidden: rows of V and U.

    Shape:
        - features: `(batch, clips, dim)`, zeros from a sample's `count` on; count: `(batch,)`, at least 1.
        - Output: `(batch, dim)`.

    Source: Ilse et al. 2018, arXiv:1802.04712, equation 9. Differs: no network before it, and w starts at 0.
    """

    weighs_clips = True

    def __init__(self, dim: int, hidden: int = 256):
        super().__init__()
        self.out_dim = dim
        self.content, self.gate = nn.Linear(dim, hidden), nn.Linear(dim, hidden)
        self.weight = nn.Linear(hidden, 1, bias=False)
        nn.init.zeros_(self.weight.weight)

    def contributions(self, features: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        gated = torch.tanh(self.content(features)) * torch.sigmoid(self.gate(features))
        return self.weight(gated).squeeze(2).masked_fill(padding_of(features, count), -math.inf).softmax(1)

    def forward(self, features: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        return torch.bmm(self.contributions(features, count).unsqueeze(1), features).squeeze(1)


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
        - features: `(batch, clips, dim)`; count: `(batch,)`, at least 1; what lies from `count` on changes
          nothing.
        - Output: `(batch, hidden)`.

    Raises:
        TrainingError: `hidden` is no multiple of 8.

    Source: Vaswani et al. 2017, arXiv:1706.03762, its encoder. Differs: pre-norm, which trains without
    warm-up.
    """

    def __init__(self, dim: int, hidden: int = 512, layers: int = 2):
        super().__init__()
        if hidden % _TRANSFORMER_STEP:
            raise TrainingError(
                f"the transformer encoder's hidden size is {hidden}, expected a multiple of"
                f" {_TRANSFORMER_STEP} ({_TRANSFORMER_HEADS} heads of even size); try --encoder-hidden"
                f" {-(-hidden // _TRANSFORMER_STEP) * _TRANSFORMER_STEP}"
            )
        self.out_dim = hidden
        self.project = nn.Linear(dim, hidden)
        layer = nn.TransformerEncoderLayer(
            hidden, _TRANSFORMER_HEADS, 4 * hidden, _DROPOUT, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(hidden), enable_nested_tensor=False)

    def forward(self, features: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        padding = padding_of(features, count)
        placed = self.project(features) + _positions(features.shape[1], self.out_dim, features)
        outputs = self.layers(placed, src_key_padding_mask=padding).masked_fill(padding.unsqueeze(2), 0)
        return outputs.sum(1) / count.unsqueeze(1)


# By the names of `experiments.ENCODER_SIZES`, which says how large they are.
ENCODER_CLASSES: dict[str, type[Encoder]] = {
    "average": AverageEncoder,
    "lstm": LstmEncoder,
    "gru": GruEncoder,
    "attention": AttentionEncoder,
    "transformer": TransformerEncoder,
}
# Which of width and depth they are made with.
_SIZES = {"average": (), "attention": ("hidden",)}


def make_encoder(name: str, dim: int, hidden: int | None, layers: int | None) -> Encoder:
    """An encoder by its name, one of `experiments.ENCODERS` or one that is known in this process.

    Args:
        hidden, layers: as in the class; `average` has neither, `attention` no layers. An own encoder is made
            with those that are given.

    Raises:
        TrainingError: there is no such encoder, or it is none.
    """
    sizes = {"hidden": hidden, "layers": layers}
    if name in ENCODER_CLASSES:
        return ENCODER_CLASSES[name](dim, *(sizes[size] for size in _SIZES.get(name, sizes)))
    given = {size: value for size, value in sizes.items() if value is not None}
    encoder = KNOWN_ENCODERS.find(name)(dim, **given)
    if not isinstance(encoder, Encoder):
        raise TrainingError(
            f"encoder {name}: makes a {type(encoder).__name__}, expected an aqa_heads.Encoder; derive it from"
            " that class"
        )
    return encoder


def padding_of(features: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """True where there is no clip: `(batch, clips)`."""
    return torch.arange(features.shape[1], device=features.device) >= count.unsqueeze(1)


def _positions(clips: int, size: int, like: torch.Tensor) -> torch.Tensor:
    """Sine and cosine of every clip's place in turn, at falling frequencies: `(clips, size)`."""
    place = torch.arange(clips, device=like.device, dtype=torch.float32).unsqueeze(1)
    frequency = _LONGEST_PERIOD ** (-torch.arange(0, size, 2, device=like.device, dtype=torch.float32) / size)
    angle = place * frequency
    return torch.stack((angle.sin(), angle.cos()), 2).flatten(1).to(like.dtype)
