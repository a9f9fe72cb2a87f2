"""The samples of a cache as a run uses them: who trains, validates and is tested, for which tasks."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.reader import FeatureCache

from ..errors import TrainingError
from ..settings.choices import AUTO, SMALL_DATA, SMALL_DATA_FOLDS
from ..settings.experiments import TASKS
from ..settings.resolved import ResolvedConfig
from .folds import validation_folds
from .leaks import Frames, samples_by_content
from .mirror import Mirror, mirror_of
from .splits import SplitChoice, choose_split
from .units import TELL_THEM_APART

FEWEST_CHOOSING = 4  # labelled training samples, for folds of them to choose an epoch

_LABELS = {"score": "final_score", "classes": "class column", "caption": "caption"}


@dataclass(frozen=True)
class Division:
    """How a run divides the samples of a cache.

    Args:
        choice: indices into the cache's samples, of those that have features.
        asked: the tasks that were asked for.
        tasks: those of them that some training sample has a label for.
        notes: what a person should know of it, one line each.
        folds: parts of the training samples, by sample_id, each of which is held out of a model of its own;
            `choice` has no validation samples then. None: one part is held out, or none.
        frames: `[start, end)` in the video that the features were made of, by sample_id.
    """

    choice: SplitChoice
    asked: tuple[str, ...]
    tasks: tuple[str, ...]
    notes: tuple[str, ...]
    folds: tuple[frozenset[str], ...] | None = None
    frames: Mapping[str, Frames] | None = None

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
    samples = samples_by_content(cache)
    candidates = [samples[index] for index in having]
    if not config.folds and not any(sample.split == "train" for sample in candidates):
        count = Counter(sample.split for sample in candidates)
        raise TrainingError(
            f"{cache.path}: no sample with features has split 'train' ({count['test']} test, {count['val']}"
            f" val, {count[None]} without split, {len(lacking)} without features); fill in the column 'split'"
            " of the annotations with train and test (aqa-data split does), and extract again; or give"
            " --folds 5, which divides them anew"
        )
    # Before they are divided: how many would validate is of no interest where nothing can be trained.
    _labelled_tasks(
        cache, config.tasks, [sample for sample in candidates if config.folds or sample.split == "train"]
    )
    choice, folds = _choose(candidates, config, frames)
    notes += choice.notes
    if config.withhold_test:
        choice = replace(choice, test=[])
    elif not choice.test:
        notes.append("no sample has split test: trained without test metrics")
    places = {name: [having[index] for index in getattr(choice, name)] for name in ("train", "val", "test")}
    choice = replace(choice, **places)
    tasks = _labelled_tasks(cache, config.tasks, [cache.samples[index] for index in choice.train])
    notes += [
        f"task {task} is left out: no training sample has a {_LABELS[task]}"
        for task in config.tasks
        if task not in tasks
    ]
    held_out = None if folds is None else tuple(_ids(candidates, fold) for fold in folds)
    return Division(choice, config.tasks, tasks, tuple(notes), held_out, frames)


def _choose(
    candidates: Sequence[Sample], config: ResolvedConfig, frames: Mapping[str, Frames]
) -> tuple[SplitChoice, list[list[int]] | None]:
    """Who trains, validates and is tested; the parts that are held out one after the other, if one alone is
    not to choose.
    """

    def scored(sample: Sample) -> bool:
        return sample.final_score is not None and (config.difficulty == "ignore" or bool(sample.difficulty))

    def choose(samples: Sequence[Sample], protocol: str) -> SplitChoice:
        return choose_split(
            samples,
            protocol,
            config.seed,
            config.validation,
            fold=config.fold,
            folds=config.folds,
            scored=scored,
            frames=frames,
            validate_on=config.validate_on,
        )

    if not config.refit or config.validation_folds == 0 and not config.row.closed_form:
        return choose(candidates, config.protocol), None
    # All training samples are held out in turn, so those that the annotations name for validation train too.
    named = config.folds is None and any(sample.split == "val" for sample in candidates)
    everyone = [replace(sample, split="train") if sample.split == "val" else sample for sample in candidates]
    choice = choose(everyone, "paper")
    labelled = _labelled([candidates[index] for index in choice.train], scored)
    count = config.validation_folds or SMALL_DATA_FOLDS
    if config.validation_folds is None and not config.row.closed_form and (named or labelled >= SMALL_DATA):
        return choose(candidates, config.protocol), None
    if labelled < FEWEST_CHOOSING and not config.row.closed_form:
        raise TrainingError(
            f"{labelled} labelled training samples are too few to choose an epoch by, expected at least"
            f" {FEWEST_CHOOSING}; give more training samples, or --protocol paper, which chooses none"
        )
    asked = config.validate_on or AUTO
    mirror = mirror_of(candidates, choice.train, choice.test, asked, choice.notes)
    folds = validation_folds(candidates, choice.train, mirror, count, config.seed, scored, frames)
    if config.row.closed_form:
        return replace(choice, mirror=config.validate_on and mirror), folds
    if not folds:
        raise TrainingError(
            f"the {labelled} labelled training samples share frames of a video, so that none can be held out"
            f" of the others; {TELL_THEM_APART}; or give --protocol paper, which chooses no epoch"
        )
    choice.notes.append(
        f"the epoch is chosen by cross-validation: {len(folds)} models, each trained without one of"
        f" {len(folds)} parts of the {labelled} labelled training samples"
        f"{_of_whole(candidates, folds, mirror)}"
    )
    return replace(choice, mirror=mirror), folds


def _of_whole(samples: Sequence[Sample], folds: Sequence[Sequence[int]], mirror: Mirror) -> str:
    """What the parts are of."""
    if mirror.known == 0:
        return f" (whole groups of the column {mirror.role})"
    return "" if mirror.known == 1 else " (in part whole groups)"


def _labelled(samples: Sequence[Sample], scored: Callable[[Sample], bool]) -> int:
    """How many have a score, or where there is none, any label."""
    return sum(map(scored, samples)) or sum(bool(sample.classes or sample.words) for sample in samples)


def _ids(samples: Sequence[Sample], indices: Sequence[int]) -> frozenset[str]:
    return frozenset(samples[index].sample_id for index in indices)


def labelled_tasks(samples: Sequence[Sample]) -> tuple[str, ...]:
    """The tasks, in the order of `TASKS`, that some sample has a label for."""
    labelled = {
        "score": any(sample.final_score is not None for sample in samples),
        "classes": any(sample.classes for sample in samples),
        "caption": any(sample.words for sample in samples),
    }
    return tuple(task for task in TASKS if labelled[task])


def _labelled_tasks(cache: FeatureCache, tasks: Sequence[str], samples: Sequence[Sample]) -> tuple[str, ...]:
    usable = tuple(task for task in labelled_tasks(samples) if task in tasks)
    if not usable:
        raise TrainingError(
            f"{cache.path}: no training sample has a label for {', '.join(tasks)}; "
            f"fill in {', '.join(_LABELS[task] for task in tasks)} in the annotations and extract again"
        )
    return usable
