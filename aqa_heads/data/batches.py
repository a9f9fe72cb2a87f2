"""The samples of a split with their labels as tensors, and batches of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from aqa_cache.annotations import Sample

from ..captions.vocabulary import EOS
from .feature_views import SomeViews, Views

NO_CLASS = -1


@dataclass(frozen=True)
class Batch:
    """Some samples of a split, padded to the longest of them.

    Shape:
        - features: `(batch, clips, dim)`, zeros beyond a sample's length; lengths: `(batch,)`.
        - score: `(batch,)` in points; scored: indices of the samples that have one.
        - classes: per column `(batch,)`; classified: per column the indices of the samples that have a class.
        - inputs: `(batch, words)`, each caption from `<sos>` to its last word, or None if no sample has a
          caption.
        - targets: `(real words,)`, the words to be said, to `<eos>`; positions: their places in `inputs`
          flattened.

    Args:
        samples: their annotations.
    """

    features: torch.Tensor
    lengths: torch.Tensor
    score: torch.Tensor
    scored: torch.Tensor
    classes: dict[str, torch.Tensor]
    classified: dict[str, torch.Tensor]
    inputs: torch.Tensor | None
    targets: torch.Tensor | None
    positions: torch.Tensor | None
    captions: int
    samples: Sequence[Sample] = ()


@dataclass(frozen=True)
class Split:
    """The samples of one split that have features.

    Args:
        samples: their annotations.
        views: the features of their views. Only training samples have other views than the plain one here.
        score: `(samples,)` float32 in points, what the score head learns; NaN where there is none.
        factor: `(samples,)` float64: a final score is this times what the score head learns; NaN where it is
            not known.
        classes: per column `(samples,)` int64, `NO_CLASS` where there is none.
        captions: word numbers from `<sos>` to `<eos>`, empty where there is none.
    """

    samples: list[Sample]
    views: Views | SomeViews
    score: torch.Tensor
    factor: np.ndarray
    classes: dict[str, torch.Tensor]
    captions: list[torch.Tensor]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def clips(self) -> Sequence[torch.Tensor]:
        """Per sample the features of its plain view, on which everything is evaluated."""
        return self.views

    @cached_property
    def labelled(self) -> list[int]:
        """Indices of the samples that have a label of any task."""
        some = ~self.score.isnan() | torch.tensor(
            [len(caption) > 0 for caption in self.captions], dtype=torch.bool
        )
        for column in self.classes.values():
            some |= column != NO_CLASS
        return some.nonzero()[:, 0].tolist()

    def to(self, device: torch.device) -> "Split":
        """The same with the features on `device`; labels stay on the CPU until a batch is made."""
        return replace(self, views=self.views.to(device))

    def take(self, indices: Sequence[int]) -> "Split":
        """The samples at `indices`, in this order; features are shared."""
        chosen = list(indices)
        return Split(
            [self.samples[index] for index in chosen],
            SomeViews((self.views, index) for index in chosen),
            self.score[chosen],
            self.factor[chosen],
            {name: column[chosen] for name, column in self.classes.items()},
            [self.captions[index] for index in chosen],
        )

    def with_all_of(self, other: "Split") -> "Split":
        """These samples and behind them those of `other`; features are shared."""
        return Split(
            [*self.samples, *other.samples],
            SomeViews((split.views, index) for split in (self, other) for index in range(len(split))),
            torch.cat([self.score, other.score]),
            np.concatenate([self.factor, other.factor]),
            {name: torch.cat([column, other.classes[name]]) for name, column in self.classes.items()},
            [*self.captions, *other.captions],
        )

    def draw_views(self, generator: torch.Generator) -> list[int]:
        """For every sample the number of one of its views, all equally likely."""
        counts = torch.tensor(self.views.counts)
        return (torch.rand(len(self), generator=generator, dtype=torch.float64) * counts).long().tolist()

    def batch(self, indices: Sequence[int], views: Sequence[int] | None = None) -> Batch:
        """The samples at `indices`, each in its view of `views`, which has an entry per sample of the split;
        None: plain.
        """
        return self.batch_of(
            indices, [self.views.read(index, views[index] if views else 0) for index in indices]
        )

    def batch_of(self, indices: Sequence[int], clips: Sequence[torch.Tensor]) -> Batch:
        """The samples at `indices` with `clips` as their features, each `(clips, dim)`."""
        chosen = torch.tensor(indices)
        features, lengths = pad_clips(clips)
        device = features.device
        score = self.score[chosen]
        classes = {name: column[chosen] for name, column in self.classes.items()}
        inputs = targets = positions = None
        captions = [self.captions[index] for index in indices]
        said = sum(len(caption) > 0 for caption in captions)
        if said:
            inputs = pad_sequence([caption[:-1] for caption in captions], batch_first=True, padding_value=EOS)
            targets = torch.cat([caption[1:] for caption in captions])
            steps = inputs.shape[1]
            positions = torch.cat(
                [torch.arange(len(c) - 1) + row * steps for row, c in enumerate(captions) if len(c)]
            )
            inputs, targets, positions = inputs.to(device), targets.to(device), positions.to(device)
        return Batch(
            features,
            lengths,
            score.to(device),
            (~score.isnan()).nonzero()[:, 0].to(device),
            {name: column.to(device) for name, column in classes.items()},
            {name: (column != NO_CLASS).nonzero()[:, 0].to(device) for name, column in classes.items()},
            inputs,
            targets,
            positions,
            said,
            [self.samples[index] for index in indices],
        )


def pad_clips(clips: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples of any number of clips as one batch: features `(batch, clips, dim)`, zeros where padded;
    lengths `(batch,)`.
    """
    lengths = torch.tensor([len(sample) for sample in clips], device=clips[0].device)
    return pad_sequence(list(clips), batch_first=True), lengths
