"""What a run folder says of a run: its description before training, its results after."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from aqa_cache import __version__
from aqa_cache.annotations import CLASS_PREFIX
from aqa_cache.cache import FeatureCache

from .configuration import TrainingConfig
from .errors import TrainingError
from .floors import score_floors
from .metrics import accuracy, mean_absolute_error, relative_l2, spearman
from .predictions import Predictions
from .runs import Epoch
from .targets import NO_CLASS, Split, TrainingData

# Every epoch is tested, the last one is reported, nothing is chosen: what the paper did. No validation split.
PROTOCOL = "paper"


def describe(config: TrainingConfig, cache: FeatureCache, data: TrainingData, device: torch.device) -> dict:
    """The content of `config.json`: what was asked for, what is used, on which features, with which versions.

    Raises:
        TrainingError: the training scores are all equal, so they give no score scale.
    """
    backbone = cache.meaning.backbone
    row = config.row
    return {
        "experiment": row.name,
        "name": config.run_name(backbone),
        "label": config.run_label(backbone),
        "table1": {name: getattr(row, name) for name in ("backbone", "rnn", "layers", "attention", "encoder")},
        **config.architecture,
        "encoder_hidden": config.encoder_hidden,
        "encoder_layers": config.encoder_layers,
        "tasks": list(data.tasks),
        "epochs": config.epochs,
        "batch_size": config.batch_size,
        "lr": config.lr,
        "seed": config.seed,
        "device": str(device),
        "score_scale": _score_scale(config, data),
        "standardise": config.standardise,
        "views": config.views,
        "protocol": PROTOCOL,
        "features": {
            "path": str(config.features),
            "backbone": backbone,
            "dim": cache.dim,
            "weights": cache.meaning.weights,
            "weights_random": cache.meaning.weights.startswith("random"),
            "fingerprint": cache.fingerprint,
            "samples": len(cache),
            "views": cache.views,
        },
        "classes": data.class_names,
        "notes": [*_notes(config, cache, data), *data.notes],
        "versions": {
            "aqa-cache": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "threads": torch.get_num_threads(),
    }


def summarise(data: TrainingData, predictions: Predictions, epochs: Sequence[Epoch]) -> dict:
    """The results for `summary.json`, on the test split after the last epoch. Accuracies are shares, 0 to 1.

    Args:
        predictions: of the test samples.
    """
    predicted, true = scored(predictions, data.test)
    notes = []
    if len(data.test) and "score" in data.tasks and not len(true):
        notes.append("no test sample has a final_score: spearman, relative_l2 and mae are not defined")
    if len(true) == 1:
        notes.append("1 test sample has a final_score: spearman and relative_l2 are not defined")
    if len(true) > 1 and np.ptp(predicted) == 0:
        notes.append("spearman is not defined: the predictions of all test samples are equal")
    if len(true) > 1 and np.ptp(true) == 0:
        notes.append("spearman and relative_l2 are not defined: all test scores are equal")
    tested = [epoch for epoch in epochs if epoch.test_spearman is not None and np.isfinite(epoch.test_spearman)]
    best = max(tested, key=lambda epoch: epoch.test_spearman, default=None)
    columns = {name: _class_columns(name, predictions, data) for name in predictions.classes}
    if len(data.test):
        notes += [
            f"no test sample has a class in column {name!r}: its accuracy is not defined"
            for name, (said, *_) in columns.items()
            if not said
        ]
    return {
        "spearman": spearman(predicted, true),
        "relative_l2": relative_l2(predicted, true),
        "mae": mean_absolute_error(predicted, true),
        "class_accuracy": {name: accuracy(said, true) for name, (said, true, _) in columns.items()},
        "majority_accuracy": {
            name: accuracy([majority] * len(true), true) for name, (_, true, majority) in columns.items()
        },
        "train_loss": epochs[-1].train_loss,
        "n_train": len(data.train.labelled),
        "n_test": len(data.test),
        "best_test_spearman": None
        if best is None
        else {"spearman": best.test_spearman, "epoch": best.epoch, "note": "chosen on the test set, not for reporting"},
        "floors": score_floors([data.train.samples[index] for index in data.train.labelled], data.test.samples),
        "notes": notes,
    }


def prediction_columns(data: TrainingData, predictions: Mapping[str, Predictions]) -> dict[str, list]:
    """The columns of `predictions.csv`: training samples, then test samples, in the cache's order."""
    splits = [(data.train, predictions["train"]), (data.test, predictions["test"])]
    samples = [sample for split, _ in splits for sample in split.samples]
    columns = {
        name: [getattr(sample, name) for sample in samples] for name in ("sample_id", "split", "group", "final_score")
    }
    columns["predicted_score"] = _joined([made.score for _, made in splits], splits)
    for name in data.class_names:
        columns[CLASS_PREFIX + name] = [sample.classes.get(name) for sample in samples]
        columns[f"predicted_{CLASS_PREFIX}{name}"] = _joined([made.classes[name] for _, made in splits], splits)
    columns["caption"] = [sample.caption for sample in samples]
    columns["predicted_caption"] = _joined([made.captions for _, made in splits], splits)
    return columns


