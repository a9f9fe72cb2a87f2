"""From the names in a configuration to a backbone ready to run, and the record of what its features mean."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..backbones.inference import Model
from ..backbones.openvino_engine import Converted
from ..backbones.ready import ready_model
from ..backbones.registry import BACKBONES, code_of, get_backbone
from ..backbones.time_steps import OverTime, TimeSteps
from ..cache_file.feature_spec import FeatureSpec, over_time
from ..clips.preprocess import MTL_AQA, Preprocessing
from ..errors import AqaError
from ..machine.devices import pick_device
from ..weights.download import weights_folder
from ..weights.resolving import Weights, load_weights, resolve_weights
from .configuration import ExtractionConfig

_log = logging.getLogger(__name__)

PREPROCESSINGS = {"mtl-aqa": MTL_AQA}


def load_model(
    config: ExtractionConfig, random_path: Path, engine_before: str | None = None
) -> tuple[Model, FeatureSpec]:
    """The backbone with its weights, ready to run, and the record of what its features mean.

    Args:
        random_path: where random weights lie, or are made, if the weights are `random`.
        engine_before: of the features that the ones to be made are put beside, where there are any; the
            engine `auto` is this one then.

    Raises:
        AqaError: unknown names, weights that do not fit, a clip length or frame size that the backbone
            does not take, or time steps that it has not.
    """
    steps = _time_steps(config)  # before anything is downloaded
    device = pick_device(config.device)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = not config.deterministic
        torch.backends.cudnn.deterministic = config.deterministic
    module, weights, preprocessing = load_backbone(config, random_path)
    backbone = get_backbone(config.backbone)
    spec = FeatureSpec(
        backbone=backbone.name,
        layer=over_time(steps.layer, steps.frames) if steps else backbone.layer,
        dim=backbone.dim,
        weights=weights.name,
        weights_sha256=weights.sha256,
        preprocessing=preprocessing.record(),
        clip_rule=_clip_rule(config),
        tuned=weights.learned,
    )
    clip_len, size, name = config.clip_rule.clip_len, preprocessing.crop, backbone.name
    if steps:
        module, name = OverTime(module, steps), f"{name}-over-time"

    def converted() -> Converted:
        folder = weights_folder() / "converted"
        shape = (1, 3, clip_len, size, size)
        return Converted(module.eval(), shape, folder, name, weights.sha256, code_of(backbone.name))

    engine = config.engine
    if engine == "auto":
        engine = engine_before or ("auto" if backbone.openvino else "torch")
    model = ready_model(
        module,
        device,
        config.precision,
        preprocessing,
        config.batch_size,
        clip_len,
        compiled=config.compile,
        engine=engine,
        converted=converted,
    )
    return model, spec


def _time_steps(config: ExtractionConfig) -> TimeSteps | None:
    """Those that are asked for.

    Raises:
        AqaError: the backbone has none, or its clips have a part of one.
    """
    if config.tokens == "clip":
        return None
    backbone = get_backbone(config.backbone)
    if backbone.time is None:
        raise AqaError(
            f"{backbone.name} leaves one vector of a clip, and no time inside it; leave out --tokens time, or"
            f" give another --backbone: {_with_time()}"
        )
    backbone.check_input(config.clip_rule.clip_len, config.size)
    backbone.time.count(backbone.name, config.clip_rule.clip_len)
    return backbone.time


def _with_time() -> str:
    return ", ".join(name for name, one in BACKBONES.items() if one.time is not None)


def load_backbone(
    config: ExtractionConfig, random_path: Path
) -> tuple[torch.nn.Module, Weights, Preprocessing]:
    """The backbone as published or fine-tuned, float32 on the CPU, its weights, and what its input must look
    like.
    """
    backbone = get_backbone(config.backbone)
    backbone.check_input(config.clip_rule.clip_len, config.size)  # before anything is downloaded
    weights = resolve_weights(config.backbone, config.weights, random_path=random_path)
    weights = replace(weights, name=config.weights_name or weights.name)
    preprocessing = PREPROCESSINGS.get(config.preprocess, weights.preprocessing).at_size(config.size)
    backbone.check_input(config.clip_rule.clip_len, preprocessing.crop)
    if weights.tuned:
        _warn_of_other_input(weights, config, preprocessing)
    module = backbone.build()
    load_weights(module, config.backbone, weights)
    return module, weights, preprocessing


def _warn_of_other_input(weights: Weights, config: ExtractionConfig, preprocessing: Preprocessing) -> None:
    """Name what a fine-tuned backbone gets that it did not get in its training."""
    then = {**weights.tuned.preprocessing.record(), **weights.tuned.clip_rule}
    now = {**preprocessing.record(), **_clip_rule(config)}
    differing = [
        f"{name} {then.get(name)}, now {now.get(name)}"
        for name in {**now, **then}
        if now.get(name) != then.get(name)
    ]
    if differing:
        _log.warning(
            f"The backbone of {weights.name} was fine-tuned on other input than it gets now:"
            f" {'; '.join(differing)}."
        )


def _clip_rule(config: ExtractionConfig) -> dict[str, Any]:
    return {**config.clip_rule.record(), "stream": config.stream}
