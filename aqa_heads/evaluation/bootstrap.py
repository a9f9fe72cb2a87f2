"""How far a correlation could move with another test set of the same size: a bootstrap over the test samples,
or over whole groups of them. Every interval of a run, a row or a difference is made here.
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
_CHUNK_VALUES = 250_000  # 2 MB an array, of which there are some ten


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
    if not len(true) or np.ptp(true) == 0 or np.ptp(predicted) == 0:
        return None
    means = resampled_means(true, [predicted[None]], seed, resamples, groups)
    return None if means is None else percentile_interval(means[0], level)


def resampled_means(
    true: np.ndarray,
    rows: Sequence[np.ndarray],
    seed: int = 0,
    resamples: int = RESAMPLES,
    groups: Sequence[Hashable] | None = None,
) -> list[np.ndarray] | None:
    """Mean over the runs of each row of Spearman's rho, in resamples that are the same for all rows.

    The difference of two of them is that of the two rows on the same resamples, so its percentiles are a
    paired interval (`aqa_heads.evaluation.comparison`).

    Args:
        seed: of the resampling; the draws depend on it, on the number of samples (of groups) and on nothing
            else.
        groups: of each sample (competition, person). Given, whole groups are drawn instead of samples.

    Shape:
        - true: `(samples,)`, finite.
        - rows: each `(runs, samples)`; NaN where a run was not tested on a sample, since another fold was.
        - Output: each `(resamples,)`, NaN where rho of one of the runs is undefined; None with fewer than
          `MIN_SAMPLES` samples or `MIN_GROUPS` groups.

    All samples are drawn together, whatever run they were tested in.
    """
    if not enough(len(true), groups):
        return None
    tests = [_by_test(row) for row in rows]
    found: list[list[np.ndarray]] = [[] for _ in rows]
    for counts in drawn_counts(len(true), seed, resamples, groups):
        ranked: dict[bytes, tuple] = {}  # the truth is ranked once for all runs with the same test samples
        for mine, row, of_row in zip(found, rows, tests, strict=True):
            total = 0.0
            for columns, predicted in of_row:
                key = columns.tobytes()
                if key not in ranked:
                    drawn = counts if len(columns) == len(true) else np.take(counts, columns, axis=1)
                    ranked[key] = drawn, _deviations(true[columns], drawn)
                drawn, truth = ranked[key]
                rho = [_correlation(truth, _deviations(made, drawn), drawn) for made in predicted]
                total = total + np.stack(rho, axis=1).sum(axis=1)
            mine.append(total / len(row))
    return [np.concatenate(parts) for parts in found]


def _by_test(row: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The runs by the samples that they were tested on: columns, and predictions `(runs, columns)`."""
    tests: dict[bytes, list[np.ndarray]] = {}
    for run in row:
        tests.setdefault(np.flatnonzero(np.isfinite(run)).tobytes(), []).append(run)
    columns = {key: np.frombuffer(key, np.intp) for key in tests}
    return [(columns[key], np.array(runs)[:, columns[key]]) for key, runs in tests.items()]


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
    truth = _deviations(np.asarray(true), counts)
    return np.stack([_correlation(truth, _deviations(made, counts), counts) for made in predicted], axis=1)


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


def _deviations(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every sample's rank from the mean rank, and the sum of their squares, weighted by the counts.

    Shape: values: `(samples,)`; counts: `(resamples, samples)`. Output: as counts, and `(resamples,)`; NaN in
    a resample that drew none of these samples, as happens to a small fold.
    """
    ranks = _ranks(values, counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        ranks = ranks - (counts * ranks).sum(axis=1, keepdims=True) / counts.sum(axis=1, keepdims=True)
    return ranks, (counts * ranks * ranks).sum(axis=1)


def _correlation(x: tuple, y: tuple, counts: np.ndarray) -> np.ndarray:
    """Pearson's of two sides as `_deviations` gives them. Output: `(resamples,)`, NaN where undefined."""
    (x, x_squares), (y, y_squares) = x, y
    with np.errstate(invalid="ignore", divide="ignore"):
        return (counts * x * y).sum(axis=1) / np.sqrt(x_squares * y_squares)
