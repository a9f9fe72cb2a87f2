"""The name of a run's folder and its label: whatever makes its numbers another row's shows in them."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from .choices import ALL_VIEWS, PROTOCOLS
from .encoder_sizes import follows_data
from .fine_tuning import folder_name, name_of_run
from .resolved import (
    CHOOSING,
    COLUMNS,
    DEFAULTS,
    LITERAL,
    ONLY_WHERE_ASKED,
    ResolvedConfig,
    usual_choosing,
    usual_encoder_size,
    usual_residual,
)
from .training import TrainingConfig

# Of what `literal` changes, what has words of its own in a name.
_WITH_WORDS = ("residual", "standardise", "ridge_start")


def run_name(
    config: ResolvedConfig, backbone: str, tuned_in: str | None = None, folds: Sequence[str] = ()
) -> str:
    """The run folder's name: whatever makes its numbers another row's shows in it, and the seed.

    How it is trained (epochs, lr, batch_size, score_scale, …) does not, but for what the runs of a sweep
    differ in (`varied`): other such runs need another `out`, or a `name`. `tasks` are those that are trained:
    a plan leaves out what the cache has no labels for.

    Args:
        backbone, tuned_in: of the features: the network, and the run that fine-tuned it
            (`FeatureSpec.tuned_in`); None: none did.
        folds: the names of all folds, which must stay apart.

    >>> from aqa_heads import TrainingConfig
    >>> run_name(TrainingConfig("feats.h5", "7", encoder="average", seed=2).resolve(), "s3d")
    'exp7-encoder-average-on-s3d-seed2'
    """
    parts = [config.row.folder, *(name for name, _ in _variant(config))]
    if config.name is not None:
        parts = [folder_name(config.name)]
    elif _starts_tuned(config, tuned_in):
        # So that its seed or fold is not taken for that of this run.
        parts.append("on-" + name_of_run(tuned_in))
    elif config.on_other_features(backbone):
        parts.append("on-" + folder_name(backbone))
    if config.fold is not None:
        parts.append("fold-" + fold_folder(config.fold, folds))
    if config.seed:
        parts.append(f"seed{config.seed}")
    return "-".join(parts)


def fold_folder(fold: str, folds: Sequence[str]) -> str:
    """A fold as a part of a folder's name; where another of `folds` would have the same, with the start of
    its SHA-256 behind it.

    >>> [fold_folder(fold, ["a b", "a-b", "c"]) for fold in ("a b", "a-b", "c")]
    ['a-b-c8687a08', 'a-b-d44362d6', 'c']
    """
    name = folder_name(fold)
    if all(folder_name(other) != name for other in folds if other != fold):
        return name
    return f"{name}-{hashlib.sha256(fold.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def run_label(config: ResolvedConfig, backbone: str, tuned_in: str | None = None) -> str:
    """The same for people, without seed and fold; what by default differs from the row is said too.

    >>> from aqa_heads import TrainingConfig
    >>> run_label(TrainingConfig("feats.h5", "7").resolve(), "s3d")
    'Exp 7 (encoder 1024 wide, on S3D features)'
    """
    if config.choice is not None:
        return f"{config.name}, best of {len(config.choice['candidates'])} by validation"
    if config.name is not None:
        return config.name
    differences = []
    if config.residual and usual_residual(config.asked) and config.row.layers == config.layers:
        differences.append("residual")
    usual = config.encoder == config.row.encoder == "lstm" and not _encoder_size(config)
    if usual and not config.literal and config.experiment == "7":
        differences.append(f"encoder {config.encoder_hidden} wide")
    differences += [words for _, words in _variant(config)]
    if _starts_tuned(config, tuned_in):
        differences.append(f"on {backbone.upper()} features tuned in {tuned_in}")
    elif config.on_other_features(backbone):
        differences.append(f"on {backbone.upper()} features")
    return config.row.title + (f" ({', '.join(differences)})" if differences else "")


def full_label(config: ResolvedConfig, backbone: str, tuned_in: str | None = None) -> str:
    """The label with fold and seed."""
    parts = [run_label(config, backbone, tuned_in)]
    parts += [f"fold {config.fold}"] if config.fold is not None else []
    parts += [f"seed {config.seed}"] if config.seed else []
    return ", ".join(parts)


def _starts_tuned(config: ResolvedConfig, tuned_in: str | None) -> bool:
    """Whether the backbone of the cache is the one of this run, and was fine-tuned."""
    return tuned_in is not None and (config.fine_tuning is None or config.fine_tuning.weights is None)


def _encoder_size(config: ResolvedConfig) -> dict[str, int | None]:
    """What differs from the usual size of the encoder; one that follows from the data is usual."""
    if config.encoder in ("average", "statistics"):  # they have none
        return {}
    if follows_data(config.experiment, config.encoder) and config.asked.encoder_hidden is None:
        config = replace(config, encoder_hidden=None)
    usual = dict(zip(("encoder_hidden", "encoder_layers"), usual_encoder_size(config.asked), strict=True))
    return {name: getattr(config, name) for name, value in usual.items() if getattr(config, name) != value}


def _variant(config: ResolvedConfig) -> list[tuple[str, str]]:
    """What was asked for beside the row: each as a part of the run's name and of its label."""
    behind = LITERAL if config.literal else DEFAULTS
    parts = [("literal", "literal")] if config.literal else []
    if config.literal:
        parts += [
            _named(name, getattr(config, name))
            for name, value in LITERAL.items()
            if name not in _WITH_WORDS and getattr(config, name) != value
        ]
    parts += [
        _named(name, value)
        for name in COLUMNS
        if (value := getattr(config, name)) != getattr(config.row, name)
    ]
    if config.residual is not None and config.residual != usual_residual(config.asked):
        parts.append(("residual", "residual") if config.residual else ("no-residual", "no residual"))
    parts += [_named(name, value) for name, value in _encoder_size(config).items()]
    if config.asked.max_clips is not None:
        parts.append(_named("max_clips", config.asked.max_clips))
    parts += [
        _named(name, value) for name in ONLY_WHERE_ASKED if (value := getattr(config.asked, name)) is not None
    ]
    # Columns and heads show above.
    parts += [
        _named(name, value)
        for name in config.varied
        if name not in (*COLUMNS, *ONLY_WHERE_ASKED) and not (config.literal and name in LITERAL)
        if (value := getattr(config, name)) != behind.get(name, getattr(TrainingConfig, name))
    ]
    parts += _choosing(config)
    if config.pretrain_epochs:
        parts.append(("pretrained", "encoder pre-trained"))
    if config.standardise != (behind["standardise"] and config.row.standardise):
        parts.append(
            ("standardise", "standardised") if config.standardise else ("no-standardise", "not standardised")
        )
    if config.ridge_start != behind["ridge_start"] and config.row.tasks != ("score",):
        parts.append(
            ("ridge-start", "ridge start") if config.ridge_start else ("no-ridge-start", "no ridge start")
        )
    if config.fine_tuning is not None:
        parts += config.fine_tuning.variant
    if config.views != ALL_VIEWS:
        parts.append((f"{config.views}-view", f"{config.views} view"))
    if config.tasks != config.row.tasks:
        parts.append(("-".join(("tasks", *config.tasks)), f"{' and '.join(config.tasks)} only"))
    if config.difficulty == "multiply":
        parts.append(("difficulty-multiply", "execution × difficulty"))
    if config.protocol != PROTOCOLS[0]:
        parts.append((f"protocol-{config.protocol}", f"{config.protocol} protocol"))
    return parts


def _choosing(config: ResolvedConfig) -> list[tuple[str, str]]:
    """What was asked of how epoch and penalty are chosen and differs from what is usual."""
    usual, parts = usual_choosing(config.asked), []
    for name in CHOOSING:
        value = getattr(config.asked, name)
        if value is None or value == usual[name]:
            continue
        if name == "refit":
            parts.append(("refit", "refitted") if value else ("no-refit", "not refitted"))
        else:
            parts.append(_named(name, value))
    return parts


def _named(name: str, value: object) -> tuple[str, str]:
    # An own encoder's name may hold what no folder's does.
    said = folder_name(value) if isinstance(value, str) else value
    return f"{name.replace('_', '-')}-{said}", f"{name.replace('_', ' ')} {value}"
