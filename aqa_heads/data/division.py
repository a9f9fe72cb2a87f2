"""The samples of a cache as a run uses them: who trains, validates and is tested, for which tasks."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.reader import FeatureCache

from ..errors import TrainingError
from ..settings.experiments import TASKS
from ..settings.resolved import ResolvedConfig
from .leaks import Frames
from .splits import SplitChoice, choose_split

_LABELS = {"score": "final_score", "classes": "class column", "caption": "caption"}


@dataclass(frozen=True)
class Division:
    """How a run divides the samples of a cache.

    Args:
        choice: indices into the cache's samples, of those that have features.
        asked: the tasks that were asked for.
        tasks: those of them that some training sample has a label for.
        notes: what a person should know of it, one line each.
    """

    choice: SplitChoice
    asked: tuple[str, ...]
    tasks: tuple[str, ...]
    notes: tuple[str, ...]

    def split_of(self, samples: Sequence[Sample]) -> dict[str, str]:
        """`train`, `val` or `test` by sample_id, of the cache's samples that are used."""
        return {
            samples[index].sample_id: name
            for name in ("train", "val", "test")
            for index in getattr(self.choice, name)
        }


def divide(cache: FeatureCache, config: ResolvedConfig, frames: Mapping[str, Frames]) -> Division:
    """Decide who of the samples with features trains, validates and is tested. Reads no features.

    Args:
        frames: `[start, end)` in the video that the features were made of, by sample_id
            (`leaks.frames_of_features`).

    Raises:
        TrainingError: no sample to train with, or no label of any task.
    """
    notes = []
    having = [index for index in range(len(cache)) if cache.has_features(index)]
    lacking = [index for index in range(len(cache)) if not cache.has_features(index)]
    if lacking:
        notes.append(
            f"{len(lacking)} of {len(cache)} samples have no features in {cache.path.name} and are left out"
            f" (first: {cache.samples[lacking[0]].sample_id}: {cache.reasons[lacking[0]] or 'no plain view'})"
        )
    candidates = [cache.samples[index] for index in having]
    if not config.folds and not any(sample.split == "train" for sample in candidates):
        count = Counter(sample.split for sample in candidates)
        raise TrainingError(
            f"{cache.path}: no sample with features has split 'train' ({count['test']} test, {count['val']}"
            f" val, {count[None]} without split, {len(lacking)} without features); fill in the column 'split'"
            " of the annotations with train and test, and extract again; or give --folds, which divides them"
            " anew"
        )
    # Before they are divided: how many would validate is of no interest where nothing can be trained.
    _labelled_tasks(
        cache, config.tasks, [sample for sample in candidates if config.folds or sample.split == "train"]
    )
    choice = choose_split(
        candidates,
        config.protocol,
        config.seed,
        config.validation,
        fold=config.fold,
        folds=config.folds,
        scored=lambda sample: (
            sample.final_score is not None and (config.difficulty == "ignore" or bool(sample.difficulty))
        ),
        frames=frames,
    )
    notes += choice.notes
    if not choice.test:
        notes.append("no sample has split test: trained without test metrics")
    places = {name: [having[index] for index in getattr(choice, name)] for name in ("train", "val", "test")}
    choice = replace(choice, **places)
    tasks = _labelled_tasks(cache, config.tasks, [cache.samples[index] for index in choice.train])
    notes += [
        f"task {task} is left out: no training sample has a {_LABELS[task]}"
        for task in config.tasks
        if task not in tasks
    ]
    return Division(choice, config.tasks, tasks, tuple(notes))


def _labelled_tasks(cache: FeatureCache, tasks: Sequence[str], samples: Sequence[Sample]) -> tuple[str, ...]:
    labelled = {
        "score": any(sample.final_score is not None for sample in samples),
        "classes": any(sample.classes for sample in samples),
        "caption": any(sample.words for sample in samples),
    }
    usable = tuple(task for task in TASKS if task in tasks and labelled[task])
    if not usable:
        raise TrainingError(
            f"{cache.path}: no training sample has a label for {', '.join(tasks)}; "
            f"fill in {', '.join(_LABELS[task] for task in tasks)} in the annotations and extract again"
        )
    return usable
