"""Everything after the backbone: clip features to score, classes and caption."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from .captioner import Captioner
from .encoders import AverageEncoder, LstmEncoder
from .heads import Heads
from .standardisation import Standardiser
from .vocabulary import CAPTION_SLOTS


@dataclass(frozen=True)
class Output:
    """What the model says of a batch.

    Shape:
        - score: `(batch,)`, in units of the score scale, or None; classes: per column logits `(batch, classes)`;
          spoken: `(batch, words, hidden)`, the captioner's states before its output layer, or None.
    """

    score: torch.Tensor | None
    classes: dict[str, torch.Tensor]
    spoken: torch.Tensor | None


class AqaModel(nn.Module):
    """Standardiser, encoder and heads; beside them the captioner, which sees the clips and not the encoder's output.

    Args:
        dim: size of one clip feature.
        tasks: any of `score`, `classes`, `caption`; only what they need is built.
        classes: the class names of each class column.
        words: size of the vocabulary; without effect if there is no caption task.
        score_scale: in points; 1 for the score head.
        rnn, layers, attention: of the captioner.
        encoder: `average` or `lstm`, the latter with `encoder_hidden` and `encoder_layers`.

    Shape:
        - features: `(batch, clips, dim)`; count: `(batch,)` int64, at least 1: clips from there on change nothing.
        - heard: `(batch, words)` int64, what the captioner hears (teacher forcing); None: it stays silent.

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
        rnn: str,
        layers: int,
        attention: str,
        encoder: str,
        encoder_hidden: int,
        encoder_layers: int,
    ):
        super().__init__()
        self.class_names = {name: list(names) for name, names in classes.items()} if "classes" in tasks else {}
        self.score_scale = score_scale
        self.standardiser = Standardiser(dim)
        self.encoder = self.heads = self.captioner = None
        if "score" in tasks or "classes" in tasks:
            self.encoder = (
                AverageEncoder(dim) if encoder == "average" else LstmEncoder(dim, encoder_hidden, encoder_layers)
            )
            numbers = {name: len(names) for name, names in self.class_names.items()}
            self.heads = Heads(self.encoder.out_dim, "score" in tasks, numbers)
        if "caption" in tasks:
            self.captioner = Captioner(dim, words, rnn, layers, attention)

    @classmethod
    def from_config(cls, config: Mapping, words: int) -> "AqaModel":
        """The model that a run's `config.json` describes, untrained."""
        names = (
            "tasks", "classes", "score_scale", "rnn", "layers", "attention", "encoder", "encoder_hidden", "encoder_layers",
        )  # fmt: skip
        return cls(config["features"]["dim"], words=words, **{name: config[name] for name in names})

    @property
    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, features: torch.Tensor, count: torch.Tensor, heard: torch.Tensor | None = None) -> Output:
        features = self.standardiser(features, count)
        score, classes = (None, {}) if self.heads is None else self.heads(self.encoder(features, count))
        spoken = None if heard is None or self.captioner is None else self.captioner.states(features, count, heard)
        return Output(score, classes, spoken)

    def speak(self, features: torch.Tensor, count: torch.Tensor, steps: int = CAPTION_SLOTS - 1) -> torch.Tensor:
        """Captions as word numbers, `(batch, steps)`; see `Captioner.speak`."""
        return self.captioner.speak(self.standardiser(features, count), count, steps)
