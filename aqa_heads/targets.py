"""What training takes from a feature cache: per split the features of its views and the labels of every task, as tensors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from aqa_cache.annotations import Sample, class_names
from aqa_cache.cache import PLAIN_VIEW, FeatureCache

from .configuration import ALL_VIEWS
from .errors import TrainingError
from .experiments import TASKS
from .vocabulary import EOS, RESERVED, Vocabulary

NO_CLASS = -1
_LABELS = {"score": "final_score", "classes": "class column", "caption": "caption"}


@dataclass(frozen=True)
class Batch:
    """Some samples of a split, padded to the longest of them.

    Shape:
        - features: `(batch, clips, dim)`, zeros from a sample's `count` on; count: `(batch,)`.
        - score: `(batch,)` in points; scored: indices of the samples that have one.
        - classes: per column `(batch,)`; classified: per column the indices of the samples that have a class.
        - heard: `(batch, words)`, each caption from `<sos>` to its last word, or None if no sample has a caption.
        - following: `(real words,)`, the words to be said, to `<eos>`; positions: their places in `heard` flattened.
    """

    features: torch.Tensor
    count: torch.Tensor
    score: torch.Tensor
    scored: torch.Tensor
    classes: dict[str, torch.Tensor]
    classified: dict[str, torch.Tensor]
    heard: torch.Tensor | None
    following: torch.Tensor | None
    positions: torch.Tensor | None
    captions: int


@dataclass(frozen=True)
class Split:
    """The samples of one split that have features.

    Args:
        samples: their annotations.
        views: per sample the features of its views, plain first, `(clips, dim)` float32 each. The test split has no other.
        score: `(samples,)` float32 in points, NaN where there is none.
        classes: per column `(samples,)` int64, `NO_CLASS` where there is none.
        captions: word numbers from `<sos>` to `<eos>`, empty where there is none.
    """

    samples: list[Sample]
    views: list[list[torch.Tensor]]
    score: torch.Tensor
    classes: dict[str, torch.Tensor]
    captions: list[torch.Tensor]

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def clips(self) -> list[torch.Tensor]:
        """Per sample the features of its plain view, on which everything is evaluated."""
        return [views[0] for views in self.views]

    @cached_property
    def labelled(self) -> list[int]:
        """Indices of the samples that have a label of any task."""
        some = ~self.score.isnan() | torch.tensor([len(caption) > 0 for caption in self.captions], dtype=torch.bool)
        for column in self.classes.values():
            some |= column != NO_CLASS
        return some.nonzero()[:, 0].tolist()

    def to(self, device: torch.device) -> "Split":
        """The same with the features on `device`; labels stay on the CPU until a batch is made."""
        return replace(self, views=[[clips.to(device) for clips in views] for views in self.views])

    def draw_views(self, generator: torch.Generator) -> list[int]:
        """For every sample the number of one of its views, all equally likely."""
        counts = torch.tensor([len(views) for views in self.views])
        return (torch.rand(len(self), generator=generator, dtype=torch.float64) * counts).long().tolist()

    def batch(self, indices: Sequence[int], views: Sequence[int] | None = None) -> Batch:
        """The samples at `indices`, each in its view of `views`, which has an entry per sample of the split; None: plain."""
        chosen = torch.tensor(indices)
        features, count = pad_clips([self.views[index][views[index] if views else 0] for index in indices])
        device = features.device
        score = self.score[chosen]
        classes = {name: column[chosen] for name, column in self.classes.items()}
        heard = following = positions = None
        captions = [self.captions[index] for index in indices]
        said = sum(len(caption) > 0 for caption in captions)
        if said:
            heard = pad_sequence([caption[:-1] for caption in captions], batch_first=True, padding_value=EOS)
            following = torch.cat([caption[1:] for caption in captions])
            steps = heard.shape[1]
            positions = torch.cat([torch.arange(len(c) - 1) + row * steps for row, c in enumerate(captions) if len(c)])
            heard, following, positions = heard.to(device), following.to(device), positions.to(device)
        return Batch(
            features,
            count,
            score.to(device),
            (~score.isnan()).nonzero()[:, 0].to(device),
            {name: column.to(device) for name, column in classes.items()},
            {name: (column != NO_CLASS).nonzero()[:, 0].to(device) for name, column in classes.items()},
            heard,
            following,
            positions,
            said,
        )


@dataclass(frozen=True)
class TrainingData:
    """Both splits of a cache, and what is common to them.

    Args:
        tasks: those that have a training label.
        class_names: per class column that has a training label its classes, of both splits, sorted.
        vocabulary: of the training captions; None if there is no caption task.
        notes: what a person should know of the choice, one line each.
    """

    train: Split
    test: Split
    tasks: tuple[str, ...]
    class_names: dict[str, list[str]]
    vocabulary: Vocabulary | None
    notes: list[str]

    def to(self, device: torch.device) -> "TrainingData":
        return replace(self, train=self.train.to(device), test=self.test.to(device))


def pad_clips(clips: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples of any number of clips as one batch: features `(batch, clips, dim)`, zeros where padded; count `(batch,)`."""
    count = torch.tensor([len(sample) for sample in clips], device=clips[0].device)
    return pad_sequence(list(clips), batch_first=True), count


