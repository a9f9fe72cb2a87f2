"""What a person should know of an extraction before it begins."""

import logging
from pathlib import Path

from ..annotations import extra_columns
from ..cache_file.feature_spec import FeatureSpec, random_in_words
from ..errors import escaped, some
from .source import Source

_log = logging.getLogger(__name__)


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
