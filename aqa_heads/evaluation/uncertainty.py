"""How good what is said beside a score is: its spread, its distribution. Everything is in points.

Shape: true, score, spread: `(samples,)`; interval: `(samples, 2)`; points, probabilities: `(samples, bins)`.
"""

import math

import numpy as np

# Of the scores, how many are to lie in an interval, and how many deviations of a normal distribution that is.
SHARE = 0.9
_DEVIATIONS = 1.6448536269514722


def uncertainty(
    true: np.ndarray,
    score: np.ndarray,
    spread: np.ndarray,
    interval: np.ndarray,
    distribution: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, float]:
    """How good spreads are on samples whose true scores are known.

    Args:
        distribution: points and probabilities; None: normal distributions of this spread.

    Returns:
        `n`; `crps`: mean continuous ranked probability score, in points, which of a score without a spread is
        the mean absolute error; `coverage_90`: the share of true scores within the interval, .9 where it is
        right; `width_90`: its mean width. NaN without samples.
    """
    if not len(true):
        return {"n": 0, **dict.fromkeys(("crps", "coverage_90", "width_90"), math.nan)}
    crps = (
        crps_of_spread(true, score, spread)
        if distribution is None
        else crps_of_distribution(true, *distribution)
    )
    low, high = interval.T
    return {
        "n": len(true),
        "crps": float(crps.mean()),
        "coverage_90": float(((low <= true) & (true <= high)).mean()),
        "width_90": float((high - low).mean()),
    }


def crps_of_spread(true: np.ndarray, score: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Of normal distributions: s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = (true - score) / s; where
    the spread s is 0, |true - score|.

    Source: Gneiting & Raftery 2007, Strictly proper scoring rules, JASA 102, equation 21.

    >>> crps_of_spread(np.array([1.0, 3.0]), np.array([1.0, 1.0]), np.array([1.0, 0.0])).round(4).tolist()
    [0.2337, 2.0]
    """
    from scipy.special import ndtr

    z = np.divide(true - score, spread, out=np.zeros_like(score), where=spread > 0)
    density = np.exp(-np.square(z) / 2) / math.sqrt(2 * math.pi)
    said = spread * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi))
    return np.where(spread > 0, said, np.abs(true - score))


def crps_of_distribution(true: np.ndarray, points: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Of distributions over points in rising order: E|X - true| - E|X - X'| / 2.

    Source: as `crps_of_spread`, equation 20.

    >>> crps_of_distribution(np.array([0.0]), np.array([[0.0, 2.0]]), np.array([[0.5, 0.5]])).tolist()
    [0.5]
    """
    below = probabilities.cumsum(1)[:, :-1]
    apart = (below * (1 - below) * np.diff(points, axis=1)).sum(1)
    return (probabilities * np.abs(points - true[:, None])).sum(1) - apart


def interval_of_spread(score: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Between which points a normal distribution has 90 % of its mass: `(samples, 2)`."""
    return score[:, None] + spread[:, None] * np.array([-_DEVIATIONS, _DEVIATIONS])


def interval_of_distribution(points: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """From the first point that at most 5 % lie below to the first that at most 5 % lie above."""
    below, rows = probabilities.cumsum(1), np.arange(len(points))
    ends = [(below >= mass).argmax(1) for mass in ((1 - SHARE) / 2, (1 + SHARE) / 2)]
    return np.stack([points[rows, end] for end in ends], 1)
