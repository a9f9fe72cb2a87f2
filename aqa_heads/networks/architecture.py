"""All that makes the network, apart from its weights."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from aqa_cache.short_repr import short_repr

from ..settings.experiments import REGRESSION


@dataclass(frozen=True)
class Architecture:
    """What `AqaModel` is built from. It is saved with the weights, so that their file alone is a model.

    Args:
        dim: size of one clip feature.
        tasks: any of `score`, `classes`, `caption`; only what they need is built.
        classes: the class names of each class column; without effect if there is no class task.
        words: size of the vocabulary; without effect if there is no caption task.
        score_scale, score_centre: in points. A score in units of the score scale is (points - centre) /
            scale.
        rnn: cell of the captioner's two RNNs; None: there is no captioner.
        layers: stacked cells in each of them.
        attention: what the captioner sees of a clip feature, one of `experiments.ATTENTIONS`.
        residual: connections around the captioner's cells.
        encoder: from clips to one feature, a name as `--encoder` takes it.
        encoder_hidden, encoder_layers: its width and depth; None: an own encoder that was not told them.
        projection: width of a learned linear projection of every clip feature; None: there is none.
        dropout: before and after fc6, in training; an own score head is told it too.
        head: `fc6`, or `linear`: the score of `regression` is linear in the encoder's output.
        fc6: width of that layer; None: the original's 4096.
        direct: the score of `regression` has a linear path from the mean of the clips, too.
        score_head: a name as `--score-head` takes it.
        score_options: what the score head is made with beside what every one is told, plain JSON.
    """

    dim: int
    tasks: Sequence[str] = ()
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    words: int = 0
    score_scale: float = 1.0
    score_centre: float = 0.0
    rnn: str | None = "gru"
    layers: int | None = 2
    attention: str | None = "none"
    residual: bool | None = False
    encoder: str = "average"
    encoder_hidden: int | None = 1024
    encoder_layers: int | None = 2
    projection: int | None = None
    dropout: float = 0.0
    head: str = "fc6"
    fc6: int | None = None
    direct: bool = False
    score_head: str = REGRESSION
    score_options: Mapping[str, object] = field(default_factory=dict[str, object])

    __repr__ = short_repr

    def __post_init__(self):
        ends: list[float | None] = [self.score_scale, self.score_centre]  # of a file, whatever it says
        if "score" in self.tasks and (None in ends or self.score_scale <= 0):
            raise ValueError(
                f"score_scale is {self.score_scale} and score_centre {self.score_centre}, expected a number"
                " above 0 and a number"
            )

    @classmethod
    def from_record(cls, record: Mapping[str, Any], words: int) -> "Architecture":
        """Of the run that `record`, the content of a `config.json`, describes.

        Args:
            words: size of its vocabulary; 0 where it has none.

        Raises:
            KeyError: something is not in the record that every run says.
        """
        names = [each.name for each in fields(cls) if each.name not in _NOT_IN_CONFIG]
        return cls(
            record["features"]["dim"],
            words=words,
            **{name: record[name] for name in names},
            fc6=record.get("fc6"),
            score_head=record.get("score_head") or REGRESSION,
            score_options=record.get("score_options") or {},
        )

    def record(self) -> dict[str, Any]:
        """As plain JSON; `Architecture(**record)` is the same again."""
        return asdict(self) | {
            "tasks": list(self.tasks),
            "classes": {name: list(names) for name, names in self.classes.items()},
            "score_options": dict(self.score_options),
        }


# Said otherwise there, or only where it was asked for.
_NOT_IN_CONFIG = ("dim", "words", "fc6", "score_head", "score_options")
