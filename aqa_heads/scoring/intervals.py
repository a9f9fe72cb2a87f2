"""The interval around a score."""

from collections.abc import Sequence

import numpy as np

from aqa_cache.annotations import CLASS_PREFIX, Sample
from aqa_cache.errors import AqaError

from ..evaluation.calibration import Calibration, calibration_of
from .trained import Trained

LEVEL = 0.9
GROUP = "group"  # what intervals are calibrated apart by


def check_level(level: float) -> None:
    """Whether a level is one.

    Raises:
        AqaError: it is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise AqaError(f"--level is {level:g}, expected a share between 0 and 1, such as 0.9")


def calibration_for(runs: Sequence[Trained], by: str = GROUP) -> Calibration:
    """What runs whose scores are averaged say of their errors; a model file alone says nothing.

    Args:
        by: `group`, or a class column, whose groups or classes are to be calibrated apart.

    Raises:
        AqaError: the runs know no such column.
    """
    folders = [trained.run for trained in runs if trained.run is not None]
    if len(folders) < len(runs):
        return Calibration(lacking="no interval: a model file has no held-out samples; name the run folder")
    found = calibration_of(folders)
    if by != GROUP and not found.lacking and column_of(by) not in found.labels:
        known = ", ".join(name.removeprefix(CLASS_PREFIX) for name in found.labels)
        raise AqaError(f"--calibrate-by is {by!r}, expected a column that the run has: {known}")
    return found


def column_of(by: str) -> str:
    """The column of `predictions.csv` that `--calibrate-by` names."""
    return by if by.startswith((GROUP, CLASS_PREFIX)) else f"{CLASS_PREFIX}{by}"


def interval_of(
    calibration: Calibration,
    points: Sequence[float],
    spreads: Sequence[float | None],
    sample: Sample,
    level: float = LEVEL,
    by: str = GROUP,
) -> tuple[tuple[float, float] | None, str, float | None]:
    """Lower and upper end, in points, what is to be said of them, and the share of calibration samples whose
    interval is as wide; None, why, and None where there is none.

    Args:
        points: of the sample, by every run; spreads: of their score heads, None where there is none.
        by: as `calibration_for` takes it; the sample's group, or its class as it is given, not as the run
            says, decides.
    """
    known = [spread for spread in spreads if spread is not None]
    spread = float(np.mean(known)) if len(known) == len(points) else None
    column = column_of(by)
    label = sample.classes.get(column.removeprefix(CLASS_PREFIX))
    label = sample.group if column.startswith(GROUP) else label
    asked = np.array(points), spread, label, level, column
    interval, note = calibration.interval(*asked)
    return interval, note, None if interval is None else calibration.share_as_wide(*asked)
