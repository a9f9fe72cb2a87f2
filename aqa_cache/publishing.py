"""From parts to the cache: publishing what an extraction, or its shares, have finished."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .annotations import Sample
from .cache import write_cache
from .configuration import ExtractionConfig
from .errors import AqaError, CacheError
from .finished import Finished
from .meaning import Meaning
from .numerics import mixed
from .parts import Parts


def publish(
    parts: Parts,
    samples: Sequence[Sample],
    meaning: Meaning | None,
    config: ExtractionConfig,
    incomplete: bool,
    changed: bool,
    say: Callable[[str], None],
) -> tuple[list[tuple[str, str]], str | None]:
    """Make the output of all that is finished, if that is everything.

    Args:
        samples: all that are asked for, in the order the file shall have.
        meaning: of the features; None: that of the parts.
        incomplete: publish although samples are lacking.
        changed: whether there may be something new.

    Returns:
        The samples without features, and the dtype stored; None where nothing was published.
    """
    paths = parts.paths()
    with Finished(parts.output, paths, meaning, [view.name for view in config.views] if meaning else None) as finished:
        if finished.meaning is None:
            raise CacheError(f"{parts.output}: {parts.folder} holds no finished samples yet; nothing to merge")
        lacking = finished.lacking(samples)
        if not paths and not parts.output.exists():
            say("Nothing was finished, so nothing is published.")
            return [], None
        if lacking and (not incomplete or parts.others_at_work()):
            say(
                f"{len(lacking)} samples are left to other shares; the last one publishes {parts.output}, or: aqa-data merge {parts.output}"
            )
            return [], None
        records = finished.records(samples)
        same_dtype = config.dtype in ("auto", finished.dtype)
        if not changed and not paths and finished.published == list(samples) and same_dtype:
            return [], str(finished.dtype)
        made_with = finished.numerics_of(sample.sample_id for sample in samples) or [{}]
        if len(made_with) > 1 and not config.allow_mixed:
            raise CacheError(mixed(parts.output, made_with[-1], made_with[0]))
        numerics = made_with[-1] if len(made_with) == 1 else {**made_with[-1], "mixed_with": made_with[:-1]}
        dtype = write_cache(
            parts.output, records, finished.meaning,
            views=finished.views, numerics=numerics, dtype=config.dtype, temporary_in=parts.folder,
        )  # fmt: skip
    parts.remove(paths)
    if dtype == np.float32 and config.dtype == "auto":
        say("Stored as float32: float16 cannot hold every feature.")
    return records.failures, str(dtype)


def merge(
    output: str | Path,
    *,
    dtype: str = "auto",
    allow_mixed: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[int, list[tuple[str, str]]]:
    """Publish the parts of an extraction that was not finished, or whose shares were.

    Returns:
        How many samples the cache has, and sample_id and reason of those without features; "not extracted yet" is one.

    Raises:
        AqaError: there are no parts, processes are still at work, or the parts cannot be in one file.
    """
    parts = Parts(Path(output), say)
    if not parts.folder.is_dir():
        parts.samples()
    if others := parts.others_at_work():
        raise AqaError(
            f"{output}: {len(others)} process(es) still work on it, share {others[0].get('share', '?')} in process "
            f"{others[0]['pid']} on {others[0]['host']}; wait for them or stop them"
        )
    try:
        with parts.exclusively():
            config = ExtractionConfig(dtype=dtype, allow_mixed=allow_mixed)
            samples = parts.samples()
            failures, _ = publish(parts, samples, None, config, True, True, say)
    finally:
        parts.release()
    return len(samples), failures
