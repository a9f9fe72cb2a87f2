"""What training takes from a feature cache: per split the labels of every task as tensors, and the features
of its views.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from aqa_cache.annotations import Sample, class_names
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.machine.devices import available_memory, pick_device

from ..captions.vocabulary import EOS, RESERVED, Vocabulary
from ..errors import TrainingError
from ..settings.resolved import ResolvedConfig
from ..settings.training import ALL_VIEWS
from .division import Division
from .feature_views import SomeViews, Views
from .leaks import Frames
from .splits import SplitChoice

NO_CLASS = -1
# Of the free memory, for the features; the rest is for the model and its optimiser.
MEMORY_SHARE = 0.5


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
            SomeViews([(self.views, index) for index in chosen]),
            self.score[chosen],
            self.factor[chosen],
            {name: column[chosen] for name, column in self.classes.items()},
            [self.captions[index] for index in chosen],
        )

    def with_all_of(self, other: "Split") -> "Split":
        """These samples and behind them those of `other`; features are shared."""
        return Split(
            [*self.samples, *other.samples],
            SomeViews([(split.views, index) for split in (self, other) for index in range(len(split))]),
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


@dataclass(frozen=True)
class TrainingData:
    """The splits of a cache that a run uses, and what is common to them.

    Args:
        val: empty where nothing is held out.
        choice: how the samples were divided.
        tasks: those that have a training label.
        class_names: per class column that has a training label its classes, of all splits, sorted.
        vocabulary: of the training captions, or the one asked for; None if there is no caption task.
        notes: what a person should know of the choice, one line each.
        folds, frames: as `Division` has them.
    """

    train: Split
    val: Split
    test: Split
    choice: SplitChoice
    tasks: tuple[str, ...]
    class_names: dict[str, list[str]]
    vocabulary: Vocabulary | None
    notes: list[str]
    folds: tuple[frozenset[str], ...] | None = None
    frames: Mapping[str, Frames] | None = None

    @property
    def splits(self) -> dict[str, Split]:
        return {"train": self.train, "val": self.val, "test": self.test}

    def joined(self) -> "TrainingData":
        """With training and validation samples as training samples, in the cache's order."""
        if not len(self.val):
            return self
        choice, both = self.choice, self.train.with_all_of(self.val)
        places = [*choice.train, *choice.val]
        order = sorted(range(len(places)), key=places.__getitem__)
        choice = replace(choice, train=[places[index] for index in order], val=[])
        return replace(self, train=both.take(order), val=self.val.take([]), choice=choice)

    def holding_out(self, fold: frozenset[str]) -> "TrainingData":
        """With the training samples that are in `fold` as validation samples, and nobody to be tested."""
        inside = [sample.sample_id in fold for sample in self.train.samples]
        train, val = (
            [index for index, held in enumerate(inside) if held == validates] for validates in (False, True)
        )
        choice = replace(
            self.choice,
            train=[self.choice.train[index] for index in train],
            val=[self.choice.train[index] for index in val],
            test=[],
        )
        return replace(
            self,
            train=self.train.take(train),
            val=self.train.take(val),
            test=self.test.take([]),
            choice=choice,
        )

    def untested(self) -> "TrainingData":
        """With nobody to be tested."""
        return replace(self, test=self.test.take([]), choice=replace(self.choice, test=[]))

    def to(self, device: torch.device) -> "TrainingData":
        return replace(self, train=self.train.to(device), val=self.val.to(device), test=self.test.to(device))