def usable_tasks(cache: FeatureCache, tasks: Sequence[str]) -> tuple[str, ...]:
    """Those of `tasks` that some training sample has a label for: what a run is named after. Reads no features.

    Raises:
        TrainingError: no sample to train with, or no label of any task.
    """
    samples = [cache.samples[index] for index in _choose_samples(cache, [])["train"]]
    labelled = {
        "score": any(sample.final_score is not None for sample in samples),
        "classes": any(sample.classes for sample in samples),
        "caption": any(sample.caption for sample in samples),
    }
    usable = tuple(task for task in TASKS if task in tasks and labelled[task])
    if not usable:
        raise TrainingError(
            f"{cache.path}: no training sample has a label for {', '.join(tasks)}; "
            f"fill in {', '.join(_LABELS[task] for task in tasks)} in the annotations and extract again"
        )
    return usable


def read_training_data(cache: FeatureCache, tasks: Sequence[str], views: str = ALL_VIEWS) -> TrainingData:
    """The training and test samples of `cache` with the labels of `tasks`.

    Args:
        views: of training samples, `all` they have or `plain`; test samples have no view but the plain one here.

    Raises:
        TrainingError: no sample to train with, or no label of any task.
        CacheError: a feature is damaged.
    """
    notes = []
    usable = usable_tasks(cache, tasks)
    chosen = _choose_samples(cache, notes)
    samples = {split: [cache.samples[index] for index in indices] for split, indices in chosen.items()}
    names = _class_names(samples, notes) if "classes" in tasks else {}
    vocabulary = _vocabulary(cache, samples["train"]) if "caption" in usable else None
    scored = "score" in usable
    for task in tasks:
        if task not in usable:
            notes.append(f"task {task} is left out: no training sample has a {_LABELS[task]}")

    def split(name: str) -> Split:
        members = samples[name]
        return Split(
            members,
            [_read_views(cache, index, views if name == "train" else PLAIN_VIEW) for index in chosen[name]],
            torch.tensor([math.nan if s.final_score is None or not scored else s.final_score for s in members]),
            {column: _class_numbers(column, classes, members) for column, classes in names.items()},
            [
                torch.tensor(vocabulary.encode(s.caption) if vocabulary and s.caption else [], dtype=torch.int64)
                for s in members
            ],
        )

    data = TrainingData(split("train"), split("test"), usable, names, vocabulary, notes)
    without = len(data.train) - len(data.train.labelled)
    if without:
        notes.append(
            f"{without} of {len(data.train)} training samples have no label of these tasks and are not trained on"
        )
    notes += _view_notes(cache, data.train, views)
    if len(data.train.labelled) < 2:
        raise TrainingError(
            f"{cache.path}: {len(data.train.labelled)} training sample with features and a label "
            f"({data.train.samples[data.train.labelled[0]].sample_id}); at least 2 are needed, as with one no spread is defined"
        )
    return data


