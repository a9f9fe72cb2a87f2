"""What a run folder says of a run: its description before training, its results after."""

import hashlib
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from aqa_cache import __version__
from aqa_cache.annotations import CLASS_PREFIX
from aqa_cache.cache_file.meaning import canonical_json
from aqa_cache.cache_file.reader import FeatureCache

from ..captions.caption_metrics import caption_metrics_or_why
from ..captions.vocabulary import unigram_loss
from ..data.training_data import NO_CLASS, TrainingData
from ..errors import TrainingError
from ..evaluation.audit import Audit
from ..evaluation.bootstrap import spearman_interval
from ..evaluation.floors import judge_ceiling, score_floors
from ..evaluation.metrics import (
    accuracy,
    kendall,
    mean_absolute_error,
    pearson,
    per_group,
    relative_l2,
    spearman,
)
from ..evaluation.predictions import Predictions
from ..runs.format import LEAKED, Epoch
from ..settings.experiments import EXPERIMENTS
from ..settings.training import TrainingConfig
from .epoch_results import scored
from .part import Part

_HASHED = 64  # samples, enough to tell one extraction from another
METRICS = {
    "spearman": spearman,
    "kendall": kendall,
    "pearson": pearson,
    "relative_l2": relative_l2,
    "mae": mean_absolute_error,
}


