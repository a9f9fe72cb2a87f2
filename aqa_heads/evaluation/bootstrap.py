"""How far a correlation could move with another test set of the same size: a bootstrap over the test
samples.
"""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

RESAMPLES = 2000
# With fewer samples a percentile interval says more about ties among the resampled than about the
# correlation.
MIN_SAMPLES = 10
# Fewer groups than this give so few different resamples that a percentile of them means nothing.
MIN_GROUPS = 5
# A share of the resamples: leaving out many would make the interval one of the lucky draws.
MAX_UNDEFINED = 0.05
_CHUNK_VALUES = 4_000_000


def spearman_interval(
    true: np.ndarray,
    predicted: np.ndarray,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    groups: Sequence[Hashable] | None = None,
) -> tuple[float, float] | None:
    """Percentile interval of Spearman's rho, from resampling the pairs with replacement.

    Args:
        seed: of the resampling; equal input and seed give equal intervals.
        level: share of the resamples between the two ends.
        groups: of each sample (competition, person). Given, whole groups are drawn instead of samples.

    Shape:
        - true, predicted: `(samples,)`, finite.
        - Output: two floats, low and high; None with fewer than `MIN_SAMPLES` samples or `MIN_GROUPS` groups,
          or where rho is undefined because one of the two is constant, in all samples or in more than
          `MAX_UNDEFINED` of the resamples.

    Without `groups` the samples are drawn as if they were independent; where they come from few groups, the
    interval is too narrow for other groups. With them it speaks of other groups of the same kind; below some
    30 groups it is still somewhat too narrow.

    >>> low, high = spearman_interval(np.arange(50), np.arange(50) % 40)
    >>> low < 0.56 < high
    True
    """
    true, predicted = np.asarray(true, float), np.asarray(predicted, float)
    if true.shape != predicted.shape or true.ndim != 1:
        raise ValueError(
            f"true and predicted: got shapes {true.shape} and {predicted.shape}, expected two equal (n,)"
        )
    if not enough(len(true), groups) or np.ptp(true) == 0 or np.ptp(predicted) == 0:
        return None
    drawn = drawn_counts(len(true), seed, resamples, groups)
    rho = [resampled_spearman(true, predicted[None], counts)[:, 0] for counts in drawn]
    return percentile_interval(np.concatenate(rho), level)


def enough(samples: int, groups: Sequence[Hashable] | None) -> bool:
    """Whether there is enough to resample."""
    return samples >= MIN_SAMPLES and (groups is None or len(set(groups)) >= MIN_GROUPS)


def drawn_counts(
    samples: int, seed: int, resamples: int, groups: Sequence[Hashable] | None = None
) -> Iterator[np.ndarray]:
    """How often each sample was drawn in each resample, some resamples at a time: `(rows, samples)` int64."""
    if groups is not None and len(groups) != samples:
        raise ValueError(f"got {len(groups)} groups for {samples} samples, expected one each")
    drawable, member = samples, None
    if groups is not None:
        number = {group: place for place, group in enumerate(dict.fromkeys(groups))}
        drawable, member = len(number), [number[group] for group in groups]
    generator = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_VALUES // samples)
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = generator.integers(drawable, size=(rows, drawable)) + np.arange(rows)[:, None] * drawable
        counts = np.bincount(drawn.ravel(), minlength=rows * drawable).reshape(rows, drawable)
        yield counts if member is None else counts[:, member]


def resampled_spearman(true: np.ndarray, predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Spearman's rho of each prediction in each resample, NaN where undefined.

    With counts instead of copies, ranks follow from cumulative counts without sorting again, and rho is
    Pearson's correlation of those (tie-averaged) ranks, weighted by the counts.

    Shape:
        - true: `(samples,)`; predicted: `(predictions, samples)`; counts: `(resamples, samples)`.
        - Output: `(resamples, predictions)`.
    """
    ranks = _ranks(true, counts)
    return np.stack(
        [_weighted_correlation(ranks, _ranks(made, counts), counts) for made in predicted], axis=1
    )


def percentile_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float] | None:
    """The ends of the middle `level` of the resamples `(resamples,)`; None if too many are undefined."""
    defined = values[np.isfinite(values)]
    if len(defined) < (1 - MAX_UNDEFINED) * len(values):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _ranks(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean rank of every sample among the drawn ones. counts: `(resamples, samples)`. Output: the same
    shape.
    """
    order = np.argsort(values, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(values[order]) != 0])
    tied = np.add.reduceat(counts[:, order], first, axis=1)
    rank = np.cumsum(tied, axis=1) - (tied - 1) / 2
    group = np.empty(len(values), int)
    group[order] = np.repeat(np.arange(len(first)), np.diff(np.r_[first, len(values)]))
    return rank[:, group]


def _weighted_correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each row. All three: `(rows, samples)`. Output: `(rows,)`, NaN where
    undefined.
    """
    total = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    spread = np.sqrt((weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weights * x * y).sum(axis=1) / spread
