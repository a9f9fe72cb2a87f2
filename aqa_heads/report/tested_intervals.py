"""Intervals around the scores of the test samples, made from what the runs were calibrated with."""

from dataclasses import dataclass

import numpy as np

from ..evaluation.calibration import Calibration, calibration_of
from ..evaluation.conformal import coverage_range
from .families import Family
from .wording import grouped

LEVEL = 0.9


@dataclass(frozen=True)
class TestedIntervals:
    """The scored test samples of a row with their intervals.

    Shape: true, predicted, low, high: `(samples,)`, in points.
    """

    family: Family
    calibrations: tuple[Calibration, ...]
    sample_ids: tuple[str, ...]
    groups: tuple[str, ...]
    true: np.ndarray
    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        return (self.low <= self.true) & (self.true <= self.high)

    @property
    def width(self) -> np.ndarray:
        return self.high - self.low


def tested_intervals(family: Family) -> TestedIntervals | None:
    """Runs that were tested on the same fold are averaged; None where one fold has no calibration."""
    calibrations, rows = [], []
    for results in grouped(family.results, lambda result: result.fold).values():
        calibration = calibration_of([result.run for result in results])
        calibrations.append(calibration)
        if calibration.lacking or coverage_range(calibration.n, LEVEL) is None:
            return None
        spreads = [result.test.spreads for result in results]
        for name, (true, _) in results[0].scored.items():
            if not all(name in result.scored for result in results):
                continue
            points = np.array([result.scored[name][1] for result in results])
            spread = [of_run.get(name) for of_run in spreads]
            mean = None if None in spread else float(np.mean(spread))
            group = results[0].test.groups[results[0].test.place[name]]
            ends, _ = calibration.interval(points, mean, group or None, LEVEL)
            rows.append((name, group, true, points.mean(), *ends))
    if not rows:
        return None
    names, groups, *numbers = zip(*rows, strict=True)
    return TestedIntervals(
        family, tuple(calibrations), names, groups, *(np.array(each, float) for each in numbers)
    )