def describe(
    config: TrainingConfig, cache: FeatureCache, data: TrainingData, device: torch.device, audit: Audit
) -> dict:
    """The content of `config.json`: what was asked for, what is used, on which features, with which versions.

    Raises:
        TrainingError: the training scores are all equal, so they give no score scale.
    """
    backbone, tuned = cache.meaning.backbone, cache.meaning.tuned
    row = config.row
    scale, centre = _score_range(config, data)
    leaked = len({leak.sample_id for leak in audit.leaks if leak.split == "test"})
    return {
        "experiment": row.name,
        "name": config.run_name(backbone, cache.meaning.tuned_in),
        "label": config.run_label(backbone, cache.meaning.tuned_in) + (LEAKED if leaked else ""),
        "table1": {
            name: getattr(row, name) for name in ("backbone", "rnn", "layers", "attention", "encoder")
        },
        **config.asked(),
        **config.architecture,
        "tasks": list(data.tasks),
        "projection": config.projection(backbone),
        "head": "linear" if row.tasks == ("score",) else "fc6",
        "direct": config.ridge_start and "score" in data.tasks,
        "device": str(device),
        "score_scale": scale,
        "score_centre": centre,
        "leaked": leaked,
        "validation": {
            "share": config.validation,
            "whole_groups": data.choice.whole_groups,
            "groups": sorted({sample.group for sample in data.val.samples if sample.group is not None}),
            "samples": len(data.val),
        },
        "features": {
            "path": str(config.features),
            "backbone": backbone,
            "dim": cache.dim,
            "weights": cache.meaning.weights,
            "weights_random": cache.meaning.random,
            "tuned": tuned and tuned | {name: len(tuned[name]) for name in ("trained_on", "chosen_on")},
            "fingerprint": cache.fingerprint,
            "samples": len(cache),
            "views": cache.views,
        },
        "annotations_sha256": annotations_sha256(cache),
        "classes": data.class_names,
        "notes": [*_notes(config, cache, data), *data.notes],
        "versions": {
            "aqa-cache": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "git": _git_state(),
        "threads": torch.get_num_threads(),
    }


def summarise(
    data: TrainingData,
    predictions: Mapping[str, Predictions],
    epochs: Sequence[Epoch],
    parts: Sequence[Part],
    audit: Audit,
    caption_loss: float | None,
    meteor: bool = True,
) -> dict:
    """The results for `summary.json`, on the test split. Accuracies are shares, 0 to 1.

    Args:
        predictions: by split.
        caption_loss: of the test captions, nats per token.
    """
    tested = predictions["test"]
    predicted, true = scored(tested, data.test)
    columns = {name: _class_columns(name, tested, data) for name in tested.classes}
    # Floors know the labels of all that is not tested: the same floors, then, for every row and seed.
    known = [sample for split in (data.train, data.val) for sample in split.samples]
    scored_test = [
        s for s, factor in zip(data.test.samples, data.test.factor, strict=True) if not np.isnan(factor)
    ]
    captions, caption_notes = _caption_results(data, tested, meteor)
    notes = [*_score_notes(data, predicted, true), *caption_notes]
    notes += [
        f"no test sample has a class in column {name!r}: its accuracy is not defined"
        for name, (said, *_) in columns.items()
        if not said
    ]
    notes += [_choice_note(part, data) for part in parts if len(data.val) and part.best_epoch in (None, 0)]
    groups = [sample.group for sample in scored_test if sample.final_score is not None]
    return {
        **{name: metric(predicted, true) for name, metric in METRICS.items()},
        "interval": spearman_interval(true, predicted) if len(true) else None,
        "per_group": per_group(predicted, true, groups) if len(true) and any(groups) else {},
        "class_accuracy": {name: accuracy(said, true) for name, (said, true, _) in columns.items()},
        "majority_accuracy": {
            name: accuracy([majority] * len(true), true) for name, (_, true, majority) in columns.items()
        },
        "captions": captions,
        "caption_loss_per_token": caption_loss,
        "unigram_loss": _unigram_loss(data),
        "train_loss": epochs[-1].train_loss if epochs else None,
        "chosen": {
            part.name: {
                "epoch": part.best_epoch,
                "metric": _metric_name(part, data),
                "value": part.best_value,
            }
            for part in parts
            if part.best_epoch is not None
        },
        "epochs": len(epochs),
        "best_test_spearman": _best_on_test(epochs),
        "n_train": len(data.train.labelled),
        "n_val": len(data.val),
        "n_test": len(data.test),
        "floors": score_floors(known, scored_test),
        "ceiling": judge_ceiling(data.test.samples),
        "audit": audit.record(),
        "notes": notes,
    }


def _choice_note(part: Part, data: TrainingData) -> str:
    if part.best_epoch == 0:
        return f"the best on the validation samples is the state before the first step: {part.start}"
    return (
        f"nothing could be chosen for the {part.name}: on the validation samples its metric is not defined;"
        " its last epoch is reported"
    )


def _metric_name(part: Part, data: TrainingData) -> str:
    if part.name == "captioner":
        return "negative validation caption loss per token"
    return "validation Spearman" if "score" in data.tasks else "validation class accuracy"


def result_tables(data: TrainingData, predictions: Mapping[str, Predictions]) -> dict[str, dict[str, list]]:
    """The tables of a run by file name; rows are training, validation and test samples in the cache's
    order.
    """
    tables = {"predictions.csv": _prediction_columns(data, predictions)}
    made = [(split, predictions[name]) for name, split in data.splits.items() if len(split)]
    if all(said.contributions is not None for _, said in made):
        rows = [
            (sample.sample_id, clip, weight)
            for split, said in made
            for sample, weights in zip(split.samples, said.contributions, strict=True)
            for clip, weight in enumerate(weights.tolist())
        ]
        tables["contributions.csv"] = _columns(("sample_id", "clip", "weight"), rows)
    tested = predictions["test"]
    if tested.attention is not None:
        rows = [
            (sample.sample_id, place, word, clip, weight)
            for sample, caption, weights in zip(
                data.test.samples, tested.captions, tested.attention, strict=True
            )
            for place, word in enumerate(caption.split())
            for clip, weight in enumerate(weights[place].tolist())
        ]
        tables["caption_attention.csv"] = _columns(
            ("sample_id", "word_number", "word", "clip", "weight"), rows
        )
    return tables


def annotations_sha256(cache: FeatureCache) -> str:
    """Of all annotations in the cache, in its order."""
    text = "\n".join(canonical_json(_plain(asdict(sample))) for sample in cache.samples)
    return hashlib.sha256(text.encode()).hexdigest()


def features_sha256(cache: FeatureCache) -> str:
    """Of which samples have features, how many clips in which views, and of the values of some of them,
    spread evenly.
    """
    digest = hashlib.sha256(cache.count.tobytes())
    having = [index for index in range(len(cache)) if cache.has_features(index)]
    for place in (
        np.unique(np.linspace(0, len(having) - 1, min(len(having), _HASHED)).astype(int)) if having else ()
    ):
        digest.update(cache.features(having[place]).tobytes())
    return digest.hexdigest()


def _plain(record: dict) -> dict:
    return record | {"judges": [None if mark != mark else mark for mark in record["judges"]]}


def _prediction_columns(data: TrainingData, predictions: Mapping[str, Predictions]) -> dict[str, list]:
    splits = [(name, split, predictions[name]) for name, split in data.splits.items()]
    samples = [sample for _, split, _ in splits for sample in split.samples]

    def joined(values) -> list:
        return [
            value
            for _, split, made in splits
            for value in (values(made) if values(made) is not None else [None] * len(split))
        ]

    columns = {"sample_id": [sample.sample_id for sample in samples]}
    # The split that was used: with folds, or with validation samples, it is not that of the annotations.
    columns["split"] = [name for name, split, _ in splits for _ in split.samples]
    columns |= {name: [getattr(s, name) for s in samples] for name in ("group", "difficulty", "final_score")}
    columns["predicted_score"] = joined(lambda made: made.score)
    for name in data.class_names:
        columns[CLASS_PREFIX + name] = [sample.classes.get(name) for sample in samples]
        columns[f"predicted_{CLASS_PREFIX}{name}"] = joined(lambda made, name=name: made.classes.get(name))
    columns["caption"] = [sample.caption for sample in samples]
    columns["predicted_caption"] = joined(lambda made: made.captions)
    return columns


def _columns(names: Sequence[str], rows: Sequence[Sequence]) -> dict[str, list]:
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _score_range(config: TrainingConfig, data: TrainingData) -> tuple[float, float]:
    """Scale and centre of the score head, in points."""
    if "score" not in data.tasks or config.row.closed_form:
        return 1.0, 0.0
    scores = data.train.score[~data.train.score.isnan()].double().numpy()
    centre = float(scores.mean()) if config.centre else 0.0
    if config.score_scale is not None:
        return config.score_scale, centre
    scale = float(np.std(scores))
    if scale == 0:
        raise TrainingError(
            f"{config.features}: the {len(scores)} training score(s) are all {scores[0]:g}, so their standard"
            " deviation is 0; give --score-scale, or leave the task score out"
        )
    return scale, centre


def _notes(config: TrainingConfig, cache: FeatureCache, data: TrainingData) -> list[str]:
    backbone, row, notes = cache.meaning.backbone, config.row, []
    if config.on_other_features(backbone):
        notes.append(
            f"{row.title} is a {row.backbone.upper()} row{' of Table 1' if row.name in EXPERIMENTS else ''},"
            f" {cache.path.name} holds {backbone.upper()} features: it runs as"
            f" {config.run_name(backbone, cache.meaning.tuned_in)} and is not the paper's {row.title}"
        )
    elif row.backbone == "s3d" and not config.literal:
        notes.append(
            f"{row.title}: the {cache.dim}-d S3D feature is used directly, where the original learned a"
            " projection of it to 8192 (Conv3d(1024, 8192, 1)), so the numbers of parameters differ;"
            " --literal has it"
        )
    if row.closed_form and config.protocol == "honest":
        notes.append(
            f"{row.title} has no epochs to choose among; it is fitted to the samples that the other rows"
            " train on, so that they compare"
        )
    if cache.meaning.tuned and config.fine_tuning is None:
        notes.append(_tuned_note(cache))
    elif cache.meaning.random and config.fine_tuning is None:
        notes.append(f"{cache.path.name} was made with random weights ({cache.meaning.weights})")
    if "caption" not in data.tasks and row.rnn is not None:
        notes.append("no caption task: rnn, layers and attention are of the captioner and have no effect")
    if data.tasks == ("caption",):
        notes.append("caption is the only task: the encoder has no effect")
    return notes


def _tuned_note(cache: FeatureCache) -> str:
    tuned = cache.meaning.tuned
    chosen = f", an epoch of it chosen on {len(tuned['chosen_on']):,}" if tuned["chosen_on"] else ""
    random = f"; it began with random weights ({tuned['origin']})" if cache.meaning.random else ""
    return (
        f"the backbone of {cache.path.name} was fine-tuned in {cache.meaning.weights} on"
        f" {len(tuned['trained_on']):,} samples{chosen}{random}"
    )


def _score_notes(data: TrainingData, predicted: np.ndarray, true: np.ndarray) -> list[str]:
    notes = []
    if len(data.test) and "score" in data.tasks and not len(true):
        notes.append("no test sample has a final_score: spearman, relative_l2 and mae are not defined")
    if len(true) == 1:
        notes.append("1 test sample has a final_score: spearman and relative_l2 are not defined")
    if len(true) > 1 and np.ptp(predicted) == 0:
        notes.append("spearman is not defined: the predictions of all test samples are equal")
    if len(true) > 1 and np.ptp(true) == 0:
        notes.append("spearman and relative_l2 are not defined: all test scores are equal")
    return notes


def _caption_results(
    data: TrainingData, predictions: Predictions, meteor: bool
) -> tuple[dict | None, list[str]]:
    """Caption metrics on the test samples that have a reference, and what is to be said of them."""
    if predictions.captions is None:
        return None, []
    pairs = [
        (said, [sample.caption])
        for said, sample in zip(predictions.captions, data.test.samples, strict=True)
        if sample.words
    ]
    if not pairs:
        return None, ["no test sample has a caption: caption metrics are not defined"]
    metrics = caption_metrics_or_why(*map(list, zip(*pairs, strict=True)), meteor=meteor)
    return metrics.record(), [f"captions: {note}" for note in metrics.notes]


def _unigram_loss(data: TrainingData) -> float | None:
    """Of the test captions under the training captions' word frequencies, nats per token."""
    if data.vocabulary is None:
        return None
    trained, tested = ([s.caption for s in split.samples if s.words] for split in (data.train, data.test))
    loss = unigram_loss(trained, tested, data.vocabulary)
    return None if np.isnan(loss) else loss


def _best_on_test(epochs: Sequence[Epoch]) -> dict | None:
    tested = [
        epoch for epoch in epochs if epoch.test_spearman is not None and np.isfinite(epoch.test_spearman)
    ]
    best = max(tested, key=lambda epoch: epoch.test_spearman, default=None)
    if best is None:
        return None
    return {
        "spearman": best.test_spearman,
        "epoch": best.epoch,
        "note": "chosen on the test set, not for reporting",
    }


def _class_columns(
    name: str, predictions: Predictions, data: TrainingData
) -> tuple[list[str], list[str], str]:
    """Predicted and true classes of the test samples that have one, and the most frequent training class."""
    labelled = [index for index, sample in enumerate(data.test.samples) if name in sample.classes]
    counts = Counter(number for number in data.train.classes[name].tolist() if number != NO_CLASS)
    majority = min(counts, key=lambda number: (-counts[number], number))
    return (
        [predictions.classes[name][index] for index in labelled],
        [data.test.samples[index].classes[name] for index in labelled],
        data.class_names[name][majority],
    )


def _git_state() -> dict | None:
    """Commit of the source that ran, and whether it had changes; None if it is no git checkout."""
    folder = Path(__file__).parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        tracked = _git(folder, "ls-files", "--error-unmatch", Path(__file__).name)
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain"))} if tracked else None
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()
