"""What every score head is given and gives: the seam behind which all of them stand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from aqa_cache.annotations import Sample
from aqa_cache.short_repr import short_repr


@dataclass(frozen=True)
class Encoded:
    """What is known of a batch's clips when they have been encoded.

    An encoder may give one of its own, with `pooled` and what it has of `parts` and `loss`.

    Shape:
        - pooled: `(batch, width)`, the encoder's output.
        - mean: `(batch, dim)`, the mean of the clips as the encoder sees them; of an encoder that weighs the
          clips, or that says `replaces_mean`, its output.
        - parts: `(batch, parts, width)`, an encoder's queries, grades or phases one by one, or None.
        - loss: a scalar, what the encoder itself wants to be small in training, or None.
        - shared: `(batch, shared)`, of the layer that class heads and `regression` share, or None.
        - direct: `(batch,)`, of the linear path that starts as a ridge regression, in units of the score
          scale, or None.
    """

    pooled: torch.Tensor
    mean: torch.Tensor | None = None
    parts: torch.Tensor | None = None
    loss: torch.Tensor | None = None
    shared: torch.Tensor | None = None
    direct: torch.Tensor | None = None

    __repr__ = short_repr


@dataclass(frozen=True)
class Sizes:
    """The sizes of an `Encoded`.

    Args:
        pooled, mean, shared: the last dimension; parts: how many an encoder has, each as wide as `pooled`, or
            None.
    """

    pooled: int
    mean: int
    parts: int | None = None
    shared: int | None = None


@dataclass(frozen=True)
class Distribution:
    """Points and how likely each of them is.

    Shape:
        - points: `(bins,)`, or `(batch, bins)`; probabilities: `(batch, bins)`, rows of sum 1.
    """

    points: torch.Tensor
    probabilities: torch.Tensor

    __repr__ = short_repr


@dataclass(frozen=True)
class ScorePrediction:
    """What a head says of a batch.

    Shape:
        - points: `(batch,)`, in points.
        - spread: `(batch,)`, a standard deviation in points, or None where the head has none.
        - interval: `(batch, 2)`, between which two points 90 % of the scores are to lie. None: as the
          distribution says, else as a normal distribution of this spread has it.
        - fallen_back: `(batch,)` bool, where something that the head reads of a sample was not known, or not
          known in training, and another took its place; `ScoreHead.fallback` says what.
    """

    points: torch.Tensor
    spread: torch.Tensor | None = None
    distribution: Distribution | None = None
    interval: torch.Tensor | None = None
    fallen_back: torch.Tensor | None = None

    __repr__ = short_repr


@dataclass(frozen=True)
class Known:
    """What is known of a batch's samples beside their clips; of it a head gets what it `needs` or `reads`,
    the rest is None.

    Shape:
        - difficulty: `(batch,)`, NaN where it is not known.
        - keys: `(batch,)`, by which a head pairs samples: the number in the column `ScoreHead.key`; NaN where
          there is none, or none that training had.
        - marks: `(batch, judges)` in points, NaN where none was given; None when scores are predicted.
        - labelled: int64, the places in the batch of the samples that have a score; None when scores are
          predicted.
    """

    difficulty: torch.Tensor | None = None
    keys: torch.Tensor | None = None
    marks: torch.Tensor | None = None
    labelled: torch.Tensor | None = None

    __repr__ = short_repr


class ScoreHead(nn.Module):
    """From an encoded batch to scores. What it needs at test time are weights and buffers, so that the file
    of the model alone predicts.

    A buffer that `prepare` or `remember` makes may have any size: register it empty, and loading takes the
    size of the file.

    Args:
        sizes: of what it is given.
        scale, centre: of the training scores, in points, as `Architecture` has them.
        dropout: in training, where the head has a place for it.

    Attributes:
        needs: any of `difficulty`, `key`, `marks`, `parts`. What no training sample, or not the encoder, has
            is one message before anything is trained.
        reads: further ones that it is given where they are there; a sample that lacks one has NaN.
        key: the column by which it pairs samples: `difficulty`, or a class column.
        key_names: by class column the names that number its keys; of others those that the model tells apart.
        fallback: of samples, what is done where one has fallen back, such as `have no difficulty: …`.
        shares: whether it reads `Encoded.shared`, which is built only for such heads. `Encoded.direct` is for
            those of `experiments.RIDGE_STARTED`.
    """

    needs: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()
    key: str = "difficulty"
    key_names: Mapping[str, Sequence[str]] = {}
    fallback: str = ""
    shares: bool = False

    def __init__(self, sizes: Sizes, *, scale: float = 1.0, centre: float = 0.0, dropout: float = 0.0):
        super().__init__()
        self.sizes, self.scale, self.centre, self.dropout = sizes, scale, centre, dropout
        self.register_load_state_dict_pre_hook(_take_sizes)  # pyright: ignore[reportUnknownMemberType]

    @classmethod
    def sized_by(cls, samples: Sequence[Sample], **asked: str) -> dict[str, object]:
        """What else the head is made with, as it follows from the training samples that have a score: how
        many judges there are. Plain JSON; it is saved with the model.

        Args:
            asked: the options of the head (`experiments.SCORE_HEAD_OPTIONS`); an own head has none.
        """
        return {}

    def prepare(self, encoded: Encoded, known: Known, points: torch.Tensor) -> Sequence[str] | None:
        """Set, once, before the first step, what follows from the training samples: bins, groups.

        Args:
            encoded, known: of all training samples that have a score, without gradients; points: `(samples,)`
                their scores.

        Returns:
            What is to be said of it, a note each.
        """

    def remember(self, encoded: Encoded, known: Known, points: torch.Tensor) -> None:
        """Keep what the head wants to have of training samples when it predicts, such as exemplars.

        Called after `prepare` and before every evaluation, as what the encoder says of them changes; with the
        same arguments.
        """

    def start_at_zero(self) -> None:
        """Say nothing beyond `Encoded.direct`, as long as nothing is learned; of heads that read it."""
        raise NotImplementedError

    def start_with_spread(self, spread: float) -> None:
        """Called before `prepare` where `Encoded.direct` is a ridge regression; of heads of
        `experiments.RIDGE_STARTED`.

        Args:
            spread: the standard deviation of what it leaves of a sample's score when it is fitted to the
                others, in units of the score scale.
        """

    def loss(
        self, encoded: Encoded, known: Known, points: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """What is to be small, for every sample that has a score; their mean is the loss.

        Args:
            points: `(batch,)`, the final scores, or the execution scores where these are multiplied by the
                difficulty; NaN where there is none. `known.labelled` are the places of the others.

        Returns:
            `(labelled,)`; or several of these, whose means are added. One of pairs, or of all together, has
            another size.
        """
        raise NotImplementedError

    def predict(self, encoded: Encoded, known: Known) -> ScorePrediction:
        raise NotImplementedError

    def fit_buffers(self, sizes: Mapping[str, Sequence[int]]) -> None:
        """Give buffers these sizes, by their names, before stored ones take their place."""
        for name, buffer in list(self.named_buffers()):
            if name in sizes and tuple(sizes[name]) != tuple(buffer.shape):
                parent, _, own = name.rpartition(".")
                setattr(self.get_submodule(parent), own, buffer.new_zeros(tuple(sizes[name])))


def _take_sizes(head: ScoreHead, state: Mapping[str, torch.Tensor], prefix: str, *_) -> None:
    head.fit_buffers(
        {name.removeprefix(prefix): stored.shape for name, stored in state.items() if name.startswith(prefix)}
    )
