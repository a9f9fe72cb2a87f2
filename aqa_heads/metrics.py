"""How well predictions agree with the truth. Inputs are arrays of equal length `(samples,)`."""

import math

import numpy as np


def spearman(predicted: np.ndarray, true: np.ndarray) -> float:
    """Spearman's rank correlation: Pearson's correlation of the ranks, ties sharing their mean rank.

    NaN where it is not defined: fewer than two samples, or one side all equal.

    >>> round(spearman([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]), 5)
    0.82078
    """
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if len(true) < 2 or np.ptp(predicted) == 0 or np.ptp(true) == 0:
        return math.nan
    from scipy.stats import spearmanr

    return float(spearmanr(predicted, true).statistic)


def relative_l2(predicted: np.ndarray, true: np.ndarray) -> float:
    """R-l2 x 100 as defined by CoRe: 100 * mean(((predicted - true) / (max(true) - min(true)))^2).

    A squared error, relative to the range of these true scores. NaN without samples or range.

    >>> relative_l2([0, 5, 10], [0, 5, 20])
    8.333333333333332
    """
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if not len(true) or np.ptp(true) == 0:
        return math.nan
    return float(100 * np.mean(((predicted - true) / np.ptp(true)) ** 2))


def mean_absolute_error(predicted: np.ndarray, true: np.ndarray) -> float:
    """mean(|predicted - true|), in points; NaN without samples."""
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    return float(np.mean(np.abs(predicted - true))) if len(true) else math.nan


def accuracy(predicted: np.ndarray, true: np.ndarray) -> float:
    """Share of equal entries, 0 to 1; NaN without samples."""
    return float(np.mean(np.asarray(predicted) == np.asarray(true))) if len(true) else math.nan
