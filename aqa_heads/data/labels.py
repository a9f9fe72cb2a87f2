"""The labels of samples as a model learns them: scores, classes and captions as numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from aqa_cache.annotations import Sample, class_names
from aqa_cache.cache_file.reader import FeatureCache

from ..captions.vocabulary import RESERVED, Vocabulary
from ..errors import TrainingError
from ..settings.resolved import ResolvedConfig
from .batches import NO_CLASS


def score_factors(config: ResolvedConfig, samples: Sequence[Sample]) -> np.ndarray:
    """What a prediction of the score head is multiplied by to be a final score; NaN where that is not
    known.
    """
    if config.difficulty == "ignore":
        return np.ones(len(samples))
    return np.array([sample.difficulty if sample.difficulty else np.nan for sample in samples], np.float64)


def scores_to_learn(samples: Sequence[Sample], factor: np.ndarray) -> torch.Tensor:
    """Final scores over their factors, `(samples,)` float32; NaN where one of them is not known."""
    final = np.array([np.nan if s.final_score is None else s.final_score for s in samples], np.float64)
    return torch.from_numpy(final / factor).float()


def learned_classes(samples: Mapping[str, Sequence[Sample]], notes: list[str]) -> dict[str, list[str]]:
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


def class_numbers(column: str, names: list[str], samples: Sequence[Sample]) -> torch.Tensor:
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


def vocabulary_of(
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


def caption_numbers(vocabulary: Vocabulary | None, samples: Sequence[Sample]) -> list[torch.Tensor]:
    """Per caption its word numbers from `<sos>` to `<eos>`; empty where there is none, or no vocabulary."""
    silent = torch.empty(0, dtype=torch.int64)
    return [
        torch.tensor(vocabulary.encode(sample.caption), dtype=torch.int64)
        if vocabulary and sample.words
        else silent
        for sample in samples
    ]
