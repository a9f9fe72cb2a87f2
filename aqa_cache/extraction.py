"""Extraction: every sample's clips through a backbone, once, into a feature cache."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from .annotations import extra_columns
from .backbones import for_inference, get_backbone
from .cache import FeatureCache, write_cache
from .configuration import ExtractionConfig
from .devices import pick_device
from .errors import AqaError, CacheError
from .meaning import Meaning
from .parts import Parts
from .pipeline import Model, Pipeline, Progress
from .preprocess import MTL_AQA, Preprocessing
from .sources import find_samples
from .weights import RANDOM, Weights, load_weights, resolve_weights

PREPROCESSINGS = {"mtl-aqa": MTL_AQA}
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass
class Extraction:
    """What an extraction did.

    Args:
        failures: sample_id and reason of every sample without features.
        samples: in the cache, with and without features; reused: those of them that were there already.
        clips: of the samples made in this run.
    """

    path: Path
    meaning: Meaning
    samples: int
    reused: int
    clips: int
    failures: list[tuple[str, str]]
    dtype: str
    seconds: float


def extract(
    videos: str | Path,
    output: str | Path,
    config: ExtractionConfig | None = None,
    *,
    annotations: str | Path | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda line: None,
) -> Extraction:
    """Extract the clip features of every sample into a cache.

    Args:
        videos: a folder (with or without `annotations.csv`), one video, or a folder of frame folders.
        output: the cache. If it exists and was made in the same way, samples that have not changed are kept.
        progress: called after every step.
        say: told in one line what a person should know.

    Raises:
        AqaError: nothing could be done as asked. A sample that fails alone does not raise: it is listed in the result, and its
            reason is in the cache.
    """
    config, output = config or ExtractionConfig(), Path(output)
    started = time.monotonic()
    source = find_samples(videos, annotations)
    if extra := extra_columns(source.samples):
        say(f"Columns kept as they are, without a meaning to this program: {', '.join(extra)}")
    _check_output(output)
    model, meaning = load_model(config, random_weights_path(output, config.backbone), say)
    if meaning.weights.startswith(RANDOM):
        say(
            f"Features come from random weights ({meaning.weights}): they show that the pipeline works, not what a model can do."
        )
    made_with = numerics(model)
    parts = Parts(output, meaning, made_with)
    finished, mixed_with = parts.reusable(source, config, say)
    if mixed_with:
        made_with = {**made_with, "mixed_with": mixed_with}
    reused = len(finished)
    todo = [sample for sample in source.samples if sample.sample_id not in finished]
    if todo:
        pipeline = Pipeline(model, config.clip_rule, source.folder, todo, workers=config.workers, stream=config.stream)
        try:
            for record in pipeline.records(progress):
                finished[record.sample.sample_id] = record
                parts.add(record)
        finally:
            parts.save()
    records = [finished[sample.sample_id] for sample in source.samples]
    dtype = write_cache(output, records, meaning, numerics=made_with, dtype=config.dtype)
    parts.remove()
    if dtype == np.float32 and config.dtype == "auto":
        say("Stored as float32: float16 cannot hold every feature.")
    return Extraction(
        path=output,
        meaning=meaning,
        samples=len(records),
        reused=reused,
        clips=sum(len(view.features) for sample in todo for view in finished[sample.sample_id].views if view),
        failures=[(record.sample.sample_id, record.reason) for record in records if not record.ok],
        dtype=str(dtype),
        seconds=time.monotonic() - started,
    )


def load_model(
    config: ExtractionConfig, random_path: Path, say: Callable[[str], None] = lambda line: None
) -> tuple[Model, Meaning]:
    """The backbone with its weights, ready to run, and the record of what its features mean.

    Args:
        random_path: where random weights lie, or are made, if the weights are `random`.

    Raises:
        AqaError: unknown names, weights that do not fit, or a clip length or frame size that the backbone does not take.
    """
    if config.batch_size < 1 or (config.workers is not None and config.workers < 1):
        raise AqaError(f"batch size is {config.batch_size} and workers {config.workers}; both must be at least 1")
    if config.precision not in PRECISIONS:
        raise AqaError(f"unknown precision {config.precision!r}; choose one of {', '.join(PRECISIONS)}")
    device, dtype = pick_device(config.device), PRECISIONS[config.precision]
    if device.type == "cuda":
        # By default cuDNN rounds float32 convolutions to TF32; fp32 here means fp32.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    module, weights, preprocessing = load_backbone(config, random_path, say)
    backbone = get_backbone(config.backbone)
    meaning = Meaning(
        backbone=backbone.name,
        layer=backbone.layer,
        dim=backbone.dim,
        weights=weights.name,
        weights_sha256=weights.sha256,
        preprocessing=preprocessing.record(),
        clip_rule={**config.clip_rule.record(), "stream": config.stream},
    )
    return Model(for_inference(module, device, dtype), device, dtype, preprocessing, config.batch_size), meaning


def load_backbone(
    config: ExtractionConfig, random_path: Path, say: Callable[[str], None] = lambda line: None
) -> tuple[torch.nn.Module, Weights, Preprocessing]:
    """The backbone as published, float32 on the CPU, its weights, and what its input must look like."""
    backbone = get_backbone(config.backbone)
    if config.preprocess not in ("weights", *PREPROCESSINGS):
        raise AqaError(f"unknown preprocessing {config.preprocess!r}; choose weights or {', '.join(PREPROCESSINGS)}")
    weights = resolve_weights(config.backbone, config.weights, random_path=random_path, say=say)
    preprocessing = PREPROCESSINGS.get(config.preprocess, weights.preprocessing).at_size(config.size)
    backbone.check_input(config.clip_rule.clip_len, preprocessing.crop)
    module = backbone.build()
    load_weights(module, config.backbone, weights)
    return module, weights, preprocessing


def random_weights_path(output: Path, backbone: str) -> Path:
    """Where the random weights of a cache lie: beside it."""
    return output.with_name(f"{output.stem}.random-{backbone}.safetensors")


def numerics(model: Model) -> dict:
    """What decides the last bits of the features, but not what they mean; null for a library that is not installed."""

    def version(package: str) -> str | None:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    on_gpu = model.device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(model.device) if on_gpu else platform.machine(),
        "precision": str(model.dtype).removeprefix("torch."),
        "batch_size": model.batch_size,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version() if on_gpu else None,
        "av": version("av"),
        "pillow": version("pillow"),
    }


def _check_output(output: Path) -> None:
    if output.is_dir():
        raise CacheError(f"{output}: is a folder, expected the name of a file to write, such as {output / 'feats.h5'}")
    if output.exists():
        try:
            FeatureCache(output).close()
        except CacheError as error:
            raise CacheError(
                f"{error}\nThe output exists and cannot be continued; give another name, or move it away."
            ) from None
    if not output.parent.is_dir():
        raise CacheError(f"{output}: the folder {output.parent} does not exist; make it first")
