"""`hf:NAME` and `timm:NAME` as backbones."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ...clips.preprocess import Preprocessing
from ...errors import AqaError
from ..registry import Backbone
from ..time_steps import TimeSteps
from .model_folder import ModelFolder, licence_said
from .processor import preprocessing_of
from .shape import NetworkShape
from .source import SPREAD, Source
from .timm_networks import published_config, timm_processor, timm_shape
from .transformers_networks import transformers_shape

_log = logging.getLogger(__name__)


def backbone_of(given: str) -> Backbone:
    """The backbone that a person asked for by `hf:` or `timm:`; its weights are found, or fetched, when they
    are asked for.

    Returns:
        Under the name by which it is recorded: `hf:` or `timm:` and the last part of the model's name, so
        that it is the same from a folder and from the Hub.

    Raises:
        AqaError: it cannot be had, or is of no use here; with what to do.
    """
    source = Source.of(given)
    folder = source.model_folder()
    config = folder.config()
    shape_of = timm_shape if source.kind == "timm" else transformers_shape
    shape = shape_of(config, folder.origin, source.spread)
    if shape.frames and source.spread:
        raise AqaError(f"{given}: {SPREAD} is of networks of single frames, and this one takes clips")
    preprocessing = _preprocessing(folder, config, source.kind)
    if shape.size is not None and preprocessing.crop != shape.size:
        raise AqaError(
            f"{folder.origin}: takes frames of {shape.size} pixels by its config.json and of"
            f" {preprocessing.crop} by its processor's; copy both from one revision of the model"
        )
    return Backbone(
        f"{source.kind}:{folder.name}{SPREAD * source.spread}",
        shape.build,
        _layer(shape, source.spread),
        shape.dim * (2 if source.spread else 1),
        clip_len=shape.clip_len,
        clip_step=shape.clip_step,
        size=shape.size,
        size_step=shape.size_step,
        min_size=1,
        preprocessing=preprocessing,
        published=_published(source, folder, config),
        translated=shape.translated,
        time=_time_steps(shape, source.spread),
    )


def _time_steps(shape: NetworkShape, spread: bool) -> TimeSteps | None:
    """A tube of a clip is one, or a frame; with the frames' standard deviation there are none."""
    if spread:
        return None
    frames, step = (shape.clip_step, " of a time step") if shape.frames else (1, "")
    return TimeSteps(frames, _with_config(shape, f"{shape.layer}{step}"), _over_time)


def _over_time(module: Any, clips: torch.Tensor) -> torch.Tensor:
    return module.over_time(clips)


def _published(source: Source, folder: ModelFolder, config: dict) -> Callable[[], tuple[str, Path]]:
    def find() -> tuple[str, Path]:
        licence = folder.licence()
        if licence is None and source.kind == "timm":
            named = published_config(config).get("license")
            licence = named if isinstance(named, str) else None
        said = licence_said(licence)
        _log.info(f"{folder.origin}: {said}.")
        return f"{folder.origin} ({said})", source.with_weights(folder).weights()

    return find


def _preprocessing(folder: ModelFolder, config: dict, kind: str) -> Preprocessing:
    processor = folder.processor()
    if processor is None and kind == "timm":
        try:
            processor = timm_processor(config)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise AqaError(
                f"{folder.origin}: pretrained_cfg of its config.json does not say its input ({error!r:.100});"
                " expected input_size, mean and std"
            ) from None
    if processor is None:
        raise AqaError(
            f"{folder.path}: holds no preprocessor_config.json, so it is not known what input the weights"
            " expect; copy that file from where the model is published"
        )
    return preprocessing_of(processor, folder.origin)


def _layer(shape: NetworkShape, spread: bool) -> str:
    pooled = "" if shape.frames else f", mean{' and standard deviation' if spread else ''} over frames"
    return _with_config(shape, f"{shape.layer}{pooled}")


def _with_config(shape: NetworkShape, layer: str) -> str:
    """With a hash of the config, which decides the features as the weights do."""
    text = json.dumps(shape.config, sort_keys=True, separators=(",", ":"))
    return f"{layer}; config {hashlib.sha256(text.encode()).hexdigest()[:12]}"
