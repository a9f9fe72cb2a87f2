"""What every encoder is given and gives: the seam behind which all of them stand."""

import torch
from torch import nn

from ...errors import TrainingError
from ..score_heads.seam import Encoded


class Encoder(nn.Module):
    """What every encoder has: from the clips of a sample to one feature.

    Attributes:
        out_dim: size of that feature; an encoder sets it when it is made.
        weighs_clips: whether its output is a mean of the clips weighted by `contributions`. That mean then
            stands for the mean of the clips everywhere, and the weights are written with the predictions.
        replaces_mean: whether its output, which is then a fixed function of the clips, stands for the mean of
            the clips everywhere: the linear path of the score sees it and starts from it.
        parts: how many parts it gives beside its one feature (`Encoded.parts`); None: none.

    Shape:
        - features: `(batch, clips, dim)`, zeros beyond a sample's length; lengths: `(batch,)`, at least 1.
        - Output: `(batch, out_dim)`, or an `Encoded` of it with parts or with a loss of the encoder's own.
          Padding changes nothing.
    """

    out_dim: int
    weighs_clips: bool = False
    replaces_mean: bool = False
    parts: int | None = None

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor | Encoded:
        raise NotImplementedError

    def contributions(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The clips' weights, `(batch, clips)`: 0 for padding, each row's sum 1."""
        raise NotImplementedError


def padding_of(features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """True where there is no clip: `(batch, clips)`."""
    return torch.arange(features.shape[1], device=features.device) >= lengths.unsqueeze(1)


def mean_of(features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The mean over the clips of each sample, `(batch, dim)`, of `features` with zeros as padding."""
    return features.sum(1) / lengths.unsqueeze(1)


def check_width(encoder: str, hidden: int, step: int, why: str) -> None:
    """Raise a TrainingError where `hidden` is no multiple of `step`."""
    if hidden % step:
        raise TrainingError(
            f"the {encoder} encoder's hidden size is {hidden}, expected a multiple of {step} ({why}); try"
            f" --encoder-hidden {-(-hidden // step) * step}"
        )
