"""What annotations say of samples, as a score head is given it."""

import math
from collections.abc import Mapping, Sequence

import torch

from aqa_cache.annotations import Sample

from .seam import Known, ScoreHead


def known_of(
    samples: Sequence[Sample | None],
    head: ScoreHead,
    classes: Mapping[str, Sequence[str]],
    device: torch.device,
    labelled: torch.Tensor | None = None,
) -> Known:
    """What `head` needs or reads of `samples`.

    Args:
        samples: of a batch; None is one of which nothing is known.
        classes: the class names of each column that a key may come from.
        labelled: in training, the places of those that have a score; judges' marks are given only then.
    """
    asked, classes = head.needs | head.reads, {**classes, **head.key_names}

    def tensor(values: list) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device)

    difficulty = keys = marks = None
    if "difficulty" in asked:
        difficulty = tensor([key_of(sample, "difficulty", classes) for sample in samples])
    if "key" in asked:
        keys = tensor([key_of(sample, head.key, classes) for sample in samples])
    if "marks" in asked and labelled is not None:
        given = [sample.judges if sample is not None else () for sample in samples]
        most = max(map(len, given), default=0)
        marks = tensor([[*marks, *[math.nan] * (most - len(marks))] for marks in given])
        marks = marks.reshape(len(given), most)
    return Known(difficulty, keys, marks, labelled)


def key_of(sample: Sample | None, column: str, classes: Mapping[str, Sequence[str]]) -> float:
    """The number by which a sample is paired: its difficulty, or that of its class; NaN where it has none, or
    one that is not in `classes`.
    """
    if sample is None:
        return math.nan
    if column == "difficulty":
        return math.nan if sample.difficulty is None else float(sample.difficulty)
    names, name = list(classes.get(column, ())), sample.classes.get(column)
    return float(names.index(name)) if name in names else math.nan
