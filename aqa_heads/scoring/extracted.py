"""Features of new videos, as runs that score them need them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.record import Record

from .made_with import MadeWith, made_with, weights_told
from .trained import Trained

if TYPE_CHECKING:
    from aqa_cache.extraction.pipeline import Progress


def extracted(
    runs: Sequence[Trained],
    made: MadeWith,
    folder: Path,
    samples: Sequence[Sample],
    *,
    cache: FeatureCache | None,
    weights: str | None,
    device: str,
    progress: "Callable[[Progress], None] | None",
) -> Iterator[list[Record]]:
    """Of each sample its features for every run, in the runs' order; each as soon as it is done, or, of runs
    that trained a backbone each, when all are.

    Args:
        made: how features of the first run are made.
        weights, device, progress: as `Scorer` takes them.

    Raises:
        AqaError: a backbone cannot be had.
    """
    from aqa_cache.extraction.again import model_again, records_again

    def of(trained: Trained, made: MadeWith) -> Iterator[Record]:
        told = weights_told(trained, made, weights, cache)
        model = model_again(made.spec, made.numerics, *told, device)
        heard = {} if progress is None else {"progress": progress}
        for record in records_again(model, made.spec, folder, samples, **heard):
            yield replace(record, views=[_rounded(clips, made) for clips in record.views])

    if len(runs) == 1 or not runs[0].tuned_itself:
        for record in of(runs[0], made):
            yield [record] * len(runs)
        return
    by_run = [
        {record.sample.sample_id: record for record in of(trained, made_with(trained, cache))}
        for trained in runs
    ]
    for sample in samples:
        yield [records[sample.sample_id] for records in by_run]


def _rounded(clips, made: MadeWith):
    return None if clips is None else replace(clips, features=made.rounded(clips.features[:]))
