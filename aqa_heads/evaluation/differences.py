"""The interval around the difference of two new samples' scores: conformal, from pairs of held-out samples.

What a model says of two samples is off by the difference of its two errors. So pairs of held-out samples are
drawn, and the differences of their errors are calibrated as single errors are (`conformal`). Each sample is
in one pair, so that pairs are exchangeable with the new one, and the guarantee is that of single scores.
"""

import math
from dataclasses import dataclass

import numpy as np

from .calibration import NOT_STRICT, Calibration, Interval
from .conformal import coverage_range, fewest, half_width_of_groups

_SEED = 0  # of the drawing of pairs: the same run always says the same
_MOST_OF_A_GROUP = 100  # samples that are paired


@dataclass(frozen=True)
class DifferenceInterval:
    """What held-out pairs say of a difference.

    Args:
        interval: lowest and highest true difference, in points; None: the note says why.
        note: how it was made.
        share_as_large: of pairs of samples that are equally good, at least the share that the model says to
            differ as much; None where there are too few.
    """

    interval: Interval | None
    note: str
    share_as_large: float | None = None

    @property
    def clear(self) -> bool:
        """Whether the difference is more than noise: 0 is not in the interval."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


def difference_interval(
    calibration: Calibration,
    difference: float,
    spreads: tuple[float | None, float | None] = (None, None),
    same_group: bool = False,
    level: float = 0.9,
) -> DifferenceInterval:
    """The interval that holds the true difference of two new samples with probability `level`.

    Args:
        difference: of their predicted scores, in points.
        spreads: of the two, as `Calibration.spreads` has them; without effect where it has none.
        same_group: whether both are of one new group. Where whole groups were held out, pairs within groups
            are taken then, whose errors have more in common.
    """
    if calibration.lacking or calibration.signed is None:
        return DifferenceInterval(None, calibration.lacking or "no interval: there are no held-out samples")
    within = same_group and calibration.groups is not None
    first, second, unit = _pairs(calibration, within)
    number = len(np.unique(unit))
    what = f"{number} {calibration.members if within else _named(calibration)}"
    reached = coverage_range(number, level)
    if reached is None:
        possible = f"; they allow {int(100 * number / (number + 1))} % at most" if number else ""
        return DifferenceInterval(
            None,
            f"no interval of the difference: {what} are too few for {100 * level:g} %, which needs"
            f" {fewest(level)}{possible}",
        )
    errors, factor = np.abs(calibration.signed[first] - calibration.signed[second]), 1.0
    if calibration.spreads is not None and all(spreads):
        squares = calibration.spreads**2
        errors = errors / np.sqrt(squares[first] + squares[second])
        factor = math.hypot(*(spread for spread in spreads if spread))
    width = factor * half_width_of_groups(errors, unit.tolist(), level)
    weight = 1 / np.bincount(unit)[unit]
    share = (1 + weight[factor * errors >= abs(difference)].sum()) / (number + 1)
    said = [f"{100 * level:g} %, with {what}: {100 * reached[0]:.0f} to {100 * reached[1]:.0f} %"]
    if within:
        said.append("both are of one group: pairs within held-out groups")
    if calibration.folds is not None:
        said.append(NOT_STRICT)
    return DifferenceInterval(
        (difference - width, difference + width), "; ".join([*said, *calibration.caution]), float(share)
    )


def _named(calibration: Calibration) -> str:
    return f"pairs of held-out {'samples' if calibration.groups is None else calibration.members}"


def _pairs(calibration: Calibration, within: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The samples of each pair by number, and which unit it counts for, from 0 up: two samples, two groups
    drawn together, or, `within`, a group.
    """
    groups = calibration.groups or range(calibration.n)
    number = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    member = np.array([number[group] for group in groups], int)
    places = [np.flatnonzero(member == place) for place in range(len(number))]
    places = [of_group[:: -(-len(of_group) // _MOST_OF_A_GROUP)] for of_group in places]
    if within:
        made = [np.triu_indices(len(of_group), 1) for of_group in places]
        units = [(of_group[a], of_group[b]) for of_group, (a, b) in zip(places, made) if len(a)]
    else:
        drawn = np.random.default_rng(_SEED).permutation(len(places))
        units = [
            tuple(part.ravel() for part in np.meshgrid(places[a], places[b], indexing="ij"))
            for a, b in zip(drawn[::2], drawn[1::2])
        ]
    if not units:
        return (np.empty(0, int),) * 3
    first, second = (np.concatenate(side) for side in zip(*units))
    return first, second, np.repeat(np.arange(len(units)), [len(one[0]) for one in units])
