"""What a report reads of config.json and summary.json, as typed values; None where a run recorded none."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TypeVar

_T = TypeVar("_T")


def finite(value) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def filled(kind: type[_T], record: Mapping | None) -> _T:
    """A record of this kind, from those of its fields that `record` has: numbers finite, lists as tuples."""
    values = {}
    for each in fields(kind):
        value = (record or {}).get(each.name)
        if each.type == float | None:
            value = finite(value)
        if value is not None:
            values[each.name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


@dataclass(frozen=True)
class Asked:
    """Of config.json, what the report words.

    Args:
        direct: whether the score starts from a ridge regression.
        literal: whether model and settings are the paper's.
        table1: the settings of its row in the paper's Table 1, by name; empty for another row.
        refit: whether it was trained once more, on the validation samples too; None of runs of before.
        identity: what makes two runs the same; None in runs of other programs.
    """

    experiment: object = None
    label: str | None = None
    seed: int | None = None
    fold: str | None = None
    protocol: str | None = None
    difficulty: str | None = None
    direct: object = None
    literal: object = None
    refit: object = None
    leaked: float | None = None
    device: str | None = None
    threads: object = None
    versions: object = None
    identity: object = None
    tasks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    table1: Mapping = field(default_factory=dict)


@dataclass(frozen=True)
class Tuned:
    """How the backbone of cached features was fine-tuned before: from which weights, on how many samples."""

    started_from: str | None = None
    origin: str | None = None
    trained_on: int = 0
    chosen_on: int = 0


@dataclass(frozen=True)
class Features:
    """The cached features that a run read, or the samples and clips of one that trained the backbone.

    Args:
        views: by name; empty for plain features.
        tuned: None where no run of ours fine-tuned the backbone.
    """

    backbone: str | None = None
    dim: int | None = None
    weights: str | None = None
    weights_random: bool = False
    fingerprint: str | None = None
    path: str | None = None
    samples: int | None = None
    views: tuple[str, ...] = ()
    tuned: Tuned | None = None

    @classmethod
    def of(cls, record: Mapping | None) -> "Features":
        tuned = (record or {}).get("tuned")
        return filled(cls, {**(record or {}), "tuned": filled(Tuned, tuned) if tuned else None})


@dataclass(frozen=True)
class FineTuning:
    """How the backbone was trained too."""

    started_from: str | None = None
    started_sha256: str | None = None
    origin: str | None = None
    frozen_layers: tuple[str, ...] | None = None
    trained_parameters: float | None = None
    parameters: float | None = None
    backbone_lr: object = None
    augment: object = None
    batch_norm: object = None
    precision: object = None
    clip_chunk: object = None
    warm_start: object = None
    processes: object = None


@dataclass(frozen=True)
class FloorMetrics:
    """Of predictions without the video, as `aqa_heads.evaluation.floors` makes them."""

    spearman: float | None = None
    relative_l2: float | None = None
    mae: float | None = None
    n: float | None = None
    n_unseen: float | None = None


@dataclass(frozen=True)
class Ceiling:
    """Of one judge against the others (`aqa_heads.evaluation.floors.judge_ceiling`)."""

    spearman: float | None = None
    lowest: float | None = None
    highest: float | None = None
    n: object = None


@dataclass(frozen=True)
class Choice:
    """Which epoch is reported of a part of the model, and by what it was chosen."""

    epoch: object = None
    metric: str | None = None
    value: float | None = None


@dataclass(frozen=True)
class BestOnTest:
    """The highest correlation that any epoch had on the test samples: chosen on them, so no result."""

    spearman: float | None = None
    epoch: object = None


@dataclass(frozen=True)
class GroupResult:
    """Of the test samples of one group."""

    n: float | None = None
    mae: float | None = None
    spearman: float | None = None


@dataclass(frozen=True)
class Sizes:
    """Samples of each split, and epochs."""

    n_train: object = None
    n_val: object = None
    n_test: object = None
    epochs: object = None


@dataclass(frozen=True)
class LeakRecord:
    """A sample on two sides of a split."""

    split: str | None = None
    why: str | None = None
