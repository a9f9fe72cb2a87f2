"""What a training run is asked to do, and the name it runs under."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import TrainingError
from .experiments import ATTENTIONS, ENCODERS, EXPERIMENTS, RNNS, TASKS, Experiment

ALL_VIEWS = "all"
VIEWS = (ALL_VIEWS, "plain")
_COLUMNS = ("rnn", "layers", "attention", "encoder")
_MAX_COUNT, _MAX_THREADS = 2**31 - 1, 1024


@dataclass(frozen=True)
class TrainingConfig:
    """One training run: a row of Table 1, what overrides it, and how it is trained.

    Args:
        features: the feature cache, written by `aqa-extract`.
        experiment: a row of Table 1, a key of `EXPERIMENTS`.
        rnn, layers, attention, encoder: override the row's column; None keeps it.
        encoder_hidden, encoder_layers: size and depth of the `lstm` encoder; without effect on `average`.
        tasks: any subset of `TASKS`.
        epochs, batch_size, lr: defaults are the original's.
        seed: of initial weights, dropout and the order of samples.
        device: `auto` (a CUDA GPU if there is one, else the CPU), or a torch device.
        threads: of the CPU; None leaves torch's choice, all cores. A captioner takes thousands of small steps, each of
            which waits for all its threads: where other programs keep the cores busy, 1 is many times faster.
        score_scale: in points; the score head learns final_score / score_scale. None: standard deviation of the
            training scores. The original's is 17.
        standardise: scale each feature dimension by the training split's mean and standard deviation. The original
            does not: it trains the backbone too, which can rescale its own output; cached features cannot.
        views: of a cache that holds several views of a sample (flipped, shifted in time, …). `all`: training draws one of
            the sample's views anew in every epoch. `plain`: only the plain one. Whatever the training, standardisation is
            fitted and everything is evaluated on the plain view, so that models are comparable.
        out: folder of run folders.
        overwrite: replace an existing run folder of the same name.

    Raises:
        TrainingError: a value out of its range, named with the values it may have.
    """

    features: str | Path
    experiment: str = "baseline"
    rnn: str | None = None
    layers: int | None = None
    attention: str | None = None
    encoder: str | None = None
    encoder_hidden: int = 1024
    encoder_layers: int = 2
    tasks: tuple[str, ...] = TASKS
    epochs: int = 100
    batch_size: int = 3
    lr: float = 1e-4
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    score_scale: float | None = None
    standardise: bool = True
    views: str = ALL_VIEWS
    out: str | Path = "runs"
    overwrite: bool = False

    def __post_init__(self):
        for name, choices in (
            ("experiment", tuple(EXPERIMENTS)),
            ("rnn", RNNS),
            ("attention", ATTENTIONS),
            ("encoder", ENCODERS),
            ("views", VIEWS),
        ):
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise TrainingError(f"{name} is {value!r}, expected one of {', '.join(choices)}")
        for name in ("layers", "encoder_hidden", "encoder_layers", "epochs", "batch_size", "threads"):
            value = getattr(self, name)
            highest = _MAX_THREADS if name == "threads" else _MAX_COUNT
            if value is not None and not 1 <= value <= highest:
                raise TrainingError(f"{name} is {value}, expected a whole number from 1 to {highest}")
        for name in ("lr", "score_scale"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise TrainingError(f"{name} is {value}, expected a finite number greater than 0")
        if not 0 <= self.seed < 2**63:
            raise TrainingError(f"seed is {self.seed}, expected a whole number from 0 to {2**63 - 1}")
        unknown = [task for task in self.tasks if task not in TASKS]
        if unknown or not self.tasks:
            got = f"unknown task {unknown[0]!r}" if unknown else "no task was asked for"
            raise TrainingError(f"tasks: {got}; give any of {', '.join(TASKS)}, separated by commas")
        object.__setattr__(self, "tasks", tuple(task for task in TASKS if task in self.tasks))

    @property
    def row(self) -> Experiment:
        return EXPERIMENTS[self.experiment]

    @property
    def architecture(self) -> dict:
        """The four columns of Table 1 that decide the model, overrides applied."""
        return {
            name: getattr(self.row, name) if getattr(self, name) is None else getattr(self, name) for name in _COLUMNS
        }

    @property
    def _encoder_size(self) -> dict[str, int]:
        """What differs from the defaults in an encoder that has a size."""
        names = ("encoder_hidden", "encoder_layers") if self.architecture["encoder"] == "lstm" else ()
        return {name: getattr(self, name) for name in names if getattr(self, name) != getattr(TrainingConfig, name)}

    def on_other_features(self, backbone: str) -> bool:
        """Whether features of `backbone` are not what this row of Table 1 was run on."""
        return backbone.lower() != self.row.backbone

    def run_name(self, backbone: str) -> str:
        """The run folder's name: whatever changes the model from its row of Table 1 shows in it, and the seed.

        How it is trained (epochs, lr, batch_size, score_scale) does not: such runs need another `out`. `tasks` are
        those asked for; `train` first leaves out what the cache has no labels for (`targets.usable_tasks`).

        >>> TrainingConfig("feats.h5", "7", encoder="average", seed=2).run_name("s3d")
        'exp7-encoder-average-on-s3d-seed2'
        """
        parts = [self.row.folder]
        parts += [f"{name}-{value}" for name, value in self.architecture.items() if value != getattr(self.row, name)]
        parts += [f"{name.replace('_', '-')}-{value}" for name, value in self._encoder_size.items()]
        if not self.standardise:
            parts.append("no-standardise")
        if self.views != ALL_VIEWS:
            parts.append(f"{self.views}-view")
        if self.tasks != TASKS:
            parts.append("-".join(("tasks", *self.tasks)))
        if self.on_other_features(backbone):
            parts.append("on-" + (re.sub(r"[^a-z0-9._]+", "-", backbone.lower()).strip("-.") or "unnamed"))
        if self.seed:
            parts.append(f"seed{self.seed}")
        return "-".join(parts)

    def run_label(self, backbone: str) -> str:
        """The same for people, without the seed.

        >>> TrainingConfig("feats.h5", "7").run_label("s3d")
        'Exp 7 (on S3D features)'
        """
        differences = [
            f"{name} {value}" for name, value in self.architecture.items() if value != getattr(self.row, name)
        ]
        differences += [f"{name.replace('_', ' ')} {value}" for name, value in self._encoder_size.items()]
        if not self.standardise:
            differences.append("not standardised")
        if self.views != ALL_VIEWS:
            differences.append(f"{self.views} view")
        if self.tasks != TASKS:
            differences.append(f"{' and '.join(self.tasks)} only")
        if self.on_other_features(backbone):
            differences.append(f"on {backbone.upper()} features")
        return self.row.title + (f" ({', '.join(differences)})" if differences else "")

    def run_folder(self, backbone: str) -> Path:
        return Path(self.out) / self.run_name(backbone)
