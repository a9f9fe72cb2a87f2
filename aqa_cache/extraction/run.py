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
from typing import Any

import numpy as np

from ..annotations import Columns, Sample, extra_columns
from ..backbones.inference import Model
from ..cache_file.feature_spec import FeatureSpec, random_in_words
from ..cache_file.reader import read_numerics
from ..cache_file.structure import check_cache
from ..disk.atomic import check_target
from ..disk.links import open_unlinked
from ..errors import AqaError, CacheBusy, CacheError, NothingExtracted, escaped, some
from ..logs import log_failures
from ..machine.threads import cpu_threads
from ..short_repr import short_repr
from ..weights.random_weights import random_weights_path
from .configuration import ExtractionConfig
from .existing import Current, ExistingRecords
from .garbage import no_collection
from .hashes import hashes_of
from .loading import load_model
from .numerics import engine_of, mixed, numerics_of, of_computing
from .part_writer import PartWriter
from .parts import Parts
from .pipeline import Pipeline, Progress
from .publishing import as_it_is, publish
from .sources import Source, find_samples

_log = logging.getLogger(__name__)

_ANEW_SHOWN = 20


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
    _check_output(output)
    with no_collection():
        source = find_samples(videos, annotations, columns=columns, stream=config.stream)
    log_found(source, videos)
    parts = Parts(output)
    log_missing(source, output.exists() or bool(parts.paths()))
    samples = config.shard.of(source)
    hashes = None
    if config.verify == "sha256":
        videos_of_shard = dict.fromkeys(sample.video for sample in samples)
        _log.info(f"Hashing {len(videos_of_shard)} videos …")
        hashes = hashes_of(source, videos_of_shard, stop)
    # A cache knows its copies by these, so that none is tested on another's.
    known = hashes if hashes is not None else hashes_of(source, source.copies, stop)
    views = [view.name for view in config.views]
    try:
        with parts.exclusively():
            before = engine_of(_records_before(output, parts))
            model, spec = load_model(config, random_weights_path(output, config.backbone), before)
            warn_if_random(spec)
            numerics = numerics_of(model, config.deterministic)
            with no_collection(), ExistingRecords(output, parts.paths(), spec, views) as existing:
                if earlier := existing.videos_of_earlier_decoding():
                    _log.info(
                        f"Looking at the headers of {earlier} video(s) that an earlier version extracted."
                    )
                current = existing.current(source.samples, source, hashes)
                _check_continuation(output, source, existing, current, numerics, config)
                _warn_of_mended(output, current)
                done = {sample.sample_id for sample in current.done}
                todo = [sample for sample in samples if sample.sample_id not in done]
                published = None
                if len(done) == len(source.samples) and not parts.paths():
                    published = as_it_is(existing, source.samples, config.dtype)
            if published is None:
                parts.claim(config.shard, spec, views, numerics, source.samples, config.allow_mixed)
        _log_what_comes(samples, todo, model, config)
        loaded = time.monotonic()
        done_now = _Done()
        if todo:
            with source.held(source.videos(), config.cache_bytes) as held:
                pipeline = Pipeline(
                    model,
                    config.clip_rule,
                    held,
                    todo,
                    step=spec.step,
                    views=config.views,
                    workers=config.workers,
                    stream=config.stream,
                    decode_timeout=config.decode_timeout,
                    hashes=known,
                    scratch=parts.folder,
                    in_order=source.far,
                )
                writer = PartWriter(parts.folder, spec, numerics, views)
                done_now = _write_parts(pipeline, writer, config.on_error, progress, stop)
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
                    spec=spec,
                    views=views,
                    dtype=config.dtype,
                    allow_mixed=config.allow_mixed,
                    incomplete=stopped or config.shard.count == 1,
                )
    finally:
        parts.close()
    result = Extraction(
        path=output,
        spec=spec,
        samples=len(samples),
        reused=len(samples) - len(todo),
        clips=done_now.clips,
        anew=list(current.mended),
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


def log_found(source: Source, videos: str | Path) -> None:
    """What a person should know of how the samples were found."""
    if source.annotations or source.far or Path(videos).is_dir():
        _log.info(source.said_table())
    for note in source.notes:
        _log.warning(note)
    if extra := extra_columns(source.samples):
        _log.info(f"Columns kept as they are, without a meaning to this program: {', '.join(extra)}")


def log_missing(source: Source, begun: bool) -> None:
    """Which videos are not there.

    Raises:
        AqaError: none is, and nothing was `begun` before.
    """
    if missing := source.missing():
        if len(missing) == len(source.videos()) and not begun:
            raise source.without_any()
        reasons = [f"{escaped(video)}{source.why_missing(video)}" for video in missing]
        _log.warning(f"{len(missing)} of {len(source.videos())} videos are not there: {some(reasons)}")


def warn_if_random(spec: FeatureSpec) -> None:
    """That nothing was learned, where nothing was."""
    if spec.random and not spec.tuned:
        _log.warning(
            f"Features come from {random_in_words(spec.weights)}: they show that the pipeline works,"
            " not what a model can do."
        )


def _nothing(output: Path, failures: list[tuple[str, str]]) -> NothingExtracted:
    """What is to be said where every sample has failed."""
    more = f"\n  … and {len(failures) - 5} more" if len(failures) > 5 else ""
    return NothingExtracted(
        f"{output}: none of the {len(failures)} sample(s) has features, there is nothing to train with:\n  "
        + "\n  ".join(reason for _, reason in failures[:5])
        + more
        + "\nThe file has the reasons and no features; mend what is wrong, and run the same command again."
    )


@dataclass
class _Done:
    """What the pipeline has done: clips, what failed and why, and whether it was stopped by a failure."""

    clips: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    stopped: bool = False


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


def _warn_of_mended(output: Path, current: Current) -> None:
    """List the samples whose features are made anew though nothing of them has changed, kind by kind."""
    kinds: dict[str, list[str]] = {}
    for sample_id, why in current.mended.items():
        kinds.setdefault(why, []).append(sample_id)
    for why, ids in kinds.items():
        _log.warning(
            f"{len(ids)} sample(s) of {output.name} are extracted anew, since each one's video {why}:"
            f" {some(ids, _ANEW_SHOWN)}"
        )
    if current.mended and current.not_looked_at:
        _log.warning(
            f"{len(current.not_looked_at)} sample(s) were extracted by the same earlier version and"
            f" cannot be looked at, as their videos are not there: {some(current.not_looked_at)}"
        )


def _records_before(output: Path, parts: Parts) -> list[dict[str, Any]]:
    """Numerics of the features that are there, and of those that other processes make now."""
    paths = [output, *parts.paths()] if output.exists() else parts.paths()
    at_work = [owner["numerics"] for owner in parts.others_at_work() if "numerics" in owner]
    return [*map(read_numerics, paths), *at_work]


def _check_output(output: Path) -> None:
    check_target(output, "feats.h5")
    if output.exists():
        try:
            check_cache(output)
        except CacheBusy:
            raise
        except CacheError as error:
            raise CacheError(
                f"{error}\nThe output exists and cannot be continued; give another name, or move it away."
            ) from None


def _check_continuation(
    output: Path,
    source: Source,
    existing: ExistingRecords,
    current: Current,
    numerics: dict[str, Any],
    config: ExtractionConfig,
) -> None:
    """Nothing is thrown away unasked, and features that were computed otherwise are not mixed unasked."""
    if current.away:
        first = current.away[0]
        _log.warning(
            f"{len(current.away)} sample(s) keep the features they have, though their videos are not"
            f" there any more: {first.sample_id} ({first.video}){', …' if len(current.away) > 1 else ''}"
        )
    dropped = existing.sample_ids() - {sample.sample_id for sample in source.samples}
    count, names = len(dropped), f"{min(dropped, default='')}{', …' if len(dropped) > 1 else ''}"
    if dropped and not config.prune:
        raise CacheError(
            f"{output}: an earlier run extracted {count} sample(s) that are not asked for now: {names}. Give"
            " another output name to keep them, or --prune to drop them."
        )
    if dropped:
        _log.warning(f"Dropped from {output.name}, since no longer asked for: {count} sample(s), {names}")
    if current.done and config.dtype == "float32" and existing.dtype not in (None, np.float32):
        raise CacheError(
            f"{output}: holds features rounded to float16, which --dtype float32 cannot undo; give another"
            " name"
        )
    others = [
        other
        for other in existing.numerics_of(sample.sample_id for sample in current.done)
        if other != of_computing(numerics)
    ]
    if others and len(current.done) < len(source.samples) and not config.allow_mixed:
        raise CacheError(mixed(output, of_computing(numerics), others[0]))


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
