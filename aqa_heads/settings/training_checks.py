"""What the values of a `TrainingConfig` may be, each by itself and together."""

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast

from aqa_cache.remote.url import is_url

from ..errors import TrainingError
from .choices import ALL_VIEWS, DIFFICULTIES, OFFICIAL_FOLDS, PROTOCOLS, SWEPT, VALIDATE_ON, VIEWS
from .experiments import (
    ATTENTIONS,
    KNOWN_ENCODERS,
    KNOWN_LOSSES,
    KNOWN_SCORE_HEADS,
    READOUTS,
    RNNS,
    ROWS,
    TASKS,
)
from .features import Features
from .panel_rule import PanelRule

if TYPE_CHECKING:
    from .training import TrainingConfig

_MAX_COUNT, _MAX_THREADS = 2**31 - 1, 1024
# What a value may be: one of several, a whole number from 1 on, above 0, from 0 on.
_CHOICES = {
    "experiment": tuple(ROWS),
    "rnn": RNNS,
    "attention": ATTENTIONS,
    "difficulty": DIFFICULTIES,
    "protocol": PROTOCOLS,
    "views": VIEWS,
    "readout": READOUTS,
}
_COUNTS = (
    "layers",
    "encoder_hidden",
    "encoder_layers",
    "max_clips",
    "epochs",
    "batch_size",
    "threads",
    "patience",
    "beam",
)
_FOLDS = (0, *range(2, 101))
_POSITIVE = ("lr", "caption_lr", "score_scale", "loss_weight")
_EXTENSIONS = {"encoder": KNOWN_ENCODERS, "score_head": KNOWN_SCORE_HEADS, "loss": KNOWN_LOSSES}
_FROM_ZERO = ("weight_decay", "pretrain_epochs", "checkpoint_seconds")


def check_values(config: "TrainingConfig") -> None:
    """Whether every value, by itself, is one that its field can have.

    Raises:
        TrainingError: the first that is not.
    """
    _check_choices(config)
    _check_numbers(config)
    _check_validation(config)
    _check_ranges(config)
    _check_names(config)


def check_together(config: "TrainingConfig") -> None:
    """Whether what was asked for goes together.

    Raises:
        TrainingError: two settings exclude each other.
    """
    if config.overwrite and config.resume:
        raise TrainingError(
            "overwrite and resume are both asked for; give resume to go on, or overwrite to begin again"
        )
    if config.loss is None and config.loss_weight is not None:
        raise TrainingError(
            f"loss_weight is {config.loss_weight}, but there is no loss; give one, or leave it out"
        )
    if config.fold is not None and config.folds is None:
        raise TrainingError(f"fold is {config.fold!r}, but folds are not asked for; say how many")
    if config.fine_tuning is not None and config.views != ALL_VIEWS:
        raise TrainingError(
            f"views is {config.views!r}, which is of cached features; end to end, frames are augmented as"
            " augment says"
        )
    if config.fine_tuning is not None and (isinstance(config.features, Features) or is_url(config.features)):
        raise TrainingError(
            f"features is {config.features}; end to end takes one cache, on this machine, whose videos"
            " are below --videos"
        )
    if config.max_clips is not None and config.fine_tuning is not None:
        raise TrainingError(
            f"max_clips is {config.max_clips}, which is of cached features; end to end, all clips of a"
            " sample are trained on. Leave it out"
        )
    if (
        config.pretrain_epochs
        and config.fine_tuning is not None
        and config.fine_tuning.warm_start is not None
    ):
        raise TrainingError(
            "pretrain_epochs and warm_start are both asked for, but the encoder of a warm start is"
            " trained already; leave one out"
        )


def _check_choices(config: "TrainingConfig") -> None:
    for name, choices in _CHOICES.items():
        value = getattr(config, name)
        if value is not None and value not in choices:
            raise TrainingError(f"{name} is {value!r}, expected one of {', '.join(choices)}")
    for name, known in _EXTENSIONS.items():
        if (value := getattr(config, name)) is not None:
            known.give(value)
    for field in fields(config):
        if getattr(config, field.name) is None and field.default is not None:
            raise TrainingError(f"{field.name} is None, expected a value; leave it out for the default")


