"""Extraction: every sample's clips through a backbone, once, into a feature cache."""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..annotations import Columns, Sample
from ..backbones.inference import Model
from ..cache_file.feature_spec import FeatureSpec
from ..disk.links import open_unlinked
from ..errors import AqaError, NothingExtracted, listed
from ..logs import log_failures
from ..machine.threads import cpu_threads
from ..short_repr import short_repr
from .configuration import ExtractionConfig
from .continuation import Begun, begin, check_output
from .garbage import no_collection
from .hashes import hashes_of
from .notices import log_found, log_missing
from .part_writer import PartWriter
from .parts import Parts
from .pipeline import Pipeline, Progress
from .publishing import publish
from .source import Source
from .sources import find_samples

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extraction:
    """What an extraction did.

    Args:
        path: of the cache.
        spec: of its features.
        samples: of the shard; reused: those of them that were there already.
        clips: made in this run, or time steps of clips where they are rows (`spec.step`).
        anew: ids of the samples, of all shards, that an earlier version had extracted from frames that may
            have been wrong.
        failures: sample_id and reason of every sample that failed; of all shards, where this one published.
        missing: how many samples of the published cache have not been extracted yet.
        dtype: of the published features; None if nothing was published.
        loading_seconds: until decoding began; seconds: in all.
        stopped: whether it was stopped before its end.
    """

    path: Path
    spec: FeatureSpec
    samples: int
    reused: int
    clips: int
    anew: list[str]
    failures: list[tuple[str, str]]
    missing: int
    dtype: str | None
    loading_seconds: float
    seconds: float
    stopped: bool

    __repr__ = short_repr


def extract(
    videos: str | Path,
    output: str | Path,
    config: ExtractionConfig | None = None,
    *,
    annotations: str | Path | None = None,
    columns: Columns | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
    stop: threading.Event | None = None,
) -> Extraction:
    """Extract the clip features of every sample into a cache.

    Args:
        videos: a folder (with or without an annotations table), one video, a folder of frame folders, or the
            URL of a folder of videos.
        output: the cache. If it exists and was made in the same way, samples that have not changed are kept.
        annotations: the table, if it is not the one in the folder; columns: names of its columns that are not
            the known ones.
        progress: called after every batch.
        stop: when it is set, the batch in flight is finished, and what is done is published.

    Raises:
        AqaError: nothing could be done as asked.
        NothingExtracted: no sample has features in the end. One that fails beside others that do not is
            listed in the result, and its reason is in the cache.
    """
    config, stop = config or ExtractionConfig(), stop or threading.Event()
    with cpu_threads(config.threads):
        return _extract(videos, Path(output), config, annotations, columns, progress, stop)


def _extract(
    videos: str | Path,
    output: Path,
    config: ExtractionConfig,
    annotations: str | Path | None,
    columns: Columns | None,
    progress: Callable[[Progress], None],
    stop: threading.Event,
) -> Extraction:
    started = time.monotonic()
    check_output(output)
    with no_collection():
        source = find_samples(videos, annotations, columns=columns, stream=config.stream)
    log_found(source, videos)
    parts = Parts(output)
    log_missing(source, output.exists() or bool(parts.paths()))
    samples = config.shard.of(source)
    hashes = _hashes(source, samples, stop) if config.verify == "sha256" else None
    # A cache knows its copies by these, so that none is tested on another's.
    known = hashes if hashes is not None else hashes_of(source, source.copies, stop)
    try:
        with parts.exclusively():
            begun = begin(parts, source, samples, hashes, config)
        todo, published = begun.todo, begun.published
        _log_what_comes(samples, todo, begun.model, config)
        loaded = time.monotonic()
        done_now = _extract_missing(begun, source, parts, known, config, progress, stop) if todo else _Done()
        stopped = done_now.stopped or (stop.is_set() and bool(todo))
        if published is None:
            with parts.exclusively():
                parts.release()
                published = publish(
                    parts,
                    source.samples,
                    source=source,
                    hashes=hashes,
                    known=known,
                    spec=begun.spec,
                    views=begun.views,
                    dtype=config.dtype,
                    allow_mixed=config.allow_mixed,
                    incomplete=stopped or config.shard.count == 1,
                )
    finally:
        parts.close()
    result = Extraction(
        path=output,
        spec=begun.spec,
        samples=len(samples),
        reused=len(samples) - len(todo),
        clips=done_now.clips,
        anew=list(begun.current.mended),
        failures=published.failures if published else done_now.failures,
        missing=len(published.missing) if published else 0,
        dtype=published.dtype if published else None,
        loading_seconds=loaded - started,
        seconds=time.monotonic() - started,
        stopped=stopped,
    )
    _append_to_log(result, config)
    if published and len(published.failures) == published.samples:
        raise _nothing(output, published.failures)
    log_failures(result.failures)
    return result


