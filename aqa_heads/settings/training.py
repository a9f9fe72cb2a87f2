"""What a training run is asked to do, and the name it runs under."""

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path

from ..errors import TrainingError
from .experiments import ATTENTIONS, ENCODERS, EXPERIMENTS, REFERENCES, RNNS, TASKS, Experiment
from .fine_tuning import BACKBONE_LR, LITERAL_BACKBONE_LR, FineTuning, folder_name, name_of_run

ALL_VIEWS = "all"
VIEWS = (ALL_VIEWS, "plain")
PROTOCOLS = ("honest", "paper")
DIFFICULTIES = ("ignore", "multiply")
OFFICIAL_FOLDS = "official"

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
# (hidden, layers) by encoder; Exp 7's own is 8192 wide.
ENCODER_SIZES = {"lstm": (1024, 2), "gru": (1024, 2), "attention": (256, 1), "transformer": (512, 2)}
LITERAL_HIDDEN = 8192
LITERAL_S3D_DIM = 8192

# What a closed form has not.
NETWORK_ONLY = ("rnn", "layers", "attention", "residual", "encoder", "encoder_hidden", "encoder_layers")
_COLUMNS = ("rnn", "layers", "attention", "encoder")
_MAX_COUNT, _MAX_THREADS = 2**31 - 1, 1024


