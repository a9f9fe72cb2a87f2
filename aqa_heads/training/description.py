"""What `config.json` says of a run: what was asked for and used, on which features, by which versions."""

import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aqa_cache import __version__
from aqa_cache.cache_file.feature_spec import random_in_words
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.errors import escaped

from ..data.score_bounds import score_bounds
from ..data.training_data import TrainingData
from ..data.units import group_of
from ..errors import TrainingError
from ..runs.format import LEAKED
from ..settings.experiments import EXPERIMENTS, RIDGE_STARTED
from ..settings.resolved import ResolvedConfig
from .plan import Plan


def describe(plan: Plan, cache: FeatureCache, data: TrainingData, device: torch.device) -> dict[str, Any]:
    """The content of `config.json`: what was asked for, what is used, on which features, with which versions.

    Raises:
        TrainingError: the training scores are all equal, so they give no score scale.
    """
    config, row = plan.config, plan.config.row
    backbone, tuned = cache.spec.backbone, cache.spec.tuned
    scale, centre = _checked_score_range(config, data.joined() if config.refit else data)
    bounds, bound_notes = None, []
    if "score" in data.tasks:
        samples = [sample for split in data.splits.values() for sample in split.samples]
        bounds, bound_notes = score_bounds(samples, config.score_range)
    leaked = len({leak.sample_id for leak in plan.audit.leaks if leak.split == "test"})
    return {
        "experiment": row.name,
        "name": plan.name,
        "label": plan.label + (LEAKED if leaked else ""),
        "table1": {
            name: getattr(row, name) for name in ("backbone", "rnn", "layers", "attention", "encoder")
        },
        **config.deciding(),
        **config.columns,
        "tasks": list(data.tasks),
        "projection": config.projection(backbone),
        "head": "linear" if row.tasks == ("score",) else "fc6",
        **({} if row.fc6 is None else {"fc6": row.fc6}),
        "direct": config.ridge_start and "score" in data.tasks and config.score_head in RIDGE_STARTED,
        "device": str(device),
        "score_scale": scale,
        "score_centre": centre,
        **({} if bounds is None else {"score_range": list(bounds)}),
        "leaked": leaked,
        **({} if config.choice is None else {"choice": dict(config.choice)}),
        "validation": _validation(config, data),
        "features": {
            "path": escaped(str(config.features)),
            "backbone": backbone,
            "dim": cache.dim,
            "weights": cache.spec.weights,
            "weights_random": cache.spec.random,
            "tuned": tuned and {**tuned, **{name: len(tuned[name]) for name in ("trained_on", "chosen_on")}},
            "fingerprint": cache.fingerprint,
            "samples": len(cache),
            "views": cache.views,
            "spec": {name: value for name, value in asdict(cache.spec).items() if name != "tuned"},
            "numerics": cache.numerics,
            "dtype": str(cache.dtype),
            "frame_rate": cache.frame_rate,
        },
        "annotations_sha256": plan.annotations_sha256,
        "classes": data.class_names,
        "notes": [*_notes(plan, cache, data), *bound_notes, *data.notes],
        "versions": {
            "aqa-cache": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "git": _git_state(),
        "threads": torch.get_num_threads(),
    }


def _validation(config: ResolvedConfig, data: TrainingData) -> dict[str, Any]:
    """Who chose. `role` is the column of `groups`; `whole_groups`: none of them is on both sides."""
    role = data.choice.role
    if data.folds:
        folds = [[s for s in data.train.samples if s.sample_id in fold] for fold in data.folds]
        held = [s for s in data.train.samples if any(s.sample_id in fold for fold in data.folds)]
    else:
        folds = [data.val.samples, data.train.samples]
        held = data.val.samples
    apart = [{group_of(sample, role) for sample in fold} - {None} for fold in folds]
    record = {
        "share": config.validation,
        "whole_groups": bool(held) and any(apart) and sum(map(len, apart)) == len(set().union(*apart)),
        "role": role,
        "groups": sorted({group_of(sample, role) for sample in held} - {None}),
        "samples": len(held),
    }
    return record | ({"folds": config.validation_folds} if config.validation_folds else {})


def _checked_score_range(config: ResolvedConfig, data: TrainingData) -> tuple[float, float]:
    """Scale and centre of the scores (`score_range`), which a score task needs.

    Raises:
        TrainingError: there is none.
    """
    found = score_range(config, data)
    if found is None:
        scores = data.train.score[~data.train.score.isnan()]
        raise TrainingError(
            f"{config.features}: the {len(scores)} training score(s) are all {float(scores[0]):g}, so their"
            " standard deviation is 0; give --score-scale, or leave the task score out"
        )
    return found


def score_range(config: ResolvedConfig, data: TrainingData) -> tuple[float, float] | None:
    """Scale and centre of the score head, in points; None where the training scores are all equal."""
    if "score" not in data.tasks or config.row.closed_form:
        return 1.0, 0.0
    scores = data.train.score[~data.train.score.isnan()].double().numpy()
    centre = float(scores.mean()) if config.centre else 0.0
    if config.score_scale is not None:
        return config.score_scale, centre
    scale = float(np.std(scores))
    return (scale, centre) if scale else None


def _notes(plan: Plan, cache: FeatureCache, data: TrainingData) -> list[str]:
    config, row = plan.config, plan.config.row
    backbone, notes = cache.spec.backbone, []
    if config.on_other_features(backbone):
        notes.append(
            f"{row.title} is a {row.backbone.upper()} row{' of Table 1' if row.name in EXPERIMENTS else ''},"
            f" {cache.path.name} holds {backbone.upper()} features: it runs as"
            f" {plan.label!r} and is not the paper's {row.title}"
        )
    elif row.backbone == "s3d" and not config.literal:
        notes.append(
            f"{row.title}: the {cache.dim}-d S3D feature is used directly, where the original learned a"
            " projection of it to 8192 (Conv3d(1024, 8192, 1)), so the numbers of parameters differ;"
            " --literal has it"
        )
    if row.closed_form and config.protocol == "honest" and not config.refit:
        notes.append(
            f"{row.title} has no epochs to choose among; it is fitted to the samples that the other rows"
            " train on, so that they compare"
        )
    if cache.spec.tuned and config.fine_tuning is None:
        notes.append(_tuned_note(cache))
    elif cache.spec.random and config.fine_tuning is None:
        notes.append(f"{cache.path.name} was made with {random_in_words(cache.spec.weights)}")
    if "caption" not in data.tasks and row.name in EXPERIMENTS:
        notes.append("no caption task: rnn, layers and attention are of the captioner and have no effect")
    if data.tasks == ("caption",):
        notes.append("caption is the only task: the encoder has no effect")
    return notes


def _tuned_note(cache: FeatureCache) -> str:
    tuned = cache.spec.tuned
    chosen = f", an epoch of it chosen on {len(tuned['chosen_on']):,}" if tuned["chosen_on"] else ""
    random = f"; it began with {random_in_words(tuned['origin'])}" if cache.spec.random else ""
    return (
        f"the backbone of {cache.path.name} was fine-tuned in {cache.spec.weights} on"
        f" {len(tuned['trained_on']):,} samples{chosen}{random}"
    )


def _git_state() -> dict[str, Any] | None:
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
        ["git", "--no-optional-locks", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()