def _choose_samples(cache: FeatureCache, notes: list[str]) -> dict[str, list[int]]:
    """Indices by split of the samples to use."""
    path = cache.path.name
    lacking = [index for index in range(len(cache)) if not cache.has_features(index)]
    if lacking:
        notes.append(
            f"{len(lacking)} of {len(cache)} samples have no features in {path} and are left out "
            f"(first: {cache.samples[lacking[0]].sample_id}: {cache.reasons[lacking[0]] or 'no plain view'})"
        )
    chosen = {"train": [], "test": [], "val": [], None: []}
    for index, sample in enumerate(cache.samples):
        if cache.has_features(index):
            chosen[sample.split].append(index)
    validation, unsaid = chosen.pop("val"), chosen.pop(None)
    if not chosen["train"]:
        raise TrainingError(
            f"{cache.path}: no sample with features has split 'train' ({len(chosen['test'])} test, {len(validation)} val, "
            f"{len(unsaid)} without split, {len(lacking)} without features); fill in the column 'split' of the annotations "
            "with train and test, and extract again"
        )
    if validation:
        notes.append(f"{len(validation)} samples of split val are left out: the paper's protocol has no validation")
    if unsaid:
        notes.append(f"{len(unsaid)} samples without split are left out")
    if not chosen["test"]:
        notes.append("no sample has split test: trained without test metrics")
    return chosen


def _read_views(cache: FeatureCache, index: int, views: str) -> list[torch.Tensor]:
    count = len(cache.views) if views == ALL_VIEWS else 1
    return [torch.from_numpy(cache.features(index, view)) for view in range(count) if cache.has_features(index, view)]


def _view_notes(cache: FeatureCache, train: Split, views: str) -> list[str]:
    total = len(cache.views)
    if total == 1:
        return []
    if views != ALL_VIEWS:
        return [f"only the plain one of the {total} views in {cache.path.name} is trained on"]
    notes = [
        f"in each epoch training draws one of the {total} views of every sample; everything is evaluated on the plain one"
    ]
    lacking = [index for index in range(len(train)) if len(train.views[index]) < total]
    if lacking:
        first = lacking[0]
        notes.append(
            f"{len(lacking)} of {len(train)} training samples lack some of the {total} views and draw among those they have "
            f"(first: {train.samples[first].sample_id} has {len(train.views[first])})"
        )
    return notes


def _class_names(samples: dict[str, list[Sample]], notes: list[str]) -> dict[str, list[str]]:
    """Per class column its classes; columns without training label are left out."""
    names = {}
    for column in class_names([*samples["train"], *samples["test"]]):
        trained = {sample.classes[column] for sample in samples["train"] if column in sample.classes}
        tested = {sample.classes[column] for sample in samples["test"] if column in sample.classes}
        if not trained:
            notes.append(f"class column {column!r} is left out: no training sample has a class in it")
            continue
        names[column] = _sorted_classes(trained | tested)
        if unseen := _sorted_classes(tested - trained):
            notes.append(f"class column {column!r}: {', '.join(unseen)} occur(s) only in the test split")
    return names


def _vocabulary(cache: FeatureCache, samples: Sequence[Sample]) -> Vocabulary:
    for sample in samples:
        if reserved := set((sample.caption or "").split()) & set(RESERVED):
            raise TrainingError(
                f"{cache.path}: the caption of {sample.sample_id} contains {', '.join(sorted(reserved))}, which only training "
                "puts there; take it out of the annotations and extract again"
            )
    captions = [sample.caption for sample in samples if sample.caption]
    return Vocabulary.of(captions)


def _class_numbers(column: str, names: list[str], samples: Sequence[Sample]) -> torch.Tensor:
    numbers = {name: number for number, name in enumerate(names)}
    return torch.tensor([numbers.get(sample.classes.get(column), NO_CLASS) for sample in samples], dtype=torch.int64)


def _sorted_classes(names: set[str]) -> list[str]:
    """By number if all are numbers, else by letters."""
    try:
        numbers = {name: float(name) for name in names}
    except ValueError:
        return sorted(names)
    if not np.isfinite(list(numbers.values())).all():
        return sorted(names)
    return sorted(names, key=lambda name: (numbers[name], name))
