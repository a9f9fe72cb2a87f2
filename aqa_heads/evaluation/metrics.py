"""How well predictions agree with the truth. Inputs are arrays of equal length `(samples,)`.

Rank correlations are those of `scipy.stats`, to the bit, without it: it takes half a second to import, and
45 MB.
"""

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np


def spearman(predicted: np.ndarray, true: np.ndarray) -> float:
    """Spearman's rank correlation: Pearson's correlation of the ranks, ties sharing their mean rank.

    NaN where it is not defined: fewer than two samples, or one side all equal.

    >>> round(spearman([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]), 5)
    0.82078
    """
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if not _correlated(predicted, true):
        return math.nan
    ranks = np.column_stack([_ranks(predicted), _ranks(true)])
    return float(np.corrcoef(ranks, rowvar=False)[1, 0])


def kendall(predicted: np.ndarray, true: np.ndarray) -> float:
    """Kendall's rank correlation tau-b: (C - D) / sqrt((C + D + P) (C + D + T)).

    Of all pairs of samples, C are ordered alike by both, D oppositely, P tied only among the predictions, T
    only among the true values. NaN where Spearman's correlation is.

    Here 8 pairs are ordered alike, 1 oppositely, 1 is tied: 7 / sqrt(9 * 10).

    >>> round(kendall([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]), 5)
    0.73786
    """
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if not _correlated(predicted, true):
        return math.nan
    (_, p, tied), (_, t, tied_true) = (
        np.unique(values, return_inverse=True, return_counts=True) for values in (predicted, true)
    )
    tied_both = np.unique(p * len(tied_true) + t, return_counts=True)[1]
    total, *ties = (_pairs(counts) for counts in (np.array([len(p)]), tied, tied_true, tied_both))
    ordered = total - ties[0] - ties[1] + ties[2]
    agreement = ordered - 2 * _inversions(t[np.lexsort((t, p))])
    return float(np.clip(agreement / np.sqrt(total - ties[0]) / np.sqrt(total - ties[1]), -1, 1))


def pearson(predicted: np.ndarray, true: np.ndarray) -> float:
    """Pearson's linear correlation: sum(p t) / sqrt(sum(p^2) sum(t^2)), p and t being the deviations from
    their means.

    NaN where Spearman's correlation is.

    >>> round(pearson([1, 2, 3], [1, 2, 6]), 5)
    0.94491
    """
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if not _correlated(predicted, true):
        return math.nan
    # Lengths of 1, so that neither tiny nor huge deviations leave the range of float64 when they are
    # multiplied.
    p, t = (values - values.mean() for values in (predicted, true))
    p, t = (values / np.abs(values).max() for values in (p, t))
    return float(np.clip(np.dot(p / np.linalg.norm(p), t / np.linalg.norm(t)), -1, 1))


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


def per_group(
    predicted: np.ndarray, true: np.ndarray, groups: Sequence[Hashable | None]
) -> dict[Hashable, dict[str, Any]]:
    """Agreement within each group: how a model ranks actions of one competition, not competitions among each
    other.

    Args:
        groups: of each sample; samples whose group is None are in no group.

    Returns:
        By group, sorted: `n`, `spearman` (NaN where not defined) and `mae` (in points).

    >>> per_group([1, 2, 5], [1, 4, 5], ["a", "a", "b"])["b"]
    {'n': 1, 'spearman': nan, 'mae': 0.0}
    """
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if not len(predicted) == len(true) == len(groups):
        raise ValueError(
            f"got {len(predicted)} predicted, {len(true)} true and {len(groups)} groups, expected equal"
        )
    rows: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        if group is not None:
            rows.setdefault(group, []).append(row)
    return {
        group: {
            "n": len(rows[group]),
            "spearman": spearman(predicted[rows[group]], true[rows[group]]),
            "mae": mean_absolute_error(predicted[rows[group]], true[rows[group]]),
        }
        for group in sorted(rows)
    }


def plain_average(correlations: Sequence[float]) -> float:
    """Arithmetic mean of the folds' correlations, each fold counting the same.

    NaN where a fold's correlation is not defined, since leaving it out would be another average.

    >>> plain_average([0.5, 0.9])
    0.7
    """
    return float(np.mean(correlations)) if len(correlations) else math.nan


def fisher_z_average(correlations: Sequence[float]) -> float:
    """tanh(mean(artanh(rho))) over folds, each fold counting the same; artanh(rho) is Fisher's z.

    Never closer to 0 than the plain average of folds of one sign, so the two must not be compared. NaN where
    a fold's correlation is not defined, and where one is 1 or -1 but for rounding: its z is infinite and
    would decide the average alone. Report the plain average there.

    >>> round(fisher_z_average([0.5, 0.9]), 5)
    0.76608
    """
    rho = np.asarray(correlations, np.float64)
    if not len(rho) or not np.all(np.abs(rho) < 1 - 1e-9):
        return math.nan
    return float(np.tanh(np.mean(np.arctanh(rho))))


def _ranks(values: np.ndarray) -> np.ndarray:
    """From 1 on, equal values sharing their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _pairs(counts: np.ndarray) -> int:
    """Of the members of groups of these sizes, within their groups."""
    return int((counts * (counts - 1) // 2).sum())


def _inversions(values: np.ndarray) -> int:
    """Pairs of which the earlier one is greater, of whole numbers from 0 on."""
    found = 0
    for bit in reversed(range(int(values.max()).bit_length())):
        # By all higher bits they are sorted. Where these are equal: how many ones stand before each zero.
        higher, ones = values >> (bit + 1), values >> bit & 1
        before = np.cumsum(ones) - ones
        found += int((before - before[np.searchsorted(higher, higher)])[ones == 0].sum())
        values = values[np.argsort(values >> bit, kind="stable")]
    return found


def _correlated(predicted: np.ndarray, true: np.ndarray) -> bool:
    """Whether a correlation is defined."""
    return len(true) >= 2 and np.ptp(predicted) > 0 and np.ptp(true) > 0
