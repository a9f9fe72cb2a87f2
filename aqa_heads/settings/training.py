"""What a training run is asked to do."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from aqa_cache.remote.url import is_url
from aqa_cache.short_repr import short_repr

from ..errors import TrainingError
from .experiments import (
    ATTENTIONS,
    DEFAULT,
    KNOWN_ENCODERS,
    KNOWN_LOSSES,
    KNOWN_SCORE_HEADS,
    READOUTS,
    RNNS,
    ROWS,
    TASKS,
)
from .features import Features, as_features
from .fine_tuning import FineTuning
from .panel_rule import PanelRule
from .resolved import ResolvedConfig, resolve

ALL_VIEWS = "all"
VIEWS = (ALL_VIEWS, "plain")
PROTOCOLS = ("honest", "paper")
DIFFICULTIES = ("ignore", "multiply")
OFFICIAL_FOLDS = "official"
# Where candidates are trained, in the folder of runs.
CANDIDATES = "candidates"
# What several values can be given of at once.
SWEPT = ("encoder", "score_head", "lr", "weight_decay", "dropout", "batch_size", "epochs")
VALIDATE_ON = AUTO, NEW_GROUPS, KNOWN_GROUPS = "auto", "new-groups", "known-groups"
# With fewer labelled training samples one held-out part says too little, so that many models choose together.
SMALL_DATA, SMALL_DATA_FOLDS = 100, 5

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


@dataclass(frozen=True)
class TrainingConfig:
    """What one run is asked to do: a row of Table 1, what overrides it, how it is trained and evaluated.

    It holds what was asked and nothing else: None where a value was left to the row, to `literal` or to the
    defaults. `resolve` gives the same with every value filled in.

    Args:
        features: the feature cache, written by `aqa-extract`: a path or a URL; or several that were made in
            the same way.
        experiment: `default`, the model for data of one's own; or a row of Table 1, a key of `EXPERIMENTS`;
            or one of `REFERENCES`. A row may be given as a number, `experiment=7`.
        literal: the row exactly as the original: its widths and projections, plain stacks of cells, raw
            features, score / 17, Adam with lr 1e-4 in steps of 3. What it changes is in `LITERAL`; each value
            can still be given.
        rnn, layers, attention, encoder: override the row's column; None keeps it. An own encoder is given as
            MODULE:ATTRIBUTE, as are score head and loss (docs/extending.md).
        residual: connections around the captioner's cells. None: where there are more than two, as such
            stacks do not learn without.
        encoder_hidden, encoder_layers: size and depth of the encoder; None: those of `ENCODER_SIZES`. Without
            effect on `average` and `statistics`. Where `ENCODER_SIZES` has no width, and without a row, it
            follows from the data (`encoder_sizes.suited_width`).
        max_clips: in training, the encoder sees at most so many clips of a sample: a window drawn anew in
            every epoch. Everything is evaluated on all clips. None: the 95th percentile of the training
            samples' numbers of clips, at least 64, where the width follows from the data too; else no limit.
        score_head: how the score is learned; None: `regression`.
        readout: how `distribution` and `judges` make one number of a distribution: its `expectation`, or
            `argmax`, the most likely value, as the original.
        panel_rule: of `judges`: `mean` or `middle-N`, see `PanelRule`; None: the middle three of 3, 5 or 7.
        pair_by: what samples that `core` compares have in common: `difficulty`, a class column, or `none`.
            None: the difficulty with `multiply`, else nothing.
        loss: added to the score head's own loss, a function of predicted and true scores in units of the
            score scale, one of `LOSSES` or an own one; None: nothing is. loss_weight: of it; None: 1.
        pretrain_epochs: of the `lstm` or `gru` encoder as an autoencoder of the clip features, before
            training.
        tasks: any subset of `TASKS`; also as text, `"score"` or `"score,classes"`.
        difficulty: `ignore`: the final score is predicted. `multiply`: the execution score (final score /
            difficulty) is, and multiplied by the difficulty, which is known beforehand. Their results do not
            compare.
        protocol: `honest`: some training groups are held out for validation, the best epoch is chosen on
            them, and the test samples are looked at once. `paper`: no validation, tested after every epoch,
            the last one is reported.
        validation: share of the training samples held out; without effect where the annotations name a split
            `val`.
        validate_on: whom validation asks about: `new-groups` holds out whole groups, `known-groups` single
            samples of groups that train, `auto` as many of each as the test has; behind a colon the role
            whose groups count, `new-groups:NAME` of the column group_NAME. None: `auto`, but for rows of
            Table 1 whole groups where there are enough.
        refit: train once more on training and validation samples, for the steps that were chosen, and report
            that model; a closed form is fitted to all of them. None: yes, but not for rows of Table 1 and end
            to end.
        validation_folds: into how many parts the training samples are divided to choose the epoch, each held
            out of a model of its own; 0: one part is held out. None: `SMALL_DATA_FOLDS` where fewer than
            `SMALL_DATA` labelled samples train, of models that are refitted.
        patience: epochs without improvement on the validation samples after which a part is no longer
            trained.
        folds: None: train and test as the annotations say. A number, or `official`: see
            `data.splits.choose_split`.
        fold: which of them is tested.
        epochs: at most.
        batch_size, lr, weight_decay: of AdamW; None: see `LITERAL` and `DEFAULTS`; the lr of every score head
            but `regression` is `HEAD_LR`.
        caption_lr: of the captioner, where it is trained apart.
        dropout: on the encoder's output and after fc6, in training.
        ridge_start: the score gets a linear path from the mean of the clips, beside the encoder and fc6,
            which starts at the ridge regression of the training scores; what is learned is what lies beyond
            it. On few samples a network does not find even that by itself.
        seed: of initial weights, dropout, the order of samples and the choice of validation groups.
        device: `auto` (a CUDA GPU if there is one, else the CPU), or a torch device.
        threads: of the CPU, at most; None leaves torch's choice, all cores. Steps with little work take
            fewer (`training.computing.threads_worth`). A captioner takes thousands of small steps, each of
            which waits for all its threads: where other programs keep the cores busy, 1 is many times faster.
        score_scale: in points; the score head learns (score - centre) / score_scale. None: the standard
            deviation of the training scores.
        score_range: lowest and highest score that can be given, in points, to which intervals of new samples
            are clipped; None: that of the annotations' columns score_min and score_max, where they are.
        centre: whether the mean training score is the centre; else it is 0.
        standardise: scale each feature dimension by the training split's mean and standard deviation. The
            original does not: it trains the backbone too, which can rescale its own output; cached features
            cannot.
        views: of a cache that holds several views of a sample (flipped, shifted in time, …). `all`: training
            draws one of the sample's views anew in every epoch. `plain`: only the plain one. Whatever the
            training, standardisation is fitted and everything is evaluated on the plain view, so that models
            are comparable.
        vocabulary: None: the words of the training captions. A path: MTL-AQA's vocab.json, as in the paper.
        beam: captions kept at every word when captions are made; 1 is greedy.
        meteor: compute METEOR where Java is there, which takes about 10 s.
        withhold_test: the test samples are left out, so that the run is compared with others on validation
            alone.
        choice: what the run was chosen from, for its record (`candidates.Contest`).
        allow_leak: train although a test sample is, in part, a training sample too; every number is marked.
        out: folder of run folders.
        name: of the run's folder and label, in place of the row and what differs from it; fold and seed
            are added.
        varied: settings that runs of one sweep differ in, of `SWEPT`: they show in the run's name where they
            are not the default.
        overwrite: replace an existing run folder of the same name.
        resume: go on with a run of this name that was interrupted.
        checkpoint_seconds: how often, at most, it is made sure that little is lost.
        fine_tuning: how the backbone is trained too, by `end_to_end.fine_tune`; None: the cached features are
            trained on.

    Raises:
        TrainingError: a value out of its range, named with the values it may have.
    """

    features: str | Path | Sequence[str | Path]
    experiment: str | int = DEFAULT.name
    literal: bool = False
    rnn: str | None = None
    layers: int | None = None
    attention: str | None = None
    residual: bool | None = None
    encoder: str | None = None
    encoder_hidden: int | None = None
    encoder_layers: int | None = None
    max_clips: int | None = None
    score_head: str | None = None
    readout: str | None = None
    panel_rule: str | None = None
    pair_by: str | None = None
    loss: str | None = None
    loss_weight: float | None = None
    pretrain_epochs: int = 0
    tasks: tuple[str, ...] | str = TASKS
    difficulty: str = "ignore"
    protocol: str = "honest"
    validation: float = 0.2
    validate_on: str | None = None
    refit: bool | None = None
    validation_folds: int | None = None
    patience: int = 10
    folds: int | str | None = None
    fold: str | None = None
    epochs: int = 100
    batch_size: int | None = None
    lr: float | None = None
    caption_lr: float | None = None
    weight_decay: float | None = None
    dropout: float | None = None
    ridge_start: bool | None = None
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    score_scale: float | None = None
    score_range: tuple[float, float] | None = None
    centre: bool | None = None
    standardise: bool | None = None
    views: str = ALL_VIEWS
    vocabulary: str | Path | None = None
    beam: int = 1
    meteor: bool = True
    withhold_test: bool = False
    choice: Mapping[str, Any] | None = dataclasses.field(default=None, hash=False)
    allow_leak: bool = False
    out: str | Path = "runs"
    name: str | None = None
    varied: tuple[str, ...] = ()
    overwrite: bool = False
    resume: bool = False
    checkpoint_seconds: float = 60.0
    fine_tuning: FineTuning | None = None

    __repr__ = short_repr

    def __post_init__(self):
        object.__setattr__(self, "features", as_features(self.features))
        # As one writes them: experiment=7, tasks="score" or "score,classes".
        if type(self.experiment) is int:
            object.__setattr__(self, "experiment", str(self.experiment))
        if isinstance(self.tasks, str):
            object.__setattr__(self, "tasks", tuple(task.strip() for task in self.tasks.split(",")))
        self._check_values()
        self._check_together()
        resolve(self)  # a mistake that only the filled-in values show is said here too

    def resolve(self) -> ResolvedConfig:
        """The same with every value filled in: by the row, by `literal`, by the defaults."""
        return resolve(self)

    def _check_values(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise TrainingError(f"{name} is {value!r}, expected one of {', '.join(choices)}")
        for name, known in _EXTENSIONS.items():
            if (value := getattr(self, name)) is not None:
                known.give(value)
        for field in fields(self):
            if getattr(self, field.name) is None and field.default is not None:
                raise TrainingError(f"{field.name} is None, expected a value; leave it out for the default")
        for name in _COUNTS:
            value = getattr(self, name)
            highest = _MAX_THREADS if name == "threads" else _MAX_COUNT
            if value is not None and not (type(value) is int and 1 <= value <= highest):
                raise TrainingError(f"{name} is {value}, expected a whole number from 1 to {highest}")
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise TrainingError(f"{name} is {value}, expected a finite number greater than 0")
        for name in _FROM_ZERO:
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise TrainingError(f"{name} is {value}, expected 0 or a finite number greater than 0")
        if self.validate_on is not None and not _is_validation(self.validate_on):
            raise TrainingError(
                f"validate_on is {self.validate_on!r}, expected one of {', '.join(VALIDATE_ON)}; behind a"
                " colon one may name the role whose groups count, as new-groups:NAME of the column group_NAME"
            )
        if (folds := self.validation_folds) is not None and not (type(folds) is int and folds in _FOLDS):
            raise TrainingError(
                f"validation_folds is {folds}, expected 0 or a whole number from {_FOLDS[1]} to {_FOLDS[-1]}"
            )
        if self.score_range is not None and not _is_range(self.score_range):
            raise TrainingError(
                f"score_range is {self.score_range}, expected the lowest and the highest score, two finite"
                " numbers, such as 0,100"
            )
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise TrainingError(f"dropout is {self.dropout}, expected a number from 0 to below 1")
        PanelRule(self.panel_rule)
        if not 0 < self.validation < 1:
            raise TrainingError(f"validation is {self.validation}, expected a share between 0 and 1")
        if not (type(self.seed) is int and 0 <= self.seed < 2**63):
            raise TrainingError(f"seed is {self.seed}, expected a whole number from 0 to {2**63 - 1}")
        if self.folds not in (None, OFFICIAL_FOLDS) and not _is_count_of_folds(self.folds):
            folds = int(self.folds) if str(self.folds).isdecimal() else self.folds
            raise TrainingError(f"folds is {folds!r}, expected a whole number from 2 on, or {OFFICIAL_FOLDS}")
        if self.name is not None and not self.name.strip():
            raise TrainingError("name is empty; give one, or leave it out")
        if strange := [name for name in self.varied if name not in SWEPT]:
            raise TrainingError(f"varied: {strange[0]!r} is unknown, expected any of {', '.join(SWEPT)}")
        unknown = [task for task in self.tasks if task not in TASKS]
        if unknown or not self.tasks:
            got = f"unknown task {unknown[0]!r}" if unknown else "no task was asked for"
            raise TrainingError(f"tasks: {got}; give any of {', '.join(TASKS)}, separated by commas")

    def _check_together(self) -> None:
        if self.overwrite and self.resume:
            raise TrainingError(
                "overwrite and resume are both asked for; give resume to go on, or overwrite to begin again"
            )
        if self.loss is None and self.loss_weight is not None:
            raise TrainingError(
                f"loss_weight is {self.loss_weight}, but there is no loss; give one, or leave it out"
            )
        if self.fold is not None and self.folds is None:
            raise TrainingError(f"fold is {self.fold!r}, but folds are not asked for; say how many")
        if self.fine_tuning is not None and self.views != ALL_VIEWS:
            raise TrainingError(
                f"views is {self.views!r}, which is of cached features; end to end, frames are augmented as"
                " augment says"
            )
        if self.fine_tuning is not None and (isinstance(self.features, Features) or is_url(self.features)):
            raise TrainingError(
                f"features is {self.features}; end to end takes one cache, on this machine, whose videos"
                " are below --videos"
            )
        if self.max_clips is not None and self.fine_tuning is not None:
            raise TrainingError(
                f"max_clips is {self.max_clips}, which is of cached features; end to end, all clips of a"
                " sample are trained on. Leave it out"
            )
        if self.pretrain_epochs and self.fine_tuning is not None and self.fine_tuning.warm_start is not None:
            raise TrainingError(
                "pretrain_epochs and warm_start are both asked for, but the encoder of a warm start is"
                " trained already; leave one out"
            )


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