def _hashes(source: Source, samples: list[Sample], stop: threading.Event) -> dict[str, str]:
    videos = dict.fromkeys(sample.video for sample in samples)
    _log.info(f"Hashing {len(videos)} videos …")
    return hashes_of(source, videos, stop)


def _nothing(output: Path, failures: list[tuple[str, str]]) -> NothingExtracted:
    """What is to be said where every sample has failed."""
    reasons = listed([reason for _, reason in failures])
    return NothingExtracted(
        f"{output}: none of the {len(failures)} sample(s) has features, there is nothing to train"
        f" with:{reasons}\nThe file has the reasons and no features; mend what is wrong, and run the same"
        " command again."
    )


@dataclass
class _Done:
    """What the pipeline has done: clips, what failed and why, and whether it was stopped by a failure."""

    clips: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    stopped: bool = False


def _extract_missing(
    begun: Begun,
    source: Source,
    parts: Parts,
    known: dict[str, str],
    config: ExtractionConfig,
    progress: Callable[[Progress], None],
    stop: threading.Event,
) -> _Done:
    with source.held(source.videos(), config.cache_bytes) as held:
        pipeline = Pipeline(
            begun.model,
            config.clip_rule,
            held,
            begun.todo,
            step=begun.spec.step,
            views=config.views,
            workers=config.workers,
            stream=config.stream,
            decode_timeout=config.decode_timeout,
            hashes=known,
            scratch=parts.folder,
            in_order=source.far,
        )
        writer = PartWriter(parts.folder, begun.spec, begun.numerics, begun.views)
        return _write_parts(pipeline, writer, config.on_error, progress, stop)


def _write_parts(
    pipeline: Pipeline,
    writer: PartWriter,
    on_error: str,
    progress: Callable[[Progress], None],
    stop: threading.Event,
) -> _Done:
    """Run the pipeline to its end, or to the first failure if asked to, and save what it makes."""
    done = _Done()

    def on_batch(state: Progress) -> None:
        writer.tick()
        progress(state)

    try:
        for record in pipeline.records(on_batch, stop):
            writer.add(record)
            done.clips += sum(len(view.features) for view in record.views if view)
            if not record.ok:
                done.failures.append((record.sample.sample_id, record.reason))
                if on_error == "stop":
                    done.stopped = True
                    break
    finally:
        writer.close()
    return done


def _log_what_comes(
    samples: list[Sample], todo: list[Sample], model: Model, config: ExtractionConfig
) -> None:
    shard = f" of shard {config.shard}" if config.shard.count > 1 else ""
    if config.shard.origin:
        shard += f" (from {config.shard.origin}; --shard 1/1 does everything)"
    if not todo:
        _log.info(f"All {len(samples)} sample(s){shard} are done already.")
        return
    videos = len({sample.video for sample in todo})
    earlier = f", {len(samples) - len(todo)} more are done already" if len(todo) < len(samples) else ""
    _log.info(
        f"{len(todo)} sample(s) of {videos} video(s){shard}{earlier}; {model.device} in {model.precision}"
        f"{' by OpenVINO' if model.engine == 'openvino' else ''}, batches of {model.batch_size}."
    )


def _append_to_log(result: Extraction, config: ExtractionConfig) -> None:
    """Add a line to the log beside the output: what is not part of the result, so that equal runs give equal
    files.
    """
    line = {
        "ended": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "host": socket.gethostname(),
        "shard": str(config.shard),
        "seconds": round(result.seconds, 3),
        "clips": result.clips,
        "samples": result.samples,
        "reused": result.reused,
        **({"anew": result.anew} if result.anew else {}),
        "failed": len(result.failures),
        "missing": result.missing,
        "stopped": result.stopped,
        "fingerprint": result.spec.fingerprint,
    }
    path = result.path.with_name(result.path.name + ".log")
    try:
        with open(open_unlinked(path, os.O_WRONLY | os.O_APPEND, "the log"), "a") as file:
            file.write(json.dumps(line) + "\n")
    except AqaError as error:
        _log.warning(f"{error}. The features are not touched by that.")
    except OSError as error:
        _log.warning(f"{path}: cannot be written ({error.strerror}); the features are not touched by that.")
