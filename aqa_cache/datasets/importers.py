"""Annotations of other people's datasets, by functions of their own.

MTL-AQA has a command of its own (`mtl_aqa`), as its release needs more than one path.
"""

from pathlib import Path

from ..annotations import Sample
from ..errors import AnnotationError
from ..extensions import Extensions

KNOWN_IMPORTERS = Extensions(
    "dataset importer",
    "aqa_cache.datasets",
    (),
    "a function of a path that gives a list of aqa_cache.Sample",
    callable,
    option="aqa-data import",
)


def import_samples(name: str, source: Path) -> list[Sample]:
    """The samples that an importer finds.

    Args:
        name: MODULE:ATTRIBUTE, or what was registered or an installed package brings (`KNOWN_IMPORTERS`).
        source: what the importer reads.

    Raises:
        AqaError: there is no such importer.
        AnnotationError: it gives something else than samples.
    """
    KNOWN_IMPORTERS.give(name)
    samples = list(KNOWN_IMPORTERS.find(name)(source))
    if wrong := [sample for sample in samples if not isinstance(sample, Sample)]:
        raise AnnotationError(
            f"{name}: gives a {type(wrong[0]).__name__}, expected aqa_cache.Sample, one for each action"
        )
    if not samples:
        raise AnnotationError(f"{name}: finds no sample in {source}; give what it reads")
    return samples