def pad_clips(clips: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples of any number of clips as one batch: features `(batch, clips, dim)`, zeros where padded;
    lengths `(batch,)`.
    """
    lengths = torch.tensor([len(sample) for sample in clips], device=clips[0].device)
    return pad_sequence(list(clips), batch_first=True), lengths


def read_training_data(cache: FeatureCache, config: ResolvedConfig, division: Division) -> TrainingData:
    """The samples of `cache`, divided as `division` says, with the labels of its tasks.

    Raises:
        TrainingError: fewer than two labelled training samples.
        CacheError: a feature is damaged.
    """
    notes = [*division.notes]
    choice, tasks = division.choice, division.tasks
    chosen = {name: getattr(choice, name) for name in ("train", "val", "test")}
    samples = {name: [cache.samples[index] for index in indices] for name, indices in chosen.items()}
    learned = samples
    if config.refit:  # in the end all of them are trained on
        both = [cache.samples[index] for index in sorted([*choice.train, *choice.val])]
        learned = {"train": both, "val": [], "test": samples["test"]}
    names = _class_names(learned, notes) if "classes" in division.asked else {}
    vocabulary = _vocabulary(cache, config, learned["train"], notes) if "caption" in tasks else None
    silent = torch.empty(0, dtype=torch.int64)
    stored = _Stored(cache, config, chosen, notes)

    def split(name: str) -> Split:
        members = samples[name]
        final = np.array([np.nan if s.final_score is None else s.final_score for s in members], np.float64)
        factor = _factors(config, members)
        score = (
            torch.from_numpy(final / factor).float()
            if "score" in tasks
            else torch.full((len(members),), math.nan)
        )
        return Split(
            members,
            stored.views(name),
            score,
            factor,
            {column: _class_numbers(column, classes, members) for column, classes in names.items()},
            [
                torch.tensor(vocabulary.encode(s.caption), dtype=torch.int64)
                if vocabulary and s.words
                else silent
                for s in members
            ],
        )

    data = TrainingData(
        split("train"),
        split("val"),
        split("test"),
        choice,
        tasks,
        names,
        vocabulary,
        notes,
        division.folds,
        division.frames,
    )
    without = len(data.train) - len(data.train.labelled)
    if without:
        notes.append(
            f"{without} of {len(data.train)} training samples have no label of these tasks and are not"
            " trained on"
        )
    if config.difficulty == "multiply" and "score" in tasks:
        notes += _difficulty_notes(cache, data)
    if config.fine_tuning is None:
        notes += _view_notes(cache, data.train, config.views)
    if len(data.train.labelled) < 2:
        found = [data.train.samples[index].sample_id for index in data.train.labelled]
        raise TrainingError(
            f"{cache.path}: {len(found)} training sample with features and a"
            f" label{''.join(f' ({name})' for name in found)}; at least 2 are needed, as with one no spread"
            " is defined"
        )
    return data


def _factors(config: ResolvedConfig, samples: Sequence[Sample]) -> np.ndarray:
    """What a prediction of the score head is multiplied by to be a final score; NaN where that is not
    known.
    """
    if config.difficulty == "ignore":
        return np.ones(len(samples))
    return np.array([sample.difficulty if sample.difficulty else np.nan for sample in samples], np.float64)


def _difficulty_notes(cache: FeatureCache, data: TrainingData) -> list[str]:
    notes = [
        "the execution score is predicted and multiplied by the known difficulty: compare only with runs that"
        " do so"
    ]
    for name, split in data.splits.items():
        lacking = [
            s.sample_id for s, factor in zip(split.samples, split.factor, strict=True) if np.isnan(factor)
        ]
        if lacking:
            notes.append(
                f"{len(lacking)} of {len(split)} {name} samples have no difficulty, so no score is trained or"
                f" predicted for them (first: {lacking[0]})"
            )
    if data.train.score.isnan().all():
        raise TrainingError(
            f"{cache.path}: no training sample has both a final_score and a difficulty above 0, so there is"
            " no execution score to learn; fill in the column 'difficulty' of the annotations and extract"
            " again, or leave out --difficulty multiply"
        )
    return notes


class _Stored:
    """The features of a cache by split: in memory where all of them fit there, else read when they are
    needed.
    """

    def __init__(
        self, cache: FeatureCache, config: ResolvedConfig, chosen: dict[str, list[int]], notes: list[str]
    ):
        self._cache, self._chosen, self._config = cache, chosen, config
        needed = 4 * cache.dim * sum(self._rows(name) for name in chosen)
        self._in_memory = needed <= MEMORY_SHARE * available_memory(pick_device(config.device))
        if not self._in_memory:
            notes.append(
                f"the features take {needed / 2**30:.1f} GiB, more than {MEMORY_SHARE:.0%} of the free"
                " memory: every step reads its own from the file, which is slower"
            )

    def views(self, name: str) -> Views:
        return Views(self._cache, self._chosen[name], self._numbers(name), self._in_memory)

    def _numbers(self, name: str) -> list[list[int]]:
        all_views = name == "train" and self._config.views == ALL_VIEWS and self._config.fine_tuning is None
        count = len(self._cache.views) if all_views else 1
        return [
            [view for view in range(count) if self._cache.has_features(index, view)]
            for index in self._chosen[name]
        ]

    def _rows(self, name: str) -> int:
        return sum(
            int(self._cache.lengths[index, view])
            for index, views in zip(self._chosen[name], self._numbers(name), strict=True)
            for view in views
        )


def _view_notes(cache: FeatureCache, train: Split, views: str) -> list[str]:
    total = len(cache.views)
    if total == 1:
        return []
    if views != ALL_VIEWS:
        return [f"only the plain one of the {total} views in {cache.path.name} is trained on"]
    notes = [
        f"in each epoch training draws one of the {total} views of every sample; everything is evaluated on"
        " the plain one"
    ]
    counts = train.views.counts
    lacking = [index for index in range(len(train)) if counts[index] < total]
    if lacking:
        first = lacking[0]
        notes.append(
            f"{len(lacking)} of {len(train)} training samples lack some of the {total} views and draw among"
            f" those they have (first: {train.samples[first].sample_id} has {counts[first]})"
        )
    return notes


def _class_names(samples: dict[str, list[Sample]], notes: list[str]) -> dict[str, list[str]]:
    """Per class column those that training has, as nothing can be learned of others; columns without any are
    left out.
    """
    names = {}
    others = [*samples["val"], *samples["test"]]
    for column in class_names([*samples["train"], *others]):
        trained = {sample.classes[column] for sample in samples["train"] if column in sample.classes}
        tested = {sample.classes[column] for sample in others if column in sample.classes}
        if not trained:
            notes.append(f"class column {column!r} is left out: no training sample has a class in it")
            continue
        names[column] = _sorted_classes(trained)
        if unseen := _sorted_classes(tested - trained):
            notes.append(
                f"class column {column!r}: {', '.join(unseen)} occur(s) in no training sample and will always"
                " be named wrongly"
            )
    return names


def _vocabulary(
    cache: FeatureCache, config: ResolvedConfig, samples: Sequence[Sample], notes: list[str]
) -> Vocabulary:
    for sample in cache.samples:
        if reserved := set(sample.words) & set(RESERVED):
            raise TrainingError(
                f"{cache.path}: the caption of {sample.sample_id} contains {', '.join(sorted(reserved))},"
                " which only training puts there; take it out of the annotations and extract again"
            )
    if config.vocabulary is None:
        return Vocabulary.of(sample.caption for sample in samples if sample.caption)
    vocabulary = Vocabulary.from_paper(config.vocabulary)
    notes.append(
        f"the {len(vocabulary):,} words of {config.vocabulary} are used; words of test captions may be among"
        " them"
    )
    return vocabulary


def _class_numbers(column: str, names: list[str], samples: Sequence[Sample]) -> torch.Tensor:
    numbers = {name: number for number, name in enumerate(names)}
    return torch.tensor(
        [numbers.get(sample.classes.get(column), NO_CLASS) for sample in samples], dtype=torch.int64
    )


def _sorted_classes(names: set[str]) -> list[str]:
    """By number if all are numbers, else by letters."""
    try:
        numbers = {name: float(name) for name in names}
    except ValueError:
        return sorted(names)
    if not np.isfinite(list(numbers.values())).all():
        return sorted(names)
    return sorted(names, key=lambda name: (numbers[name], name))