def scored(predictions: Predictions, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true scores, in points, of the samples that have one; both empty if scores are not predicted."""
    if predictions.score is None:
        return np.empty(0), np.empty(0)
    true = np.array([np.nan if sample.final_score is None else sample.final_score for sample in split.samples])
    return predictions.score[~np.isnan(true)], true[~np.isnan(true)]


def _score_scale(config: TrainingConfig, data: TrainingData) -> float:
    if config.score_scale is not None:
        return config.score_scale
    if "score" not in data.tasks:
        return 1.0
    scores = [sample.final_score for sample in data.train.samples if sample.final_score is not None]
    scale = float(np.std(scores))
    if scale == 0:
        raise TrainingError(
            f"{config.features}: the {len(scores)} training score(s) are all {scores[0]:g}, so their standard deviation is 0; "
            "give --score-scale, or leave the task score out"
        )
    return scale


def _notes(config: TrainingConfig, cache: FeatureCache, data: TrainingData) -> list[str]:
    backbone, row, notes = cache.meaning.backbone, config.row, []
    if config.on_other_features(backbone):
        notes.append(
            f"{row.title} is a {row.backbone.upper()} row of Table 1, {cache.path.name} holds {backbone.upper()} features: "
            f"it runs as {config.run_name(backbone)} and is not the paper's {row.title}"
        )
    elif row.backbone == "s3d":
        notes.append(
            f"{row.title}: the {cache.dim}-d S3D feature is used directly, where the original learned a projection of it to "
            "8192 (Conv3d(1024, 8192, 1)), so the numbers of parameters differ"
        )
    if cache.meaning.weights.startswith("random"):
        notes.append(f"{cache.path.name} was made with random weights ({cache.meaning.weights})")
    if "caption" not in data.tasks:
        notes.append("no caption task: rnn, layers and attention are of the captioner and have no effect")
    if data.tasks == ("caption",):
        notes.append("caption is the only task: the encoder has no effect")
    return notes


def _class_columns(name: str, predictions: Predictions, data: TrainingData) -> tuple[list[str], list[str], str]:
    """Predicted and true classes of the test samples that have one, and the most frequent training class."""
    labelled = [index for index, sample in enumerate(data.test.samples) if name in sample.classes]
    counts = Counter(number for number in data.train.classes[name].tolist() if number != NO_CLASS)
    majority = min(counts, key=lambda number: (-counts[number], number))
    return (
        [predictions.classes[name][index] for index in labelled],
        [data.test.samples[index].classes[name] for index in labelled],
        data.class_names[name][majority],
    )


def _joined(made: Sequence[Sequence | None], splits: Sequence[tuple[Split, Predictions]]) -> list:
    return [
        value
        for values, (split, _) in zip(made, splits, strict=True)
        for value in (values if values is not None else [None] * len(split))
    ]