@dataclass(frozen=True)
class TrainingConfig:
    """One training run: a row of Table 1, what overrides it, and how it is trained and evaluated.

    Args:
        features: the feature cache, written by `aqa-extract`.
        experiment: a row of Table 1, a key of `EXPERIMENTS`, or one of `REFERENCES`.
        literal: the row exactly as the original: its widths and projections, plain stacks of cells, raw
            features, score / 17, Adam with lr 1e-4 in steps of 3. What it changes is in `LITERAL`; each value
            can still be given.
        rnn, layers, attention, encoder: override the row's column; None keeps it.
        residual: connections around the captioner's cells. None: where there are more than two, as such
            stacks do not learn without.
        encoder_hidden, encoder_layers: size and depth of the encoder; None: those of `ENCODER_SIZES`. Without
            effect on `average`.
        pretrain_epochs: of the `lstm` or `gru` encoder as an autoencoder of the clip features, before
            training.
        tasks: any subset of `TASKS`.
        difficulty: `ignore`: the final score is predicted. `multiply`: the execution score (final score /
            difficulty) is, and multiplied by the difficulty, which is known beforehand. Their results do not
            compare.
        protocol: `honest`: some training groups are held out for validation, the best epoch is chosen on
            them, and the test samples are looked at once. `paper`: no validation, tested after every epoch,
            the last one is reported.
        validation: share of the training samples held out; without effect where the annotations name a split
            `val`.
        patience: epochs without improvement on the validation samples after which a part is no longer
            trained.
        folds: None: train and test as the annotations say. A number, or `official`: see
            `splits.choose_split`.
        fold: which of them is tested.
        epochs: at most.
        batch_size, lr, weight_decay: of AdamW; None: see `LITERAL` and `DEFAULTS`.
        caption_lr: of the captioner, where it is trained apart.
        dropout: on the encoder's output and after fc6, in training.
        ridge_start: the score gets a linear path from the mean of the clips, beside the encoder and fc6,
            which starts at the ridge regression of the training scores; what is learned is what lies beyond
            it. On few samples a network does not find even that by itself.
        seed: of initial weights, dropout, the order of samples and the choice of validation groups.
        device: `auto` (a CUDA GPU if there is one, else the CPU), or a torch device.
        threads: of the CPU; None leaves torch's choice, all cores. A captioner takes thousands of small
            steps, each of which waits for all its threads: where other programs keep the cores busy, 1 is
            many times faster.
        score_scale: in points; the score head learns (score - centre) / score_scale. None: the standard
            deviation of the training scores.
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
        allow_leak: train although a test sample is, in part, a training sample too; every number is marked.
        out: folder of run folders.
        overwrite: replace an existing run folder of the same name.
        resume: go on with a run of this name that was interrupted.
        checkpoint_seconds: how often, at most, it is made sure that little is lost.
        fine_tuning: how the backbone is trained too, by `end_to_end.fine_tune`; None: the cached features are
            trained on.

    Raises:
        TrainingError: a value out of its range, named with the values it may have.
    """

    features: str | Path
    experiment: str = "baseline"
    literal: bool = False
    rnn: str | None = None
    layers: int | None = None
    attention: str | None = None
    residual: bool | None = None
    encoder: str | None = None
    encoder_hidden: int | None = None
    encoder_layers: int | None = None
    pretrain_epochs: int = 0
    tasks: tuple[str, ...] = TASKS
    difficulty: str = "ignore"
    protocol: str = "honest"
    validation: float = 0.2
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
    centre: bool | None = None
    standardise: bool | None = None
    views: str = ALL_VIEWS
    vocabulary: str | Path | None = None
    beam: int = 1
    meteor: bool = True
    allow_leak: bool = False
    out: str | Path = "runs"
    overwrite: bool = False
    resume: bool = False
    checkpoint_seconds: float = 60.0
    fine_tuning: FineTuning | None = None

    def __post_init__(self):
        self._fill_in()
        for name, choices in (
            ("experiment", (*EXPERIMENTS, *REFERENCES)),
            ("rnn", RNNS),
            ("attention", ATTENTIONS),
            ("encoder", ENCODERS),
            ("difficulty", DIFFICULTIES),
            ("protocol", PROTOCOLS),
            ("views", VIEWS),
        ):
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise TrainingError(f"{name} is {value!r}, expected one of {', '.join(choices)}")
        for name in (
            "layers",
            "encoder_hidden",
            "encoder_layers",
            "epochs",
            "batch_size",
            "threads",
            "patience",
            "beam",
        ):
            value = getattr(self, name)
            highest = _MAX_THREADS if name == "threads" else _MAX_COUNT
            if value is not None and not 1 <= value <= highest:
                raise TrainingError(f"{name} is {value}, expected a whole number from 1 to {highest}")
        for name in ("lr", "caption_lr", "score_scale"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise TrainingError(f"{name} is {value}, expected a finite number greater than 0")
        for name in ("weight_decay", "pretrain_epochs", "checkpoint_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise TrainingError(
                    f"{name} is {getattr(self, name)}, expected 0 or a finite number greater than 0"
                )
        if not 0 <= self.dropout < 1:
            raise TrainingError(f"dropout is {self.dropout}, expected a number from 0 to below 1")
        if not 0 < self.validation < 1:
            raise TrainingError(f"validation is {self.validation}, expected a share between 0 and 1")
        if not 0 <= self.seed < 2**63:
            raise TrainingError(f"seed is {self.seed}, expected a whole number from 0 to {2**63 - 1}")
        if self.folds not in (None, OFFICIAL_FOLDS) and not (isinstance(self.folds, int) and self.folds > 1):
            raise TrainingError(
                f"folds is {self.folds!r}, expected a whole number from 2 on, or {OFFICIAL_FOLDS}"
            )
        if self.overwrite and self.resume:
            raise TrainingError(
                "overwrite and resume are both asked for; give resume to go on, or overwrite to begin again"
            )
        if self.fine_tuning is not None and self.row.closed_form:
            raise TrainingError(
                f"{self.row.title} is a closed form, which no backbone can be trained through; leave it out"
                " of end-to-end training"
            )
        if self.fine_tuning is not None and self.views != ALL_VIEWS:
            raise TrainingError(
                f"views is {self.views!r}, which is of cached features; end to end, frames are augmented as"
                " augment says"
            )
        if self.fold is not None and self.folds is None:
            raise TrainingError(f"fold is {self.fold!r}, but folds are not asked for; say how many")
        unknown = [task for task in self.tasks if task not in TASKS]
        if unknown or not self.tasks:
            got = f"unknown task {unknown[0]!r}" if unknown else "no task was asked for"
            raise TrainingError(f"tasks: {got}; give any of {', '.join(TASKS)}, separated by commas")
        object.__setattr__(
            self, "tasks", tuple(task for task in TASKS if task in self.tasks and task in self.row.tasks)
        )
        if not self.tasks:
            raise TrainingError(
                f"{self.row.title} can only be trained for {', '.join(self.row.tasks)}; name it in tasks"
            )
        if self.pretrain_epochs and self.architecture["encoder"] not in ("lstm", "gru"):
            raise TrainingError(
                f"pretrain_epochs is {self.pretrain_epochs}, but the encoder is"
                f" {self.architecture['encoder']}; only lstm and gru can be trained as an autoencoder"
            )
        if self.pretrain_epochs and self.fine_tuning is not None and self.fine_tuning.warm_start is not None:
            raise TrainingError(
                "pretrain_epochs and warm_start are both asked for, but the encoder of a warm start is"
                " trained already; leave one out"
            )

    def _fill_in(self) -> None:
        if self.experiment not in EXPERIMENTS and self.experiment not in REFERENCES:
            raise TrainingError(
                f"experiment is {self.experiment!r}, expected one of {', '.join((*EXPERIMENTS, *REFERENCES))}"
            )
        if self.experiment == "c3d-lstm" and (
            given := [name for name in NETWORK_ONLY[:-2] if getattr(self, name)]
        ):
            raise TrainingError(
                f"{self.row.title} is an LSTM encoder and a linear score; {', '.join(given)} cannot be given"
            )
        if self.row.closed_form and (given := [name for name in NETWORK_ONLY if getattr(self, name)]):
            raise TrainingError(
                f"{self.row.title} is a linear function of the mean clip feature and has no"
                f" {', '.join(given)}; leave them out"
            )
        for name, value in self.mode.items():
            if getattr(self, name) is None and not (self.row.closed_form and name in NETWORK_ONLY):
                object.__setattr__(self, name, value)
        if self.row.tasks == ("score",):  # a reference is what it is
            object.__setattr__(self, "ridge_start", False)
        hidden, depth = self._usual_encoder_size
        for name, value in (("encoder_hidden", hidden), ("encoder_layers", depth)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        if isinstance(self.folds, str) and self.folds.isdecimal():
            object.__setattr__(self, "folds", int(self.folds))
        if self.residual is None and not self.row.closed_form:
            object.__setattr__(self, "residual", self._usual_residual)
        if self.fine_tuning is not None and self.fine_tuning.backbone_lr is None:
            lr = LITERAL_BACKBONE_LR if self.literal else BACKBONE_LR
            object.__setattr__(self, "fine_tuning", replace(self.fine_tuning, backbone_lr=lr))

    @property
    def mode(self) -> dict:
        """The values that are used where none is given."""
        return LITERAL if self.literal else DEFAULTS

    @property
    def _usual_encoder_size(self) -> tuple[int | None, int | None]:
        if self.experiment == "c3d-lstm" and self.encoder in (None, "lstm"):
            return 256, 1
        hidden, depth = ENCODER_SIZES.get(self.architecture["encoder"], (None, None))
        return (
            (LITERAL_HIDDEN, 2)
            if self.literal and self.architecture["encoder"] == "lstm"
            else (hidden, depth)
        )

    @property
    def row(self) -> Experiment:
        return EXPERIMENTS.get(self.experiment) or REFERENCES[self.experiment]

    @property
    def architecture(self) -> dict:
        """The four columns of Table 1 that decide the model, overrides applied."""
        return {
            name: getattr(self.row, name) if getattr(self, name) is None else getattr(self, name)
            for name in _COLUMNS
        }

    def projection(self, backbone: str) -> int | None:
        """Width of the learned projection of clip features: what the original has on S3D; None: there is
        none.
        """
        return (
            LITERAL_S3D_DIM
            if self.literal and self.row.backbone == "s3d" and backbone.lower() == "s3d"
            else None
        )

    @property
    def _encoder_size(self) -> dict[str, int]:
        """What differs from the usual size of the encoder."""
        if self.architecture["encoder"] == "average":  # it has none
            return {}
        usual = dict(zip(("encoder_hidden", "encoder_layers"), self._usual_encoder_size, strict=True))
        return {name: getattr(self, name) for name, value in usual.items() if getattr(self, name) != value}

    @property
    def _usual_residual(self) -> bool:
        return not self.literal and (self.architecture["layers"] or 0) > 2

    def on_other_features(self, backbone: str) -> bool:
        """Whether features of `backbone` are not what this row was run on."""
        return self.row.backbone is not None and backbone.lower() != self.row.backbone

    def run_name(self, backbone: str, tuned_in: str | None = None) -> str:
        """The run folder's name: whatever makes its numbers another row's shows in it, and the seed.

        How it is trained (epochs, lr, batch_size, score_scale, …) does not: such runs need another `out`.
        `tasks` are those asked for; `train` first leaves out what the cache has no labels for
        (`training_data.usable_tasks`).

        Args:
            backbone, tuned_in: of the features: the network, and the run that fine-tuned it
                (`Meaning.tuned_in`); None: none did.

        >>> TrainingConfig("feats.h5", "7", encoder="average", seed=2).run_name("s3d")
        'exp7-encoder-average-on-s3d-seed2'
        """
        parts = [self.row.folder, *(name for name, _ in self._variant())]
        if self._starts_tuned(tuned_in):
            # So that its seed or fold is not taken for that of this run.
            parts.append("on-" + name_of_run(tuned_in))
        elif self.on_other_features(backbone):
            parts.append("on-" + folder_name(backbone))
        if self.fold is not None:
            parts.append("fold-" + folder_name(self.fold))
        if self.seed:
            parts.append(f"seed{self.seed}")
        return "-".join(parts)

    def run_label(self, backbone: str, tuned_in: str | None = None) -> str:
        """The same for people, without seed and fold; what differs from the row of Table 1 by default is said
        too.

        >>> TrainingConfig("feats.h5", "7").run_label("s3d")
        'Exp 7 (encoder 1024 wide, on S3D features)'
        """
        differences = []
        if self.residual and self._usual_residual and self.row.layers == self.architecture["layers"]:
            differences.append("residual")
        usual = self.architecture["encoder"] == self.row.encoder == "lstm" and not self._encoder_size
        if usual and not self.literal and self.experiment == "7":
            differences.append(f"encoder {self.encoder_hidden} wide")
        differences += [words for _, words in self._variant()]
        if self._starts_tuned(tuned_in):
            differences.append(f"on {backbone.upper()} features tuned in {tuned_in}")
        elif self.on_other_features(backbone):
            differences.append(f"on {backbone.upper()} features")
        return self.row.title + (f" ({', '.join(differences)})" if differences else "")

    def _starts_tuned(self, tuned_in: str | None) -> bool:
        """Whether the backbone of the cache is the one of this run, and was fine-tuned."""
        return tuned_in is not None and (self.fine_tuning is None or self.fine_tuning.weights is None)

    def _variant(self) -> list[tuple[str, str]]:
        """What was asked for beside the row: each as a part of the run's name and of its label."""
        parts = [("literal", "literal")] if self.literal else []
        if self.literal:
            named = ("residual", "standardise", "ridge_start")  # below
            parts += [
                (
                    f"{name.replace('_', '-')}-{getattr(self, name)}",
                    f"{name.replace('_', ' ')} {getattr(self, name)}",
                )
                for name, value in LITERAL.items()
                if name not in named and getattr(self, name) != value
            ]
        parts += [
            (f"{name}-{value}", f"{name} {value}")
            for name, value in self.architecture.items()
            if value != getattr(self.row, name)
        ]
        if self.residual is not None and self.residual != self._usual_residual:
            parts.append(("residual", "residual") if self.residual else ("no-residual", "no residual"))
        parts += [
            (f"{name.replace('_', '-')}-{value}", f"{name.replace('_', ' ')} {value}")
            for name, value in self._encoder_size.items()
        ]
        if self.pretrain_epochs:
            parts.append(("pretrained", "encoder pre-trained"))
        if self.standardise != self.mode["standardise"]:
            parts.append(
                ("standardise", "standardised")
                if self.standardise
                else ("no-standardise", "not standardised")
            )
        if self.ridge_start != self.mode["ridge_start"] and self.row.tasks != ("score",):
            parts.append(
                ("ridge-start", "ridge start") if self.ridge_start else ("no-ridge-start", "no ridge start")
            )
        if self.fine_tuning is not None:
            parts += self.fine_tuning.variant
        if self.views != ALL_VIEWS:
            parts.append((f"{self.views}-view", f"{self.views} view"))
        if self.tasks != self.row.tasks:
            parts.append(("-".join(("tasks", *self.tasks)), f"{' and '.join(self.tasks)} only"))
        if self.difficulty == "multiply":
            parts.append(("difficulty-multiply", "execution × difficulty"))
        if self.protocol != PROTOCOLS[0]:
            parts.append((f"protocol-{self.protocol}", f"{self.protocol} protocol"))
        return parts

    def run_folder(self, backbone: str, tuned_in: str | None = None) -> Path:
        return Path(self.out) / self.run_name(backbone, tuned_in)

    def asked(self) -> dict:
        """Everything that decides the result, as plain JSON."""
        left_out = ("out", "overwrite", "resume", "checkpoint_seconds", "features", "device", "threads")
        record = {
            field.name: getattr(self, field.name) for field in fields(self) if field.name not in left_out
        }
        return record | {
            "tasks": list(self.tasks),
            "vocabulary": None if self.vocabulary is None else str(self.vocabulary),
            "fine_tuning": None if self.fine_tuning is None else self.fine_tuning.asked(),
        }
