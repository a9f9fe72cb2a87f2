"""Encoders by their names."""

from ...errors import TrainingError
from ...settings.experiments import KNOWN_ENCODERS
from .attention import AttentionEncoder
from .average import AverageEncoder
from .conv import ConvEncoder
from .gdlt import GdltEncoder
from .recurrent import GruEncoder, LstmEncoder
from .seam import Encoder
from .statistics import StatisticsEncoder
from .tpt import TptEncoder
from .transformer import TransformerEncoder

# By the names of `experiments.ENCODER_SIZES`, which says how large they are.
ENCODER_CLASSES: dict[str, type[Encoder]] = {
    "average": AverageEncoder,
    "lstm": LstmEncoder,
    "gru": GruEncoder,
    "attention": AttentionEncoder,
    "transformer": TransformerEncoder,
    "statistics": StatisticsEncoder,
    "conv": ConvEncoder,
    "gdlt": GdltEncoder,
    "tpt": TptEncoder,
}
# Which of width and depth they are made with.
_SIZES = {"average": (), "statistics": (), "attention": ("hidden",)}


def make_encoder(name: str, dim: int, hidden: int | None, layers: int | None) -> Encoder:
    """An encoder by its name, one of `experiments.ENCODERS` or one that is known in this process.

    Args:
        hidden, layers: as in the class, which says what they are where they are not given; `average` and
            `statistics` have neither, `attention` no layers.

    Raises:
        TrainingError: there is no such encoder, or it is none.
    """
    sizes = {"hidden": hidden, "layers": layers}
    given = {size: value for size, value in sizes.items() if value is not None}
    if name in ENCODER_CLASSES:
        having = _SIZES.get(name, sizes)
        return ENCODER_CLASSES[name](dim, **{size: given[size] for size in having if size in given})
    encoder = KNOWN_ENCODERS.find(name)(dim, **given)
    if not isinstance(encoder, Encoder):
        raise TrainingError(
            f"encoder {name}: makes a {type(encoder).__name__}, expected an aqa_heads.Encoder; derive it from"
            " that class"
        )
    return encoder
