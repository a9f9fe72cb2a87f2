"""A training run's settings with every value filled in, and the values that stand behind those not given."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aqa_cache.errors import escaped
from aqa_cache.short_repr import short_repr

from ..errors import TrainingError
from .encoder_sizes import follows_data
from .experiments import (
    ENCODER_SIZES,
    ENCODERS,
    EXPERIMENTS,
    PAIR_BY_NOTHING,
    READOUTS,
    REGRESSION,
    ROWS,
    SCORE_HEAD_OPTIONS,
    SCORE_HEADS,
    TABLE_1_ENCODERS,
    Experiment,
)
from .features import Features
from .fine_tuning import BACKBONE_LR, LITERAL_BACKBONE_LR, FineTuning

if TYPE_CHECKING:
    from .training import TrainingConfig

# What stands behind a value that is not given: with `literal` the original's, else what suits cached
# features.
LITERAL = {
    "batch_size": 3,
    "lr": 1e-4,
    "caption_lr": 1e-4,
    "weight_decay": 0.0,
    "dropout": 0.0,
    "standardise": False,
    "centre": False,
    "score_scale": 17.0,
    "residual": False,
    "ridge_start": False,
}
DEFAULTS = {
    "batch_size": 16,
    "lr": 1e-4,
    "caption_lr": 5e-4,
    "weight_decay": 1e-2,
    "dropout": 0.0,
    "standardise": True,
    "centre": True,
    "ridge_start": True,
}
# Of every score head but regression, those of one's own included.
HEAD_LR = 1e-3
LITERAL_HIDDEN = 8192
LITERAL_S3D_DIM = 8192

# The four columns of Table 1 that decide the model, and with them what a closed form has not.
COLUMNS = ("rnn", "layers", "attention", "encoder")
NETWORK_ONLY = (
    *("score_head", *SCORE_HEAD_OPTIONS, "loss", "loss_weight"),
    *("rnn", "layers", "attention", "residual", "encoder", "encoder_hidden", "encoder_layers", "max_clips"),
)
_SIZES = ("encoder_hidden", "encoder_layers")
# So that a run without them is the run that it was before they were there.
_ONLY_WHERE_TRUE = ("withhold_test",)
ONLY_WHERE_ASKED = ("score_head", *SCORE_HEAD_OPTIONS, "loss", "loss_weight")
# Likewise; where one of them was asked for, or `chooses_anew`, all stand in the record, filled in.
CHOOSING = ("validate_on", "refit", "validation_folds")
# Of the settings, what does not decide the result; `deciding` has score_range where it is known.
_BESIDE_THE_RESULT = (
    "asked",
    "score_range",
    "out",
    "name",
    "varied",
    "choice",
    "overwrite",
    "resume",
    "checkpoint_seconds",
    "features",
    "device",
    "threads",
)


@dataclass(frozen=True)
class ResolvedConfig:
    """The settings of one run, every value filled in; made by `TrainingConfig.resolve`, which documents them.

    None stands only where there is no such thing: a closed form has no captioner, an average no size, most
    rows no largest number of clips; and where the data decide, until a run is planned
    (`encoder_sizes.fitted_to_data`).

    Args:
        asked: the config that this was made from; the names of runs tell what differs from the row.
        tasks: those asked for that the row can be trained for, in the order of `TASKS`; a plan leaves out
            those that the cache has no labels for.
        validate_on: None: as Table 1's rows were validated.
        validation_folds: None: by the number of training samples, which only the data tell; a plan has it.
        score_scale: None: the standard deviation of the training scores, which only the data tell.
    """

    asked: "TrainingConfig"
    features: str | Path | Features
    experiment: str
    literal: bool
    rnn: str | None
    layers: int | None
    attention: str | None
    residual: bool | None
    encoder: str
    encoder_hidden: int | None
    encoder_layers: int | None
    max_clips: int | None
    score_head: str
    readout: str | None
    panel_rule: str | None
    pair_by: str | None
    loss: str | None
    loss_weight: float | None
    pretrain_epochs: int
    tasks: tuple[str, ...]
    difficulty: str
    protocol: str
    validation: float
    validate_on: str | None
    refit: bool
    validation_folds: int | None
    patience: int
    folds: int | str | None
    fold: str | None
    epochs: int
    batch_size: int
    lr: float
    caption_lr: float
    weight_decay: float
    dropout: float
    ridge_start: bool
    seed: int
    device: str
    threads: int | None
    score_scale: float | None
    score_range: tuple[float, float] | None
    centre: bool
    standardise: bool
    views: str
    vocabulary: str | Path | None
    beam: int
    meteor: bool
    withhold_test: bool
    choice: Mapping[str, Any] | None
    allow_leak: bool
    out: str | Path
    name: str | None
    varied: tuple[str, ...]
    overwrite: bool
    resume: bool
    checkpoint_seconds: float
    fine_tuning: FineTuning | None

    __repr__ = short_repr

    @property
    def row(self) -> Experiment:
        return row_of(self.experiment)

    @property
    def columns(self) -> dict[str, Any]:
        """The four columns of Table 1 that decide the model, overrides applied."""
        return {name: getattr(self, name) for name in COLUMNS}

    @property
    def score_options(self) -> dict[str, str]:
        """What the score head is made with, of what was asked for or stands behind it."""
        values = {name: getattr(self, name) for name in SCORE_HEAD_OPTIONS}
        return {name: value for name, value in values.items() if value is not None}

    def projection(self, backbone: str) -> int | None:
        """Width of the learned projection of clip features, which the original has on S3D; None: none."""
        original = self.literal and self.row.backbone == "s3d" and backbone.lower() == "s3d"
        return LITERAL_S3D_DIM if original else None

    def on_other_features(self, backbone: str) -> bool:
        """Whether features of `backbone` are not what this row was run on."""
        return self.row.backbone is not None and backbone.lower() != self.row.backbone

    def deciding(self) -> dict[str, Any]:
        """Everything that decides the result, as plain JSON; a column is None where the row's is kept."""
        record = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in (*_BESIDE_THE_RESULT, *ONLY_WHERE_ASKED, *_ONLY_WHERE_TRUE, *CHOOSING)
        }
        record |= {name: True for name in _ONLY_WHERE_TRUE if getattr(self, name)}
        asked = {name: getattr(self.asked, name) for name in ONLY_WHERE_ASKED}
        record |= {name: value for name, value in asked.items() if value is not None}
        record |= {} if self.score_range is None else {"score_range": list(self.score_range)}
        if chooses_anew(self.asked) or any(getattr(self.asked, name) is not None for name in CHOOSING):
            record |= {name: getattr(self, name) for name in CHOOSING}
        return record | {
            **{name: getattr(self.asked, name) for name in COLUMNS},
            "tasks": list(self.tasks),
            "vocabulary": None if self.vocabulary is None else escaped(str(self.vocabulary)),
            "fine_tuning": None if self.fine_tuning is None else self.fine_tuning.deciding(),
        }


