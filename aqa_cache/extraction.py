"""Extraction: every sample's clips through a backbone, once, into a feature cache."""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .annotations import Sample, extra_columns
from .backbones import get_backbone
from .cache import FeatureCache
from .configuration import ExtractionConfig
from .devices import pick_device
from .errors import AqaError, CacheError
from .finished import Finished
from .inference import PRECISIONS, Model, ready_model
from .meaning import Meaning
from .numerics import mixed, numerics_of
from .parts import Parts, PartWriter
from .pipeline import Pipeline, Progress
from .preprocess import MTL_AQA, Preprocessing
from .publishing import publish
from .random_weights import RANDOM
from .sources import Source, find_samples
from .weights import Weights, load_weights, resolve_weights

PREPROCESSINGS = {"mtl-aqa": MTL_AQA}


@dataclass
class Extraction:
    """What an extraction did.

    Args:
        path: of the cache.
        meaning: of its features.
        samples: asked for, of all shares.
        reused: of this share's samples, those that were there already; clips: made in this run.
        failures: sample_id and reason of every sample without features.
        dtype: of the published features; None if nothing was published, since other shares are not done.
        stopped: whether it was stopped before its end.
    """

    path: Path
    meaning: Meaning
    samples: int
    reused: int
    clips: int
    failures: list[tuple[str, str]]
    dtype: str | None
    seconds: float
    stopped: bool


def extract(
    videos: str | Path,
    output: str | Path,
    config: ExtractionConfig | None = None,
    *,
    annotations: str | Path | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda line: None,
    stop: threading.Event | None = None,
) -> Extraction:
    """Extract the clip features of every sample into a cache.

    Args:
        videos: a folder (with or without `annotations.csv`), one video, or a folder of frame folders.
        output: the cache. If it exists and was made in the same way, samples that have not changed are kept.
        progress: called after every batch.
        say: told in one line what a person should know.
        stop: when it is set, the batch in flight is finished, and what is done is published.

    Raises:
        AqaError: nothing could be done as asked. A sample that fails alone does not raise: it is listed in the result, and its
            reason is in the cache.
    """
    config, output, stop = config or ExtractionConfig(), Path(output), stop or threading.Event()
    started = time.monotonic()
    _check_config(config)
    source = find_samples(videos, annotations)
    if extra := extra_columns(source.samples):
        say(f"Columns kept as they are, without a meaning to this program: {', '.join(extra)}")
    _check_output(output)
    samples = config.share.of(source)
    hashes = _hashes(source, samples, stop) if config.verify == "sha256" else {}
    parts = Parts(output, say)
    try:
        with parts.exclusively():
            model, meaning = load_model(config, random_weights_path(output, config.backbone), say)
            if meaning.weights.startswith(RANDOM):
                say(
                    f"Features come from random weights ({meaning.weights}): they show that the pipeline works, not what a model "
                    "can do."
                )
            made_with = numerics_of(model, config)
            parts.claim(config.share, meaning.fingerprint)
            parts.write_samples(source.samples)
            with Finished(output, parts.paths(), meaning, [view.name for view in config.views]) as finished:
                reused = finished.reusable(source, samples, hashes, say)
                _check_continuation(output, source, finished, made_with, reused, config, say)
        todo = [sample for sample in samples if sample.sample_id not in reused]
        clips, stopped = 0, False
        if todo:
            pipeline = Pipeline(
                model, config.clip_rule, source.folder, todo,
                views=config.views, workers=config.workers, stream=config.stream, decode_timeout=config.decode_timeout,
                hashes=hashes, scratch=parts.folder, say=say,
            )  # fmt: skip
            writer = PartWriter(parts.folder, meaning, made_with, [view.name for view in config.views])
            try:
                for record in pipeline.records(progress, stop):
                    writer.add(record)
                    clips += sum(len(view.features) for view in record.views if view)
                    if not record.ok and config.on_error == "stop":
                        stopped = True
                        break
            finally:
                writer.close()
        stopped = stopped or stop.is_set()
        with parts.exclusively():
            failures, dtype = publish(parts, source.samples, meaning, config, stopped, bool(todo), say)
    finally:
        parts.release()
    result = Extraction(
        path=output,
        meaning=meaning,
        samples=len(source.samples),
        reused=len(reused),
        clips=clips,
        failures=failures,
        dtype=dtype,
        seconds=time.monotonic() - started,
        stopped=stopped,
    )
    _log(result, config, say)
    return result


