"""How an extraction goes on from what is there: what of it stays, what is to be made, and by which model."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..annotations import Sample
from ..backbones.inference import Model
from ..cache_file.feature_spec import FeatureSpec
from ..cache_file.reader import read_numerics
from ..cache_file.structure import check_cache
from ..disk.atomic import check_target
from ..errors import CacheBusy, CacheError, some
from ..weights.random_weights import random_weights_path
from .configuration import ExtractionConfig
from .existing import Current, ExistingRecords
from .garbage import no_collection
from .loading import load_model
from .notices import warn_if_random
from .numerics import engine_of, mixed, numerics_of, of_computing
from .parts import Parts
from .publishing import Published, as_it_is
from .source import Source

_log = logging.getLogger(__name__)

_ANEW_SHOWN = 20


@dataclass(frozen=True)
class Begun:
    """An extraction that has looked at what is there, and has its part of the work to itself.

    Args:
        model: that makes features; spec, numerics: of them; views: their names.
        current: which samples of all are there already.
        todo: samples of this shard that are not.
        published: the cache as it is, where nothing is to be done; else None.
    """

    model: Model
    spec: FeatureSpec
    numerics: dict[str, Any]
    views: list[str]
    current: Current
    todo: list[Sample]
    published: Published | None


def begin(
    parts: Parts,
    source: Source,
    samples: list[Sample],
    hashes: dict[str, str] | None,
    config: ExtractionConfig,
) -> Begun:
    """Look at what is there and claim the work; to be called exclusively.

    Args:
        samples: of this shard.
        hashes: of videos, see `ExistingRecords.current`.

    Raises:
        AqaError: what is there cannot be continued as asked.
    """
    output, views = parts.output, [view.name for view in config.views]
    before = engine_of(_records_before(output, parts))
    model, spec = load_model(config, random_weights_path(output, config.backbone), before)
    warn_if_random(spec)
    numerics = numerics_of(model, config.deterministic)
    with no_collection(), ExistingRecords(output, parts.paths(), spec, views) as existing:
        if earlier := existing.videos_of_earlier_decoding():
            _log.info(f"Looking at the headers of {earlier} video(s) that an earlier version extracted.")
        current = existing.current(source.samples, source, hashes)
        _check_continuation(output, source, existing, current, numerics, config)
        _warn_of_mended(output, current)
        done = {sample.sample_id for sample in current.done}
        published = None
        if len(done) == len(source.samples) and not parts.paths():
            published = as_it_is(existing, source.samples, config.dtype)
    if published is None:
        parts.claim(config.shard, spec, views, numerics, source.samples, config.allow_mixed)
    todo = [sample for sample in samples if sample.sample_id not in done]
    return Begun(model, spec, numerics, views, current, todo, published)


def check_output(output: Path) -> None:
    """Whether a cache may be written there, or is there and can be continued.

    Raises:
        AqaError: neither.
    """
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


def _records_before(output: Path, parts: Parts) -> list[dict[str, Any]]:
    """Numerics of the features that are there, and of those that other processes make now."""
    paths = [output, *parts.paths()] if output.exists() else parts.paths()
    at_work = [owner["numerics"] for owner in parts.others_at_work() if "numerics" in owner]
    return [*map(read_numerics, paths), *at_work]


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