def row_of(experiment: str) -> Experiment:
    """The row of Table 1, the reference, or the default model, of this name."""
    return ROWS[experiment]


def chooses_anew(asked: "TrainingConfig") -> bool:
    """Whether, unless asked otherwise, validation mirrors the test and the model is refitted.

    That is not so for rows of Table 1, which keep their numbers, unless they are given an encoder or a score
    head that they could not be given when these were made; nor without validation.
    """
    if asked.protocol == "paper":
        return False
    later = asked.encoder in ENCODERS and asked.encoder not in TABLE_1_ENCODERS
    later |= asked.score_head in SCORE_HEADS and asked.score_head != REGRESSION
    return later or asked.experiment not in EXPERIMENTS


def resolve(asked: "TrainingConfig") -> ResolvedConfig:
    """Fill in what was not given.

    Raises:
        TrainingError: something is asked for that the row has not, or that another setting excludes.
    """
    row = row_of(asked.experiment)
    _check_row(asked, row)
    filled = {field.name: getattr(asked, field.name) for field in fields(asked)}
    for name, value in (LITERAL if asked.literal else DEFAULTS).items():
        if filled[name] is None and not (row.closed_form and name in NETWORK_ONLY):
            filled[name] = value
    for name in COLUMNS:
        if filled[name] is None:
            filled[name] = getattr(row, name)
    if row.tasks == ("score",):  # a reference is what it is
        filled["ridge_start"] = False
    if asked.standardise is None:
        filled["standardise"] &= row.standardise
    hidden, layers = usual_encoder_size(asked)
    filled["encoder_hidden"] = asked.encoder_hidden or hidden
    filled["encoder_layers"] = asked.encoder_layers or layers
    filled["score_head"] = asked.score_head or row.score_head
    filled |= _score_options(asked, filled["score_head"])
    filled |= _choosing(asked)
    if asked.lr is None and not asked.literal and filled["score_head"] != REGRESSION:
        filled["lr"] = HEAD_LR
    if asked.loss is not None and asked.loss_weight is None:
        filled["loss_weight"] = 1.0
    if isinstance(asked.folds, str) and asked.folds.isdecimal():
        filled["folds"] = int(asked.folds)
    if filled["residual"] is None and not row.closed_form:
        filled["residual"] = usual_residual(asked)
    if asked.fine_tuning is not None and asked.fine_tuning.backbone_lr is None:
        lr = LITERAL_BACKBONE_LR if asked.literal else BACKBONE_LR
        filled["fine_tuning"] = replace(asked.fine_tuning, backbone_lr=lr)
    filled["tasks"] = tuple(task for task in row.tasks if task in asked.tasks)
    if not filled["tasks"]:
        raise TrainingError(f"{row.title} can only be trained for {', '.join(row.tasks)}; name it in tasks")
    if asked.max_clips is not None and filled["encoder"] == "statistics":
        raise TrainingError(
            "max_clips is given, but the encoder is statistics, which sees how many clips a sample has; leave"
            " one out"
        )
    if asked.pretrain_epochs and filled["encoder"] not in ("lstm", "gru"):
        raise TrainingError(
            f"pretrain_epochs is {asked.pretrain_epochs}, but the encoder is {filled['encoder']}; only lstm"
            " and gru can be trained as an autoencoder"
        )
    return ResolvedConfig(asked=asked, **filled)


