"""Everything after the backbone: clip features to score, classes and caption."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import nn

from aqa_cache.short_repr import cut

from ..captions.captioner import Captioner
from ..settings.experiments import REGRESSION
from .architecture import Architecture
from .encoders.by_name import make_encoder
from .encoders.seam import Encoder, mean_of
from .frugal_lstm import FrugalLstmEncoder
from .heads import Heads
from .score_heads.by_name import score_head_class
from .score_heads.seam import Encoded, Known, ScoreHead, ScorePrediction, Sizes
from .standardisation import Standardiser

# From this width on, gradients and the optimiser's state of an LSTM encoder would take more memory than is
# there.
FRUGAL_HIDDEN = 4096


def is_frugal(encoder: str, hidden: int | None) -> bool:
    """Whether an encoder of this width trains itself in its backward pass."""
    return encoder == "lstm" and (hidden or 0) >= FRUGAL_HIDDEN


@dataclass(frozen=True)
class Output:
    """What the model says of a batch.

    Args:
        score: None if the model has no score head.
        classes: per column logits `(batch, classes)`.
    """

    score: ScorePrediction | None
    classes: dict[str, torch.Tensor]


@dataclass(frozen=True)
class AddedLoss:
    """A term that is added to the loss of the score head.

    Args:
        function: of predicted and true scores, `(labelled,)` each, in units of the score scale; gives a
            scalar, or `(labelled,)`, whose mean is taken.
        weight: of it.
    """

    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    weight: float = 1.0


class AqaModel(nn.Module):
    """Standardiser, encoder and heads (together the assessment); beside them the captioner.

    The captioner sees the clips and not the encoder's output, so with cached features the two share nothing
    but, where there is one, the projection.

    Args:
        architecture: all that it is made from.

    Attributes:
        added_loss (AddedLoss | None): is trained for too; no part of the architecture.

    Shape:
        - features: `(batch, clips, dim)`; lengths: `(batch,)` int64, at least 1: clips from there on change
          nothing.
        - inputs: `(batch, words)` int64, what the captioner is given: the words before (teacher forcing).

    Raises:
        TrainingError: its encoder or score head is not known here.

    Source: Parmar & Morris 2019, arXiv:1904.04346, C3D-AVG-MTL, and the variants of Table 1 in the paper.
    """

    def __repr__(self) -> str:
        weights = sum(weight.numel() for weight in self.parameters())
        tasks, encoder = "+".join(self.architecture.tasks), self.architecture.encoder
        return cut(f"<AqaModel: {tasks}; encoder {encoder}; {weights:,} weights; print(*model.children())>")

    def __init__(self, architecture: Architecture):
        super().__init__()
        made_of = self.architecture = architecture
        self.added_loss: AddedLoss | None = None
        tasks = made_of.tasks
        self.class_names = (
            {name: list(names) for name, names in made_of.classes.items()} if "classes" in tasks else {}
        )
        self.score_scale, self.score_centre = made_of.score_scale, made_of.score_centre
        self.standardiser = Standardiser(made_of.dim)
        self.projection = None if made_of.projection is None else nn.Linear(made_of.dim, made_of.projection)
        # None where no task needs them.
        self.encoder: Encoder | None = None
        self.heads: Heads | None = None
        self.captioner: Captioner | None = None
        width = made_of.projection or made_of.dim
        if "score" in tasks or "classes" in tasks:
            hidden, layers = made_of.encoder_hidden, made_of.encoder_layers
            self.encoder = (
                FrugalLstmEncoder(width, cast(int, hidden), cast(int, layers))
                if is_frugal(made_of.encoder, hidden)
                else make_encoder(made_of.encoder, width, hidden, layers)
            )
            self.heads = _heads(made_of, self._sizes(width))
        if "caption" in tasks:
            self.captioner = Captioner(
                width,
                made_of.words,
                cast(str, made_of.rnn),
                cast(int, made_of.layers),
                cast(str, made_of.attention),
                residual=cast(bool, made_of.residual),
            )

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
            captioner = {"captioner": modules.pop("captioner")}
            return {"assessment": nn.ModuleDict(modules), "captioner": nn.ModuleDict(captioner)}
        return {"captioner" if self.heads is None else "assessment": nn.ModuleDict(modules)}

    def fit_buffers(self, sizes: Mapping[str, Sequence[int]]) -> None:
        """Give what the score head keeps the sizes that it has in a file, by the names of weights there."""
        if self.heads is not None and self.heads.score is not None:
            prefix = "heads.score."
            self.heads.score.fit_buffers(
                {name.removeprefix(prefix): size for name, size in sizes.items() if name.startswith(prefix)}
            )

    def seen(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """What encoder and captioner see of clip features: standardised, projected, zeros where padded."""
        features = self.standardiser(features, lengths)
        if self.projection is None:
            return features
        padding = torch.arange(features.shape[1], device=lengths.device) >= lengths.unsqueeze(1)
        return self.projection(features).masked_fill(padding.unsqueeze(2), 0)

    def encode(self, features: torch.Tensor, lengths: torch.Tensor) -> Encoded:
        """What the heads see of the clips; there are heads."""
        assert self.encoder is not None and self.heads is not None
        seen = self.seen(features, lengths)
        encoded = self.encoder(seen, lengths)
        if not isinstance(encoded, Encoded):
            encoded = Encoded(encoded)
        # A weighted mean of the clips takes the place of their mean, so that its weights are all that the
        # score depends on.
        mean = encoded.pooled if self._replaces_mean else mean_of(seen, lengths)
        return self.heads.share(replace(encoded, mean=mean))

    @property
    def _replaces_mean(self) -> bool:
        assert self.encoder is not None
        return self.encoder.weighs_clips or self.encoder.replaces_mean

    def _sizes(self, width: int) -> Sizes:
        assert self.encoder is not None
        pooled = self.encoder.out_dim
        return Sizes(pooled, pooled if self._replaces_mean else width, self.encoder.parts)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor, known: Known | None = None) -> Output:
        """What it says; `known` is what its score head needs to know of the samples (`known_of`)."""
        if self.heads is None:
            return Output(None, {})
        return Output(*self.heads(self.encode(features, lengths), known))

    def caption_loss(
        self,
        features: torch.Tensor,
        lengths: torch.Tensor,
        inputs: torch.Tensor,
        targets: torch.Tensor,
        positions: torch.Tensor,
    ) -> torch.Tensor:
        """Summed negative log-likelihood of the words, in nats; see `Captioner.loss`."""
        assert self.captioner is not None
        return self.captioner.loss(self.seen(features, lengths), lengths, inputs, targets, positions)

    def generate(self, features: torch.Tensor, lengths: torch.Tensor, beam: int = 1):
        """Captions as word numbers; see `Captioner.generate`."""
        assert self.captioner is not None
        return self.captioner.generate(self.seen(features, lengths), lengths, beam=beam)


def _heads(architecture: Architecture, sizes: Sizes) -> Heads:
    score: type[ScoreHead] | None = None
    options: dict[str, object] = {}
    if "score" in architecture.tasks:
        score = score_head_class(architecture.score_head)
        options = {"scale": architecture.score_scale, "centre": architecture.score_centre}
        options |= architecture.score_options
        if architecture.score_head == REGRESSION:
            # A linear head is the older C3D-LSTM's, which has no L1 term.
            options["absolute"] = architecture.head == "fc6"
    classes: Mapping[str, Sequence[str]] = architecture.classes if "classes" in architecture.tasks else {}
    return Heads(
        sizes,
        score,
        {name: len(names) for name, names in classes.items()},
        architecture.dropout,
        architecture.fc6,
        architecture.head != "fc6",
        architecture.direct,
        **options,
    )
