"""What a training run is asked to do."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqa_cache.short_repr import short_repr

from .choices import ALL_VIEWS
from .experiments import DEFAULT, TASKS
from .features import as_features
from .fine_tuning import FineTuning
from .resolved import ResolvedConfig, resolve
from .training_checks import check_together, check_values


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
        check_values(self)
        check_together(self)
        resolve(self)  # a mistake that only the filled-in values show is said here too

    def resolve(self) -> ResolvedConfig:
        """The same with every value filled in: by the row, by `literal`, by the defaults."""
        return resolve(self)
