"""Heads that were trained on the cached features, as the start of training the backbone too."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from aqa_cache.errors import some

from ..data.training_data import TrainingData
from ..errors import TrainingError
from ..networks.architecture import Architecture
from ..networks.model import AqaModel
from ..runs.format import Run, read_run

# What decides what a model's answers mean, beside the model; of that, what has weights (dropout has none) and
# is not compared otherwise: features by their fingerprint, words one by one, sizes by the weights.
_MEANING = ("standardise", "difficulty")
_NOT_COMPARED = ("dim", "words", "dropout", "score_options")


def read_warm_start(
    path: str | Path, record: Mapping[str, Any], data: TrainingData, same_backbone: bool
) -> Run:
    """The run in `path`, if its weights may be where the described run starts.

    Args:
        record: of the run that starts, as `training.description.describe` gives it.
        data: of the run that starts.
        same_backbone: whether that starts from the weights that made the cached features.

    Raises:
        TrainingError: that run had other features, another model, other words, or learned from samples that
            validate or test here.
        RunError: there is no such run, or it is damaged.
    """
    run = read_run(path)
    where = f"--warm-start {path}"
    if run.config.get("fine_tuning"):
        raise TrainingError(
            f"{where}: this run was itself trained end to end; start from its backbone with --weights {path},"
            " and from heads that were trained on features of that backbone"
        )
    theirs = (run.config.get("features") or {}).get("fingerprint") or ""
    ours = record["features"]["fingerprint"]
    if theirs != ours:
        raise TrainingError(
            f"{where}: its features are not those of {record['features']['path']} (fingerprint"
            f" {theirs[:12]}…, expected {ours[:12]}…): another backbone, other weights, other clips or other"
            " preprocessing. Train it on this cache first, without --end-to-end"
        )
    if not same_backbone:
        raise TrainingError(
            f"{where}: its heads know the features of the weights that made {record['features']['path']}, but"
            " --weights names others; leave one of the two out, or extract features with those weights and"
            " train the heads on them first"
        )
    _check_samples(run, data, where)
    words = None if data.vocabulary is None else data.vocabulary.words
    known = None if run.vocabulary is None else run.vocabulary.words
    names = [each.name for each in fields(Architecture) if each.name not in _NOT_COMPARED]
    different = [
        f"{name} was {run.config.get(name)}, is {record.get(name)}"
        for name in (*names, *_MEANING)
        if run.config.get(name) != record.get(name)
    ]
    if words != known:
        different.append(
            f"its vocabulary has {len(known or ())} words, this one {len(words or ())}, and they differ"
        )
    if different:
        raise TrainingError(
            f"{where}: is another model ({'; '.join(different)}); give the options of that run"
        )
    return run


def start_warm(model: AqaModel, run: Run) -> str:
    """Give `model` the weights of the run; returns what was done."""
    # One by one into what is there: a second model of the size of Exp 7's may not fit.
    run.load_weights(model)
    chosen = run.summary.get("chosen") or {}
    epochs = ", ".join(f"{name} of epoch {choice.get('epoch')}" for name, choice in chosen.items())
    return f"encoder, heads and captioner start from the run {run.folder.name} ({epochs or 'its last epoch'})"


def _check_samples(run: Run, data: TrainingData, where: str) -> None:
    ours = {sample.sample_id: name for name, split in data.splits.items() for sample in split.samples}
    used = {"train": ("val", "test"), "val": ("test",)}  # what chose its epoch is not to test either
    seen = [
        row["sample_id"]
        for row in run.predictions
        if ours.get(row["sample_id"]) in used.get(row["split"], ())
    ]
    if seen:
        raise TrainingError(
            f"{where}: it was trained or chosen on {len(seen)} sample(s) that validate or test here"
            f" ({some(seen)}), which it must not know; give the split of that run: --seed"
            f" {run.config.get('seed')}, and the same --folds, --protocol and --validation"
        )
