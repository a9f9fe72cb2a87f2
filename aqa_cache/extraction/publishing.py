"""From parts to the cache: publishing what an extraction, or its shards, have finished."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..annotations import Sample
from ..cache_file.feature_spec import FeatureSpec
from ..cache_file.writer import write_cache
from ..errors import AqaError, CacheBusy, CacheError
from ..short_repr import short_repr
from ..video.mended import DECODING
from .existing import Current, ExistingRecords, Records
from .numerics import mixed
from .parts import Parts
from .source import Source

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """What is in the published cache.

    Args:
        samples: all of them.
        failures: sample_id and reason of those that failed; missing: ids of those that have not been
            extracted yet.
        dtype: of the features.
    """

    samples: int
    failures: list[tuple[str, str]]
    missing: list[str]
    dtype: str

    __repr__ = short_repr


def publish(
    parts: Parts,
    samples: Sequence[Sample],
    *,
    source: Source | None = None,
    hashes: Mapping[str, str] | None = None,
    known: Mapping[str, str] | None = None,
    spec: FeatureSpec | None = None,
    views: Sequence[str] | None = None,
    dtype: str = "auto",
    allow_mixed: bool = False,
    incomplete: bool = False,
) -> Published | None:
    """Make the output of all that is finished, if that is everything; to be called exclusively.

    Args:
        samples: all that are asked for, in the order the file shall have.
        source, hashes: of their videos, see `ExistingRecords.current`.
        known: hashes that records without one get.
        spec, views: of the features; None: those of the parts.
        dtype: of the stored features, see `write_cache`; allow_mixed: whether they may have been made with
            different numerics.
        incomplete: publish although samples are missing, if nobody is at work on them.

    Returns:
        None if nothing was published: nothing is finished, or samples are left to other processes.

    Raises:
        AqaError: the features cannot be in one file, or it cannot be written.
    """
    paths = parts.paths()
    if not paths and not parts.output.exists():
        _log.warning("Nothing was finished, so nothing is published.")
        return None
    try:
        opened = ExistingRecords(parts.output, paths, spec, views)
    except CacheBusy as error:
        raise CacheBusy(
            f"{error} What was extracted is kept in {parts.folder}; the next run, or aqa-data merge"
            f" {parts.output}, publishes it."
        ) from None
    with opened as existing:
        current = existing.current(samples, source, hashes)
        # Without parts, all that has been done is in the output, and what failed there is nobody's work in
        # progress.
        through = {key for key, _ in existing.failures(current.missing)} if not paths else set[str]()
        left = [sample for sample in current.missing if sample.sample_id not in through]
        if left and (not incomplete or parts.others_at_work()):
            _log.info(
                f"{len(left)} of {len(samples)} samples are left to other shards. The last one publishes"
                f" {parts.output}; if one is lost, run it again, or publish without it: aqa-data merge"
                f" {parts.output}"
            )
            return None
        if not paths and (published := as_it_is(existing, samples, dtype, current.missing)):
            return published
        records = Records(existing, samples, {sample.sample_id for sample in current.missing}, known or {})
        made_with = existing.numerics_of(sample.sample_id for sample in current.done) or [{}]
        if len(made_with) > 1 and not allow_mixed:
            raise CacheError(
                mixed(parts.output, made_with[-1], made_with[0], "another run or shard")
                + f"\nFinished parts are kept: aqa-data merge {parts.output} --allow-mixed"
            )
        numerics = made_with[-1] if len(made_with) == 1 else {**made_with[-1], "mixed_with": made_with[:-1]}
        numerics |= _decoding(current)
        assert existing.spec is not None and existing.views is not None, "there is something to publish"
        stored = write_cache(
            parts.output,
            records,
            existing.spec,
            views=existing.views,
            numerics=numerics,
            dtype=dtype,
            temporary_in=parts.folder,
        )
    for path in paths:
        path.unlink(missing_ok=True)
    if stored == np.float32 and dtype == "auto":
        _log.info("Stored as float32: float16 cannot hold every feature.")
    return Published(len(samples), records.failures, records.missing, str(stored))


def _decoding(current: Current) -> dict[str, Any]:
    """What the numerics say of decoding: every sample was held against the mended kinds, but for those whose
    videos were not there.
    """
    if len(current.not_looked_at) == len(current.done):
        return {}
    unseen = {"not_looked_at": current.not_looked_at} if current.not_looked_at else {}
    return {"decoding": DECODING, **unseen}


def as_it_is(
    existing: ExistingRecords, samples: Sequence[Sample], dtype: str, without_features: Sequence[Sample] = ()
) -> Published | None:
    """What the output is, if it has these very samples in that dtype, so that there is nothing to write; else
    None.
    """
    if existing.dtype is None or dtype not in ("auto", existing.dtype) or not existing.publishes(samples):
        return None
    failures = existing.failures(without_features)
    failed = {sample_id for sample_id, _ in failures}
    missing = [sample.sample_id for sample in without_features if sample.sample_id not in failed]
    return Published(len(samples), failures, missing, str(existing.dtype))


def merge(output: str | Path, *, dtype: str = "auto", allow_mixed: bool = False) -> Published | None:
    """Publish the parts of an extraction that was not finished, or whose shards were.

    Returns:
        None if there was nothing in them.

    Raises:
        AqaError: there are no parts, processes are still at work, or the parts cannot be in one file.
    """
    parts = Parts(Path(output))
    parts.check_begun()
    try:
        with parts.exclusively():
            if others := parts.others_at_work():
                raise AqaError(
                    f"{output}: {len(others)} process(es) still work on it, shard"
                    f" {others[0].get('shard', '?')} in process {others[0]['pid']} on {others[0]['host']};"
                    " wait for them or stop them"
                )
            samples = parts.samples()
            return publish(parts, samples, dtype=dtype, allow_mixed=allow_mixed, incomplete=True)
    finally:
        parts.close()
