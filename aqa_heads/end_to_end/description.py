"""What the folder of an end-to-end run says beside what every run's says."""

from typing import Any

import torch
from torch import nn

from aqa_cache.cache_file.feature_spec import random_in_words
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.errors import escaped
from aqa_cache.weights.resolving import Weights

from ..settings.resolved import ResolvedConfig
from ..training.processes import Processes
from .fine_tuner import FineTuner, chunk_of, trains_itself
from .frame_views import FrameViews
from .precision import check_precision


def describe_tuning(
    config: ResolvedConfig,
    cache: FeatureCache,
    weights: Weights,
    backbone: nn.Module,
    frozen: list[str],
    processes: Processes,
) -> dict[str, Any]:
    """For `fine_tuning` in config.json, beside what was asked for.

    Args:
        frozen: layers that keep their weights.
    """
    return {
        "videos": escaped(str(config.fine_tuning.videos)),
        "started_from": weights.name,
        "started_sha256": weights.sha256,
        "origin": weights.origin,
        "frozen_layers": frozen,
        "parameters": sum(parameter.numel() for parameter in backbone.parameters()),
        "trained_parameters": sum(p.numel() for p in backbone.parameters() if p.requires_grad),
        "processes": processes.count,
        "clip_chunk": chunk_of(config, processes.device),
        "preprocessing": cache.spec.preprocessing,
        "clip_rule": cache.spec.clip_rule,
    }


def tuning_notes(
    config: ResolvedConfig,
    weights: Weights,
    backbone: nn.Module,
    record: dict[str, Any],
    device: torch.device,
) -> list[str]:
    """What a person should know before anything is decoded.

    Args:
        record: as `describe_tuning` gives it.

    Raises:
        TrainingError: the precision is none of this device, or not for this encoder.
    """
    tuning = config.fine_tuning
    notes = check_precision(tuning.precision, device, trains_itself(config))
    if weights.random:
        notes.append(
            f"the backbone starts from {random_in_words(weights.origin)}: what comes of it"
            " shows that training works, not what a trained backbone can do"
        )
    if weights.learned:
        notes.append(
            f"the backbone was fine-tuned before ({weights.name}), on {len(weights.learned['trained_on'])}"
            " samples: whatever is tested must not be among them"
        )
    if frozen := record["frozen_layers"]:
        notes.append(
            f"{', '.join(frozen)} keep their weights:"
            f" {record['trained_parameters'] / record['parameters']:.0%} of the backbone's parameters are"
            " trained"
        )
    if any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in backbone.modules()):
        notes.append(
            "batch norm keeps the statistics that came with the weights (--batch-norm chunk: those of each"
            " chunk of clips)"
            if tuning.batch_norm == "frozen"
            else f"batch norm takes the statistics of each chunk of {record['clip_chunk']} clips"
        )
    return notes


def edge_notes(train: FrameViews, sample_ids: list[str], views: int) -> list[str]:
    """Samples that cannot be shifted as far as asked: their video ends, or a sample begins that is held
    out.
    """
    counts = train.counts
    lacking = [index for index in range(len(train)) if counts[index] < views]
    if not lacking:
        return []
    first = lacking[0]
    return [
        f"{len(lacking)} of {len(train)} training samples are next to the end of their video, or to a sample"
        f" that is held out, and are augmented in fewer than the {views} ways (first: {sample_ids[first]} in"
        f" {counts[first]})"
    ]


def skipped_notes(tuner: FineTuner, precision: str) -> list[str]:
    """Steps that were not taken."""
    if not tuner.skipped:
        return []
    return [
        f"{tuner.skipped} of {tuner.steps} steps were left out, as a gradient was not finite in {precision};"
        " a few of the first, while its scale is found, are usual"
    ]