def _score_options(asked: "TrainingConfig", head: str) -> dict[str, str | None]:
    """The options of the score head, every value filled in; None where it has no such option."""
    # Original: difficulties pair samples where execution is scored, else nothing does.
    pair_by = "difficulty" if asked.difficulty == "multiply" else PAIR_BY_NOTHING
    behind = {"readout": READOUTS[0], "panel_rule": None, "pair_by": pair_by}
    options = {}
    for name, heads in SCORE_HEAD_OPTIONS.items():
        given = getattr(asked, name)
        if given is not None and head not in heads:
            raise TrainingError(
                f"{name} is {given!r}, which the score head {head} does not have; leave it out, or give the"
                f" score head {' or '.join(heads)}"
            )
        options[name] = (behind[name] if given is None else given) if head in heads else None
    if options["readout"] == "argmax" and asked.loss is not None:
        raise TrainingError(
            f"loss is {asked.loss!r}, but the readout argmax has no gradient that it could follow; leave out"
            " one of them"
        )
    return options


def _choosing(asked: "TrainingConfig") -> dict[str, Any]:
    """What `CHOOSING` names, filled in as far as settings tell."""
    anew, cached = chooses_anew(asked), asked.fine_tuning is None
    refit = anew and cached if asked.refit is None else asked.refit
    folds = asked.validation_folds
    if folds is None and not (anew and refit):
        folds = 0
    if asked.protocol == "paper" and (given := [name for name in CHOOSING if getattr(asked, name)]):
        raise TrainingError(
            f"{', '.join(given)}: given, but the paper's protocol has no validation; leave out, or take"
            " --protocol honest"
        )
    if not cached and (refit or folds):
        raise TrainingError(
            "end-to-end training holds out one part and reports the epoch that was chosen on it; leave out"
            " --refit and --validation-folds"
        )
    if folds and not refit:
        raise TrainingError(
            f"validation_folds is {folds}: the models of folds only choose the epoch, and the one that is"
            " reported is trained on all samples after them; give --refit too, or --validation-folds 0"
        )
    validate_on = asked.validate_on or ("auto" if anew or folds else None)
    return {"validate_on": validate_on, "refit": refit, "validation_folds": folds}


def usual_choosing(asked: "TrainingConfig") -> dict[str, Any]:
    """How `CHOOSING` is filled in where nothing is said of it."""
    return _choosing(replace(asked, **dict.fromkeys(CHOOSING)))


def _check_row(asked: "TrainingConfig", row: Experiment) -> None:
    given = [name for name in NETWORK_ONLY if getattr(asked, name)]
    if asked.experiment == "c3d-lstm" and (columns := [name for name in given if name not in _SIZES]):
        raise TrainingError(
            f"{row.title} is an LSTM encoder and a linear score; {', '.join(columns)} cannot be given"
        )
    if row.closed_form and given:
        raise TrainingError(
            f"{row.title} is a linear function of the mean clip feature and has no {', '.join(given)}; leave"
            " them out"
        )
    if asked.fine_tuning is not None and row.closed_form:
        raise TrainingError(
            f"{row.title} is a closed form, which no backbone can be trained through; leave it out of"
            " end-to-end training"
        )


def usual_encoder_size(asked: "TrainingConfig") -> tuple[int | None, int | None]:
    """Width and depth of the encoder where none are given; a width of None follows from the data."""
    row = row_of(asked.experiment)
    encoder = asked.encoder or row.encoder
    if row.encoder_size is not None and encoder == row.encoder:
        return row.encoder_size
    if asked.literal and encoder == "lstm":
        return LITERAL_HIDDEN, 2
    hidden, layers = ENCODER_SIZES.get(encoder, (None, None))
    return None if follows_data(asked.experiment, encoder) else hidden, layers


def usual_residual(asked: "TrainingConfig") -> bool:
    """Whether there are connections around the captioner's cells where nothing is said of them."""
    layers = asked.layers or row_of(asked.experiment).layers
    return not asked.literal and (layers or 0) > 2
