"""How far a correlation could move with another test set of the same size: a bootstrap over the test samples."""

import numpy as np

RESAMPLES = 2000
# With fewer samples a percentile interval says more about ties among the resampled than about the correlation.
MIN_SAMPLES = 10
# A share of the resamples: leaving out many would make the interval one of the lucky draws.
MAX_UNDEFINED = 0.05
_CHUNK_VALUES = 4_000_000


def spearman_interval(
    true: np.ndarray, predicted: np.ndarray, seed: int = 0, resamples: int = RESAMPLES, level: float = 0.95
) -> tuple[float, float] | None:
    """Percentile interval of Spearman's rho, from resampling the pairs with replacement.

    A resample is kept as how often each pair was drawn; ranks then follow from cumulative counts, without sorting
    again, and rho is Pearson's correlation of those (tie-averaged) ranks, weighted by the counts.

    Args:
        seed: of the resampling; equal input and seed give equal intervals.
        level: share of the resamples between the two ends.

    Shape:
        - true, predicted: `(samples,)`, finite.
        - Output: two floats, low and high; None with fewer than `MIN_SAMPLES` samples, or where rho is undefined
          because one of the two is constant, in all samples or in more than `MAX_UNDEFINED` of the resamples.

    The samples are drawn as if they were independent. Where they come from few groups (competitions, persons), the
    interval is too narrow.

    >>> low, high = spearman_interval(np.arange(50), np.arange(50) % 40)
    >>> low < 0.56 < high
    True
    """
    true, predicted = np.asarray(true, float), np.asarray(predicted, float)
    if true.shape != predicted.shape or true.ndim != 1:
        raise ValueError(f"true and predicted: got shapes {true.shape} and {predicted.shape}, expected two equal (n,)")
    samples = len(true)
    if samples < MIN_SAMPLES or np.ptp(true) == 0 or np.ptp(predicted) == 0:
        return None
    generator = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_VALUES // samples)
    found = []
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = generator.integers(samples, size=(rows, samples)) + np.arange(rows)[:, None] * samples
        counts = np.bincount(drawn.ravel(), minlength=rows * samples).reshape(rows, samples)
        found.append(_weighted_correlation(_ranks(true, counts), _ranks(predicted, counts), counts))
    rho = np.concatenate(found)
    rho = rho[np.isfinite(rho)]
    if len(rho) < (1 - MAX_UNDEFINED) * resamples:
        return None
    low, high = np.quantile(rho, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _ranks(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean rank of every sample among the drawn ones. counts: `(resamples, samples)`. Output: the same shape."""
    order = np.argsort(values, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(values[order]) != 0])
    tied = np.add.reduceat(counts[:, order], first, axis=1)
    rank = np.cumsum(tied, axis=1) - (tied - 1) / 2
    group = np.empty(len(values), int)
    group[order] = np.repeat(np.arange(len(first)), np.diff(np.r_[first, len(values)]))
    return rank[:, group]


def _weighted_correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each row. All three: `(rows, samples)`. Output: `(rows,)`, NaN where undefined."""
    total = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    spread = np.sqrt((weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weights * x * y).sum(axis=1) / spread
