"""The interval around a score."""

from collections.abc import Sequence

import numpy as np

from aqa_cache.errors import AqaError

from ..evaluation.calibration import Calibration, calibration_of
from .trained import Trained

LEVEL = 0.9


def check_level(level: float) -> None:
    """Whether a level is one.

    Raises:
        AqaError: it is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise AqaError(f"--level is {level:g}, expected a share between 0 and 1, such as 0.9")


def calibration_for(runs: Sequence[Trained]) -> Calibration:
    """What runs whose scores are averaged say of their errors; a model file alone says nothing."""
    folders = [trained.run for trained in runs if trained.run is not None]
    if len(folders) < len(runs):
        return Calibration(lacking="no interval: a model file has no held-out samples; name the run folder")
    return calibration_of(folders)


def interval_of(
    calibration: Calibration,
    points: Sequence[float],
    spreads: Sequence[float | None],
    group: str | None,
    level: float = LEVEL,
) -> tuple[tuple[float, float] | None, str]:
    """Lower and upper end, in points, and what is to be said of them; None, and why, where there is none.

    Args:
        points: of the sample, by every run; spreads: of their score heads, None where there is none.
        group: of the sample, None where it is not known.
    """
    known = [spread for spread in spreads if spread is not None]
    spread = float(np.mean(known)) if len(known) == len(points) else None
    return calibration.interval(np.array(points), spread, group, level)
