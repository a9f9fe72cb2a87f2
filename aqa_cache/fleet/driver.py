"""Extraction into a place: this process does its shard of the units that are not there yet, by itself or by
actors of Ray.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..annotations import Columns
from ..cache_file.feature_spec import FeatureSpec
from ..errors import AqaError
from ..extraction.configuration import ExtractionConfig
from ..extraction.garbage import no_collection
from ..extraction.hashes import hashes_of
from ..extraction.notices import log_found, log_missing, warn_if_random
from ..extraction.numerics import engine_of
from ..extraction.pipeline import Progress
from ..extraction.shards import Shard, deal
from ..extraction.source import Source
from ..extraction.sources import find_samples
from ..machine.threads import cpu_threads
from .part_place import PartPlace, Wanted
from .parts import numerics_digest
from .ray_crew import RayActors, RayCrew
from .standing import check_numerics, numerics_there, units_to_do
from .units import Unit, make_units
from .worker import Crew, UnitDone, Worker

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlaceExtraction:
    """What one process did.

    Args:
        url: of the place; spec: of the features in it.
        samples: of the shard; reused: those of them that were there already.
        done: how many of them have features or have failed now; clips: that were made; parts: that were put.
        failures: sample_id and reason.
        loading_seconds: until decoding began; seconds: in all.
        stopped: whether it was stopped before its end.
    """

    url: str
    spec: FeatureSpec
    samples: int
    reused: int
    done: int
    clips: int
    parts: int
    failures: list[tuple[str, str]]
    loading_seconds: float
    seconds: float
    stopped: bool


def extract_to_place(
    videos: str | Path,
    url: str,
    config: ExtractionConfig | None = None,
    *,
    annotations: str | Path | None = None,
    columns: Columns | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
    stop: threading.Event | None = None,
    ray: RayActors | None = None,
) -> PlaceExtraction:
    """Extract the clip features of a shard of the samples, and put them as parts below a URL.

    Nothing is locked: processes that do the same put the same. `fleet.merging.merge_place` makes the cache.

    Args:
        videos, annotations, columns, progress: as `aqa_cache.extract`.
        url: where the parts go; what is there already is not made again.
        stop: when it is set, the batch in flight is finished, and what is done is put.
        ray: the actors that do it; None: this process.

    Raises:
        AqaError: nothing could be done as asked. What was done is put, or kept on this machine.
        KeyboardInterrupt: `stop` was set before any actor was there.
    """
    config, stop = config or ExtractionConfig(), stop or threading.Event()
    _check(config, ray)
    with cpu_threads(config.threads if ray is None else None):
        return _extract(videos, url, config, annotations, columns, progress, stop, ray)


def _extract(
    videos: str | Path,
    url: str,
    config: ExtractionConfig,
    annotations: str | Path | None,
    columns: Columns | None,
    progress: Callable[[Progress], None],
    stop: threading.Event,
    ray: RayActors | None,
) -> PlaceExtraction:
    started = time.monotonic()
    with no_collection():
        source = find_samples(videos, annotations, columns=columns, stream=config.stream)
    log_found(source, videos)
    place = PartPlace(url)
    place.put_kept()
    parts = place.parts()
    log_missing(source, bool(parts))
    there = numerics_there(place, parts)
    with _crew(config, place, source, engine_of(there.values()), stop, ray) as crew:
        warn_if_random(crew.spec)
        parts = place.parts(crew.spec)
        if not config.allow_mixed:
            check_numerics(place, parts, there, crew.numerics)
            mine = numerics_digest(crew.numerics)
            parts = {name: item for name, item in parts.items() if name.numerics == mine}
        stamps = {video: source.stamp(video) for video in source.videos()}
        of_samples = [stamps[sample.video] for sample in source.samples]
        place.note(Wanted(source.samples, of_samples, crew.spec, crew.views), config.prune)
        units = make_units(source.samples, config.clip_rule, crew.row_bytes, lambda video: stamps[video][0])
        mine = shard_of(units, config.shard)
        todo = units_to_do(mine, stamps.__getitem__, place, parts, crew.views)
        samples, left = _count(mine), _count(todo)
        _log_what_comes(crew, config, samples, todo)
        loaded = time.monotonic()
        done: list[UnitDone] = []
        if todo:
            # As on one disk: a cache knows its copies by these.
            hashes = hashes_of(source, source.copies, stop)
            crew.work(todo, source, hashes=hashes, done=done.append, progress=progress, stop=stop)
    return PlaceExtraction(
        url=place.url,
        spec=crew.spec,
        samples=samples,
        reused=samples - left,
        done=samples - left + sum(unit.samples for unit in done),
        clips=sum(unit.clips for unit in done),
        parts=sum(len(unit.parts) for unit in done),
        failures=[failure for unit in done for failure in unit.failures],
        loading_seconds=loaded - started,
        seconds=time.monotonic() - started,
        stopped=stop.is_set() and bool(todo),
    )


@contextlib.contextmanager
def _crew(
    config: ExtractionConfig,
    place: PartPlace,
    source: Source,
    engine_before: str | None,
    stop: threading.Event,
    ray: RayActors | None,
) -> Generator[Crew]:
    if ray is None:
        yield Worker(config, place, engine_before)
        return
    with RayCrew(ray, config, place, source, engine_before, stop) as crew:
        yield crew


def shard_of(units: Sequence[Unit], shard: Shard) -> list[Unit]:
    """The units of a shard, in their order; every process that has the same units deals in the same way."""
    if shard.count == 1:
        return list(units)
    shards = deal({str(number): unit.frames for number, unit in enumerate(units)}, shard.count)
    mine = shards[shard.number - 1] if shard.number <= len(shards) else ()
    return [unit for number, unit in enumerate(units) if str(number) in mine]


def _check(config: ExtractionConfig, ray: RayActors | None) -> None:
    if ray is not None and config.shard.count > 1:
        raise AqaError(f"--shard {config.shard}: actors of Ray share all that there is; leave it out")
    if config.dtype != "auto":
        raise AqaError("--dtype is of the published cache: give it to aqa-data merge")
    if config.verify != "stat":
        raise AqaError(
            f"--verify {config.verify} is of a cache on a disk; in a place a video is known by its size and"
            " time"
        )


def _log_what_comes(crew: Crew, config: ExtractionConfig, samples: int, todo: Sequence[Unit]) -> None:
    shard = f" of shard {config.shard}" if config.shard.count > 1 else ""
    if config.shard.origin:
        shard += f" (from {config.shard.origin}; --shard 1/1 does everything)"
    left = _count(todo)
    if not left:
        _log.info(f"All {samples} sample(s){shard} are done already.")
        return
    earlier = f", {samples - left} more are done already" if left < samples else ""
    _log.info(f"{left} sample(s) in {len(todo)} unit(s){shard}{earlier}; {crew.described}.")


def _count(units: Sequence[Unit]) -> int:
    return sum(len(unit.samples) for unit in units)
