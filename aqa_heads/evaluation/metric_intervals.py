"""How far errors and Pearson's correlation could move with another test set of the same size."""

import numpy as np

from .bootstrap import RESAMPLES, drawn_counts, enough, percentile_interval


def metric_intervals(
    true: np.ndarray, predicted: np.ndarray, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of `mae`, `relative_l2` and `pearson`, from drawing samples with replacement,
    as if they were independent. The range that a squared error is relative to stays that of all samples.

    Shape: true, predicted: `(samples,)`, finite. Left out: what is not defined; with fewer than
    `bootstrap.MIN_SAMPLES` samples all.
    """
    true, predicted = np.asarray(true, float), np.asarray(predicted, float)
    if not enough(len(true), None):
        return {}
    error = predicted - true
    sizes, squares = np.abs(error), error**2
    means = {"mae": [], "relative_l2": [], "pearson": []}
    for counts in drawn_counts(len(true), seed, resamples):
        share = counts / len(true)
        means["mae"].append(share @ sizes)
        with np.errstate(invalid="ignore", divide="ignore"):
            means["relative_l2"].append(100 * (share @ squares) / np.ptp(true) ** 2)
            means["pearson"].append(_pearson(true, predicted, share))
    found = {name: percentile_interval(np.concatenate(parts)) for name, parts in means.items()}
    return {name: ends for name, ends in found.items() if ends is not None}


def _pearson(x: np.ndarray, y: np.ndarray, share: np.ndarray) -> np.ndarray:
    """In resamples, NaN where undefined. Shape: x, y: `(samples,)`; share: `(resamples, samples)`."""
    x, y = x - x.mean(), y - y.mean()  # so that little is lost in the differences
    mean_x, mean_y = share @ x, share @ y
    spread = (share @ x**2 - mean_x**2) * (share @ y**2 - mean_y**2)
    return (share @ (x * y) - mean_x * mean_y) / np.sqrt(np.where(spread > 0, spread, np.nan))
