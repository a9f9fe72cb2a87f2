"""Sizes that follow from the data where none are given: how wide an encoder is, and on how many clips at a
time it is trained.

They do for the encoders that are younger than the rows of Table 1, and for the model that is trained when no
row is named; a row keeps the sizes that it always had.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .experiments import DEFAULT

if TYPE_CHECKING:
    from .resolved import ResolvedConfig

# The largest width of each encoder: the original's, or that of the rows.
_WIDEST = {
    "lstm": 1024,
    "gru": 1024,
    "attention": 256,
    "transformer": 512,
    "conv": 256,
    "gdlt": 256,
    "tpt": 512,
}
_NARROWEST = 16  # and all widths are powers of 2, so any number of attention heads divides them
_YOUNGER = ("conv", "gdlt", "tpt")
# Encoders that learn from the order of clips see a window of a long sample at a time; the others take a mean
# of clips, which takes little time however many there are.
_OVER_TIME = ("lstm", "gru", "transformer", *_YOUNGER)

_FEWEST_CLIPS, _SHARE = 64, 0.95


def follows_data(experiment: str, encoder: str) -> bool:
    """Whether sizes that are not given follow from the data."""
    return encoder in _YOUNGER or (experiment == DEFAULT.name and encoder in _WIDEST)


def fitted_to_data(
    config: "ResolvedConfig", samples: int, dim: int, lengths: Sequence[int]
) -> "ResolvedConfig":
    """The settings with the sizes filled in that follow from the data.

    Args:
        samples: that are not tested.
        dim: of what the encoder sees of a clip; lengths: clips of each of the samples.
    """
    if not follows_data(config.experiment, config.encoder):
        return config
    hidden, clips = config.encoder_hidden, config.max_clips
    if hidden is None:
        hidden = suited_width(config.encoder, samples, dim)
    if clips is None and config.encoder in _OVER_TIME and config.fine_tuning is None:
        clips = usual_max_clips(lengths)
    return replace(config, encoder_hidden=hidden, max_clips=clips)


def suited_width(encoder: str, samples: int, dim: int) -> int:
    """The power of 2 nearest to 8 times the root of the number of samples: 32 for 20, 64 for 60, 128 for 250,
    256 for 1,000.

    At least 16; at most the encoder's usual width, and no wider than a clip is. There is one label a sample,
    however many clips it has, so the number of clips plays no part.

    >>> [suited_width("lstm", samples, 1024) for samples in (4, 29, 143, 1059, 100_000)]
    [16, 32, 128, 256, 1024]
    """
    wanted = round(math.log2(8 * math.sqrt(max(1, samples))))
    highest = min(_WIDEST[encoder], 2 ** math.ceil(math.log2(dim)))
    return max(_NARROWEST, min(2**wanted, highest))


def usual_max_clips(lengths: Sequence[int]) -> int:
    """So many clips as 95 of 100 samples have at most; at least 64.

    >>> usual_max_clips([10] * 19 + [500]), usual_max_clips(range(1, 201))
    (64, 190)
    """
    ordered = sorted(lengths)
    return max(_FEWEST_CLIPS, ordered[math.ceil(_SHARE * len(ordered)) - 1])
