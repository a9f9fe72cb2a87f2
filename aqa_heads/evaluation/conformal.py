"""Intervals that hold a new sample's true score with a probability chosen beforehand: conformal prediction.

They are made of calibration samples, whose scores were predicted by models that did not learn from them, and
take nothing for granted of the model or of the errors' distribution; only that a new sample and those of the
calibration are exchangeable.

Source: Vovk, Gammerman & Shafer 2005, Algorithmic Learning in a Random World; CV+: Barber, Candes, Ramdas &
Tibshirani 2021, arXiv:1905.02928; groups: Lee, Barber & Willett 2023, arXiv:2306.06342.
"""

import math
from collections.abc import Hashable, Sequence
from functools import cache

import numpy as np

_ROUNDING = 1e-9  # of a rank: (1 - .9) * 10 is a little below 1


def rank(n: int, level: float) -> int:
    """Which of n residuals, from the smallest, is the half width: ceil((n + 1) level).

    Above n there is none: the calibration samples are too few.

    >>> rank(9, 0.9), rank(8, 0.9)
    (9, 9)
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected a number between 0 and 1")
    return math.ceil((n + 1) * level - _ROUNDING)


def fewest(level: float) -> int:
    """Calibration samples, or groups, that an interval of this level needs.

    >>> fewest(0.9), fewest(0.95), fewest(0.8)
    (9, 19, 4)
    """
    return math.ceil(level / (1 - level) - _ROUNDING)


def half_width(residuals: np.ndarray, level: float) -> np.ndarray:
    """The residual that covers a new one with probability `level` at least, and at most 1 / (n + 1) above
    where no two are equal.

    Args:
        residuals: |true - predicted|, or that divided by each sample's spread; then a new sample's interval
            is its own spread times what is given here.

    Shape: residuals: `(..., n)`. Output: `(...)`, infinite where n is below `fewest(level)`.

    >>> float(half_width([3, 1, 2, 4], 0.8)), float(half_width([3, 1, 2, 4], 0.9))
    (4.0, inf)
    """
    residuals = np.asarray(residuals, float)
    n = residuals.shape[-1]
    place = rank(n, level)
    if place > n:
        return np.full(residuals.shape[:-1], np.inf)
    return np.partition(residuals, place - 1, axis=-1)[..., place - 1]


def half_width_of_groups(residuals: np.ndarray, groups: Sequence[Hashable], level: float) -> float:
    """As `half_width`, where whole groups are exchangeable and not their samples: for a sample of a new
    group.

    Each of K groups weighs 1 / (K + 1), shared by its samples. With one sample of each it is `half_width`.

    Shape: residuals: `(n,)`; groups: n.
    """
    residuals = np.asarray(residuals, float)
    if len(groups) != len(residuals):
        raise ValueError(f"got {len(groups)} groups for {len(residuals)} residuals, expected one each")
    _, member, sizes = np.unique(_numbered(groups), return_inverse=True, return_counts=True)
    if len(sizes) < fewest(level):
        return math.inf
    order = np.argsort(residuals, kind="stable")
    reached = np.cumsum(1 / sizes[member[order]])  # of K + 1
    return float(residuals[order][np.searchsorted(reached, (len(sizes) + 1) * level - _ROUNDING)])


def _numbered(groups: Sequence[Hashable]) -> np.ndarray:
    number = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    return np.array([number[group] for group in groups], int)


def cv_plus(predicted: np.ndarray, residuals: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The interval of CV+, and of jackknife+ where each fold is one sample.

    Args:
        predicted: of a new sample, for each calibration sample by the model that did not learn from that one.

    Shape:
        - predicted: `(..., n)`, in points, equal within a fold; residuals: `(n,)` or as predicted.
        - Output: low and high `(...)`, infinite where n is below `fewest(level)`.

    It holds the true score with a probability close to `level` in practice, and `cv_plus_floor` at least.
    """
    predicted, residuals = np.broadcast_arrays(np.asarray(predicted, float), np.asarray(residuals, float))
    return -half_width(residuals - predicted, level), half_width(predicted + residuals, level)


def cv_plus_floor(n: int, folds: int, level: float) -> float:
    """What CV+ guarantees: 1 - 2 (1 - level), less a term for few folds of few samples (Barber et al. 2021,
    theorem 4), none with a fold for each sample.

    >>> round(cv_plus_floor(40, 40, 0.9), 3), round(cv_plus_floor(40, 5, 0.9), 3)
    (0.8, 0.654)
    """
    return 2 * level - 1 - min(2 * (1 - 1 / folds) / (n / folds + 1), (1 - folds / n) / (folds + 1))


def clipped(low, high, scale: tuple[float, float] | None):
    """The ends within the scale that scores can have, which costs no coverage; None: it is not known."""
    return (low, high) if scale is None else (np.clip(low, *scale), np.clip(high, *scale))


@cache
def coverage_range(n: int, level: float, middle: float = 0.9) -> tuple[float, float] | None:
    """How many of all new samples the intervals of one calibration hold: the middle share of what
    calibrations of n samples give, the beta distribution of k and n + 1 - k with k = `rank(n, level)`.

    None where n is below `fewest(level)`.

    >>> [round(end, 3) for end in coverage_range(20, 0.9)]
    [0.784, 0.982]
    """
    place = rank(n, level)
    if place > n:
        return None
    from scipy.special import betaincinv

    low, high = betaincinv(place, n + 1 - place, [(1 - middle) / 2, (1 + middle) / 2])
    return float(low), float(high)


def share_interval(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Of a share of n independent samples: Clopper and Pearson's, exact for the binomial distribution.

    >>> [round(end, 4) for end in share_interval(9, 10)]
    [0.555, 0.9975]
    """
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = betaincinv(hits, n - hits + 1, tail) if hits else 0.0
    high = betaincinv(hits + 1, n - hits, 1 - tail) if hits < n else 1.0
    return float(low), float(high)


def risk_coverage(errors: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean absolute error of those that are kept where the widest intervals are sent to a human.

    Shape: errors, widths: `(n,)`. Output: share kept and its mean absolute error, one entry for each width,
    ascending: samples of equal width are kept or sent together.

    >>> [values.tolist() for values in risk_coverage([1, 3, 2, 6], [1, 2, 1, 3])]
    [[0.5, 0.75, 1.0], [1.5, 2.0, 3.0]]
    """
    errors, widths = np.abs(np.asarray(errors, float)), np.asarray(widths, float)
    order = np.argsort(widths, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(widths[order]) > 0, True])
    return (last + 1) / len(widths), np.cumsum(errors[order])[last] / (last + 1)