def _check_numbers(config: "TrainingConfig") -> None:
    for name in _COUNTS:
        value = getattr(config, name)
        highest = _MAX_THREADS if name == "threads" else _MAX_COUNT
        if value is not None and not (type(value) is int and 1 <= value <= highest):
            raise TrainingError(f"{name} is {value}, expected a whole number from 1 to {highest}")
    for name in _POSITIVE:
        value = getattr(config, name)
        if value is not None and not 0 < value < math.inf:
            raise TrainingError(f"{name} is {value}, expected a finite number greater than 0")
    for name in _FROM_ZERO:
        value = getattr(config, name)
        if value is not None and not 0 <= value < math.inf:
            raise TrainingError(f"{name} is {value}, expected 0 or a finite number greater than 0")


def _check_validation(config: "TrainingConfig") -> None:
    if config.validate_on is not None and not _is_validation(config.validate_on):
        raise TrainingError(
            f"validate_on is {config.validate_on!r}, expected one of {', '.join(VALIDATE_ON)}; behind a"
            " colon one may name the role whose groups count, as new-groups:NAME of the column group_NAME"
        )
    if (folds := config.validation_folds) is not None and not (type(folds) is int and folds in _FOLDS):
        raise TrainingError(
            f"validation_folds is {folds}, expected 0 or a whole number from {_FOLDS[1]} to {_FOLDS[-1]}"
        )


def _check_ranges(config: "TrainingConfig") -> None:
    if config.score_range is not None and not _is_range(config.score_range):
        raise TrainingError(
            f"score_range is {config.score_range}, expected the lowest and the highest score, two finite"
            " numbers, such as 0,100"
        )
    if config.dropout is not None and not 0 <= config.dropout < 1:
        raise TrainingError(f"dropout is {config.dropout}, expected a number from 0 to below 1")
    PanelRule(config.panel_rule)
    if not 0 < config.validation < 1:
        raise TrainingError(f"validation is {config.validation}, expected a share between 0 and 1")
    if not (type(config.seed) is int and 0 <= config.seed < 2**63):
        raise TrainingError(f"seed is {config.seed}, expected a whole number from 0 to {2**63 - 1}")


def _check_names(config: "TrainingConfig") -> None:
    if config.folds not in (None, OFFICIAL_FOLDS) and not _is_count_of_folds(config.folds):
        folds = int(config.folds) if str(config.folds).isdecimal() else config.folds
        raise TrainingError(f"folds is {folds!r}, expected a whole number from 2 on, or {OFFICIAL_FOLDS}")
    if config.name is not None and not config.name.strip():
        raise TrainingError("name is empty; give one, or leave it out")
    if strange := [name for name in config.varied if name not in SWEPT]:
        raise TrainingError(f"varied: {strange[0]!r} is unknown, expected any of {', '.join(SWEPT)}")
    unknown = [task for task in config.tasks if task not in TASKS]
    if unknown or not config.tasks:
        got = f"unknown task {unknown[0]!r}" if unknown else "no task was asked for"
        raise TrainingError(f"tasks: {got}; give any of {', '.join(TASKS)}, separated by commas")


def _is_validation(said: str) -> bool:
    kind, colon, role = said.partition(":")
    return kind in VALIDATE_ON and bool(role.strip()) == bool(colon)


def _is_range(ends: object) -> bool:
    if not isinstance(ends, tuple | list):
        return False
    numbers = cast(Sequence[Any], ends)
    if len(numbers) != 2 or not all(type(end) in (int, float) and math.isfinite(end) for end in numbers):
        return False
    return numbers[0] < numbers[1]


def _is_count_of_folds(folds: object) -> bool:
    if isinstance(folds, str) and folds.isdecimal():
        folds = int(folds)
    return isinstance(folds, int) and folds > 1