def load_model(
    config: ExtractionConfig, random_path: Path, say: Callable[[str], None] = lambda line: None
) -> tuple[Model, Meaning]:
    """The backbone with its weights, ready to run, and the record of what its features mean.

    Args:
        random_path: where random weights lie, or are made, if the weights are `random`.

    Raises:
        AqaError: unknown names, weights that do not fit, or a clip length or frame size that the backbone does not take.
    """
    device = pick_device(config.device)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = not config.deterministic
        torch.backends.cudnn.deterministic = config.deterministic
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
    model = ready_model(
        module, device, config.precision, preprocessing, config.batch_size, config.clip_rule.clip_len,
        compiled=config.compile, say=say,
    )  # fmt: skip
    return model, meaning


def load_backbone(
    config: ExtractionConfig, random_path: Path, say: Callable[[str], None] = lambda line: None
) -> tuple[torch.nn.Module, Weights, Preprocessing]:
    """The backbone as published, float32 on the CPU, its weights, and what its input must look like."""
    backbone = get_backbone(config.backbone)
    backbone.check_input(config.clip_rule.clip_len, config.size)  # before anything is downloaded
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


def _check_config(config: ExtractionConfig) -> None:
    for name, value in (("batch size", config.batch_size), ("workers", config.workers)):
        if value is not None and value < 1:
            raise AqaError(f"{name} is {value}, it must be at least 1")
    if config.decode_timeout <= 0:
        raise AqaError(f"decode timeout is {config.decode_timeout} seconds, it must be more than 0")
    for name, choices in (
        ("precision", tuple(PRECISIONS)), ("verify", ("stat", "sha256")), ("on_error", ("skip", "stop")),
        ("dtype", ("auto", "float16", "float32")),
    ):  # fmt: skip
        if getattr(config, name) not in choices:
            raise AqaError(f"unknown {name} {getattr(config, name)!r}; choose one of {', '.join(choices)}")


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


def _check_continuation(
    output: Path,
    source: Source,
    finished: Finished,
    made_with: dict,
    reused: set[str],
    config: ExtractionConfig,
    say: Callable[[str], None],
) -> None:
    """Nothing is thrown away unasked, and features that were computed otherwise are not mixed unasked."""
    dropped = finished.sample_ids() - {sample.sample_id for sample in source.samples}
    count, names = len(dropped), f"{min(dropped, default='')}{', …' if len(dropped) > 1 else ''}"
    if dropped and not config.prune:
        raise CacheError(
            f"{output}: an earlier run extracted {count} sample(s) that are not asked for now: {names}. Give another output name to "
            "keep them, or --prune to drop them."
        )
    if dropped:
        say(f"Dropped from {output.name}, since no longer asked for: {count} sample(s), {names}")
    if reused and config.dtype == "float32" and finished.dtype not in (None, np.float32):
        raise CacheError(
            f"{output}: holds features rounded to float16, which --dtype float32 cannot undo; give another name"
        )
    others = [other for other in finished.numerics_of(reused) if other != made_with]
    if others and len(reused) < len(source.samples) and not config.allow_mixed:
        raise CacheError(mixed(output, made_with, others[0]))


def _hashes(source: Source, samples: Iterable[Sample], stop: threading.Event) -> dict[str, str]:
    """SHA-256 of the samples' videos, hex; of a frame folder none is made."""
    hashes = {}
    for video in dict.fromkeys(sample.video for sample in samples):
        path = source.folder / video
        if path.is_file() and not stop.is_set():
            with open(path, "rb") as file:
                hashes[video] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _log(result: Extraction, config: ExtractionConfig, say: Callable[[str], None]) -> None:
    """Add a line to the log beside the output: what is not part of the result, so that equal runs give equal files."""
    line = {
        "ended": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "host": socket.gethostname(),
        "share": str(config.share),
        "seconds": round(result.seconds, 3),
        "clips": result.clips,
        "samples": result.samples,
        "reused": result.reused,
        "failed": len(result.failures),
        "stopped": result.stopped,
        "fingerprint": result.meaning.fingerprint,
    }
    path = result.path.with_name(result.path.name + ".log")
    try:
        with open(path, "a") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        say(f"{path}: cannot be written ({error.strerror}); the features are not touched by that.")
