"""Whether one run ranks better than another on the same test samples: the difference with an interval.

Two intervals that overlap say little, since both runs meet the same easy and hard samples. So every resample
of the test samples is given to all runs, and what is looked at is the difference.

An interval covers the choice of the test samples alone. The trained models stay as they are: what other
seeds, another training set or another split would give is not covered. The spread over seeds is given beside
it.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aqa_cache.errors import some

from ..errors import RunError
from .bootstrap import RESAMPLES, percentile_interval, resampled_means
from .metrics import spearman


@dataclass(frozen=True)
class SeedMean:
    """Spearman's rho of one family of seeds, averaged over the seeds.

    Args:
        value: mean over seeds; NaN where rho is not defined for one of them.
        low, high: 95 % interval of that mean over other test samples; None where it cannot be had.
        n: test samples.
        seeds: runs of the family.
        std: standard deviation over the seeds (divisor: seeds - 1); None for a single one.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    seeds: int
    std: float | None


@dataclass(frozen=True)
class Difference:
    """Mean rho of the first family minus that of the second.

    Args:
        value: positive where the first ranks better; NaN where rho is not defined for one of the runs.
        low, high: 95 % interval over other test samples, the same for all runs; None where it cannot be had.
        n: test samples.
        seeds: runs of the first and of the second family.
        std: standard deviation over the seeds of the first and of the second family; None for a single run.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    seeds: tuple[int, int]
    std: tuple[float | None, float | None]

    @property
    def clear(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low is not None and (self.low > 0 or self.high < 0)


def paired_difference(
    true: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    seed: int = 0,
    resamples: int = RESAMPLES,
    groups: Sequence[Hashable] | None = None,
) -> Difference:
    """Difference of the mean-over-seeds Spearman's rho of two families of runs, tested on the same samples.

    Args:
        seed: of the resampling.
        groups: of each sample; given, whole groups are resampled
            (`aqa_heads.evaluation.bootstrap.spearman_interval`).

    Shape:
        - true: `(samples,)`; first: `(seeds, samples)` or `(samples,)`; second: likewise, of as many seeds as
          it has.

    Raises:
        ValueError: the numbers of samples differ. `aligned` makes arrays that fit.

    >>> true = np.arange(50)
    >>> same = paired_difference(true, true % 40, true % 40)
    >>> same.value, same.low, same.high, same.clear
    (0.0, 0.0, 0.0, False)
    """
    true, first = _checked(true, first)
    true, second = _checked(true, second)
    (value, std), (other_value, other_std) = _over_seeds(true, first), _over_seeds(true, second)
    low, high = _interval(resampled_means(true, [first, second], seed, resamples, groups))
    seeds = len(first), len(second)
    return Difference(value - other_value, low, high, len(true), seeds, (std, other_std))


def seed_mean(
    true: np.ndarray,
    predicted: np.ndarray,
    seed: int = 0,
    resamples: int = RESAMPLES,
    groups: Sequence[Hashable] | None = None,
) -> SeedMean:
    """Mean over seeds of Spearman's rho, with the interval that resampling the test samples gives.

    It is the mean of the seeds' correlations, not the correlation of their mean prediction, which is an
    ensemble's.

    Args, shapes and errors as of `paired_difference`.
    """
    true, predicted = _checked(true, predicted)
    value, std = _over_seeds(true, predicted)
    low, high = _interval(resampled_means(true, [predicted], seed, resamples, groups))
    return SeedMean(value, low, high, len(true), len(predicted), std)


def aligned(
    runs: Mapping[str, Mapping[str, tuple[float, float]]],
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Bring the test predictions of several runs into one order.

    Args:
        runs: by name of the run, by sample_id: true and predicted score, in points.

    Returns:
        The sample_ids, true `(samples,)` and predicted `(runs, samples)`.

    Raises:
        RunError: two runs were tested on different samples, or a sample has different true scores in them.
    """
    name, reference = next(iter(runs.items()))
    for other, scores in runs.items():
        missing, more = (
            [key for key in one if key not in two] for one, two in ((reference, scores), (scores, reference))
        )
        if missing or more:
            said = [
                f"{len(keys):,} only in {run} ({some(keys)})"
                for run, keys in ((name, missing), (other, more))
                if keys
            ]
            raise RunError(
                f"{name} and {other} were tested on different samples: {'; '.join(said)}; only runs with the"
                " same test samples can be compared"
            )
        if changed := [key for key in reference if reference[key][0] != scores[key][0]]:
            raise RunError(
                f"{name} and {other}: {len(changed):,} test sample(s) have different true scores, such as"
                f" {changed[0]} with {reference[changed[0]][0]:g} and {scores[changed[0]][0]:g}; only runs on"
                " the same annotations can be compared"
            )
    ids = list(reference)
    predicted = np.array([[scores[key][1] for key in ids] for scores in runs.values()], float)
    return ids, np.array([reference[key][0] for key in ids], float), predicted


def _over_seeds(true: np.ndarray, predicted: np.ndarray) -> tuple[float, float | None]:
    rho = [spearman(made, true) for made in predicted]
    return float(np.mean(rho)), float(np.std(rho, ddof=1)) if len(rho) > 1 else None


def _interval(means: Sequence[np.ndarray] | None) -> tuple[float | None, float | None]:
    """The percentile interval of the first, or, where there is a second, of the first minus the second."""
    if means is None:
        return None, None
    first, *second = means
    return percentile_interval(first - second[0] if second else first) or (None, None)


def _checked(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    true, predicted = np.asarray(true, float), np.atleast_2d(np.asarray(predicted, float))
    if true.ndim != 1 or predicted.ndim != 2 or predicted.shape[1] != len(true) or not len(predicted):
        raise ValueError(
            f"got true scores of shape {true.shape} and predictions of shape {predicted.shape}, expected"
            " (samples,) and (seeds, samples) of the same test samples"
        )
    return true, predicted
