"""What training takes from a feature cache: per split the labels of every task as tensors, and the features
of its views.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from aqa_cache.cache_file.reader import FeatureCache

from ..captions.vocabulary import Vocabulary
from ..errors import TrainingError
from ..settings.choices import ALL_VIEWS
from ..settings.resolved import ResolvedConfig
from .batches import Split
from .division import Division
from .labels import (
    caption_numbers,
    class_numbers,
    learned_classes,
    score_factors,
    scores_to_learn,
    vocabulary_of,
)
from .leaks import Frames
from .splits import SplitChoice
from .stored_features import StoredFeatures


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
    names = learned_classes(learned, notes) if "classes" in division.asked else {}
    vocabulary = vocabulary_of(cache, config, learned["train"], notes) if "caption" in tasks else None
    stored = StoredFeatures(cache, config, chosen, notes)

    def split(name: str) -> Split:
        members = samples[name]
        factor = score_factors(config, members)
        return Split(
            members,
            stored.views(name),
            scores_to_learn(members, factor) if "score" in tasks else torch.full((len(members),), math.nan),
            factor,
            {column: class_numbers(column, classes, members) for column, classes in names.items()},
            caption_numbers(vocabulary, members),
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
    notes += _label_notes(cache, config, data)
    if config.fine_tuning is None:
        notes += _view_notes(cache, data.train, config.views)
    _check_enough(cache, data.train)
    return data


def _label_notes(cache: FeatureCache, config: ResolvedConfig, data: TrainingData) -> list[str]:
    notes: list[str] = []
    without = len(data.train) - len(data.train.labelled)
    if without:
        notes.append(
            f"{without} of {len(data.train)} training samples have no label of these tasks and are not"
            " trained on"
        )
    if config.difficulty == "multiply" and "score" in data.tasks:
        notes += _difficulty_notes(cache, data)
    return notes


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


def _check_enough(cache: FeatureCache, train: Split) -> None:
    if len(train.labelled) < 2:
        found = [train.samples[index].sample_id for index in train.labelled]
        raise TrainingError(
            f"{cache.path}: {len(found)} training sample with features and a"
            f" label{''.join(f' ({name})' for name in found)}; at least 2 are needed, as with one no spread"
            " is defined"
        )
