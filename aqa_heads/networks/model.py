"""Everything after the backbone: clip features to score, classes and caption."""

# Encoder, heads and captioner are None where no task needs them.
# pyright: reportOptionalCall=false, reportOptionalMemberAccess=false, reportArgumentType=false

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from ..captions.captioner import Captioner
from .encoders import make_encoder
from .frugal_lstm import FrugalLstmEncoder
from .heads import Heads
from .standardisation import Standardiser

# From this width on, gradients and the optimiser's state of an LSTM encoder would take more memory than is
# there.
FRUGAL_HIDDEN = 4096
# What of a run's record makes its model, beside the size of its features and its vocabulary.
FROM_CONFIG = (
    "tasks",
    "classes",
    "score_scale",
    "score_centre",
    "rnn",
    "layers",
    "attention",
    "residual",
    "encoder",
    "encoder_hidden",
    "encoder_layers",
    "projection",
    "dropout",
    "head",
    "direct",
)


def is_frugal(encoder: str, hidden: int | None) -> bool:
    """Whether an encoder of this width trains itself in its backward pass."""
    return encoder == "lstm" and (hidden or 0) >= FRUGAL_HIDDEN


@dataclass(frozen=True)
class Output:
    """What the model says of a batch.

    Shape:
        - score: `(batch,)`, in units of the score scale above the centre, or None; classes: per column logits
          `(batch, classes)`.
    """

    score: torch.Tensor | None
    classes: dict[str, torch.Tensor]


class AqaModel(nn.Module):
    """Standardiser, encoder and heads (together the assessment); beside them the captioner.

    The captioner sees the clips and not the encoder's output, so with cached features the two share nothing
    but, where there is one, the projection.

    Args:
        dim: size of one clip feature.
        tasks: any of `score`, `classes`, `caption`; only what they need is built.
        classes: the class names of each class column.
        words: size of the vocabulary; without effect if there is no caption task.
        score_scale, score_centre: in points; 1 for the score head is `score_scale` above `score_centre`.
        rnn, layers, attention, residual: of the captioner.
        encoder, encoder_hidden, encoder_layers: one of `experiments.ENCODERS`, its width and depth.
        projection: width of a learned linear projection of every clip feature; None: there is none.
        dropout: before and after fc6, in training.
        head: `fc6`, or `linear`: the score is linear in the encoder's output.
        direct: the score has a linear path from the mean of the clips, too.

    Shape:
        - features: `(batch, clips, dim)`; count: `(batch,)` int64, at least 1: clips from there on change
          nothing.
        - heard: `(batch, words)` int64, what the captioner hears (teacher forcing).

    Source: Parmar & Morris 2019, arXiv:1904.04346, C3D-AVG-MTL, and the variants of Table 1 in the paper.
    """

    def __init__(
        self,
        dim: int,
        *,
        tasks: Sequence[str],
        classes: Mapping[str, Sequence[str]],
        words: int,
        score_scale: float,
        score_centre: float = 0.0,
        rnn: str | None = "gru",
        layers: int | None = 2,
        attention: str | None = "none",
        residual: bool = False,
        encoder: str = "average",
        encoder_hidden: int = 1024,
        encoder_layers: int = 2,
        projection: int | None = None,
        dropout: float = 0.0,
        head: str = "fc6",
        direct: bool = False,
    ):
        super().__init__()
        self.class_names = (
            {name: list(names) for name, names in classes.items()} if "classes" in tasks else {}
        )
        self.score_scale, self.score_centre = score_scale, score_centre
        self.standardiser = Standardiser(dim)
        self.projection = None if projection is None else nn.Linear(dim, projection)
        self.encoder = self.heads = self.captioner = None
        width = projection or dim
        if "score" in tasks or "classes" in tasks:
            make = FrugalLstmEncoder if is_frugal(encoder, encoder_hidden) else partial(make_encoder, encoder)
            self.encoder = make(width, encoder_hidden, encoder_layers)
            numbers = {name: len(names) for name, names in self.class_names.items()}
            self.heads = Heads(
                self.encoder.out_dim,
                "score" in tasks,
                numbers,
                dropout,
                head == "fc6",
                width if direct else None,
            )
        if "caption" in tasks:
            self.captioner = Captioner(width, words, rnn, layers, attention, residual=residual)

    @classmethod
    def from_config(cls, config: Mapping, words: int) -> "AqaModel":
        """The model that a run's `config.json` describes, untrained."""
        return cls(config["features"]["dim"], words=words, **{name: config[name] for name in FROM_CONFIG})

    @property
    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def has_score(self) -> bool:
        return self.heads is not None and self.heads.score is not None

    @property
    def parts(self) -> dict[str, nn.ModuleDict]:
        """The modules that are trained together, by name: what shares no weight is trained apart.

        `assessment` and `captioner`; `model` where a projection belongs to both.
        """
        modules = {
            "projection": self.projection,
            "encoder": self.encoder,
            "heads": self.heads,
            "captioner": self.captioner,
        }
        modules = {name: module for name, module in modules.items() if module is not None}
        if self.heads is not None and self.captioner is not None:
            if self.projection is not None:
                return {"model": nn.ModuleDict(modules)}
            spoken = {"captioner": modules.pop("captioner")}
            return {"assessment": nn.ModuleDict(modules), "captioner": nn.ModuleDict(spoken)}
        return {"captioner" if self.heads is None else "assessment": nn.ModuleDict(modules)}

    def seen(self, features: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        """What encoder and captioner see of clip features: standardised, projected, zeros behind `count`."""
        features = self.standardiser(features, count)
        if self.projection is None:
            return features
        padding = torch.arange(features.shape[1], device=count.device) >= count.unsqueeze(1)
        return self.projection(features).masked_fill(padding.unsqueeze(2), 0)

    def forward(self, features: torch.Tensor, count: torch.Tensor) -> Output:
        if self.heads is None:
            return Output(None, {})
        seen = self.seen(features, count)
        encoded = self.encoder(seen, count)
        # A weighted mean of the clips takes the place of their mean, so that its weights are all that the
        # score depends on.
        mean = encoded if hasattr(self.encoder, "contributions") else seen.sum(1) / count.unsqueeze(1)
        return Output(*self.heads(encoded, mean))

    def caption_loss(self, features, count, heard, following, positions) -> torch.Tensor:
        """Summed negative log-likelihood of the words, in nats; see `Captioner.loss`."""
        return self.captioner.loss(self.seen(features, count), count, heard, following, positions)

    def speak(self, features: torch.Tensor, count: torch.Tensor, beam: int = 1):
        """Captions as word numbers; see `Captioner.speak`."""
        return self.captioner.speak(self.seen(features, count), count, beam=beam)
