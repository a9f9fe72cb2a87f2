import numpy as np
import pytest
from scipy.stats import spearmanr

from aqa_heads.evaluation.bootstrap import (
    MAX_UNDEFINED,
    MIN_GROUPS,
    MIN_SAMPLES,
    drawn_counts,
    percentile_interval,
    resampled_means,
    resampled_spearman,
    spearman_interval,
)


@pytest.fixture
def scores():
    generator = np.random.default_rng(0)
    true = generator.integers(0, 12, 40)
    return true, true + generator.integers(-4, 4, 40)


def test_resampled_correlations_equal_those_of_copied_samples(scores):
    true, predicted = scores
    (counts,) = drawn_counts(40, seed=3, resamples=50)
    assert counts.shape == (50, 40) and (counts.sum(axis=1) == 40).all()
    copies = [np.repeat(np.arange(40), row) for row in counts]
    expected = [
        [spearmanr(true[rows], made[rows]).statistic for made in (predicted, -predicted)] for rows in copies
    ]
    found = resampled_spearman(true, np.array([predicted, -predicted]), counts)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_groups_are_drawn_whole(scores):
    true, predicted = scores
    groups = np.array(list("aabbbbccccccccdddddeeeeeeeeffgghhhhiiiii"))
    names = sorted(set(groups))
    drawn = np.random.default_rng(3).integers(len(names), size=(200, len(names)))
    rows = [np.concatenate([np.flatnonzero(groups == names[number]) for number in draw]) for draw in drawn]
    rho = [spearmanr(true[taken], predicted[taken]).statistic for taken in rows]
    found = spearman_interval(true, predicted, seed=3, resamples=200, groups=groups)
    assert found == pytest.approx(np.quantile(rho, [0.025, 0.975]))


def test_samples_that_are_their_own_groups_give_the_plain_interval(scores):
    assert spearman_interval(*scores, groups=range(40)) == spearman_interval(*scores)


def test_groups_whose_samples_are_alike_widen_the_interval():
    generator = np.random.default_rng(0)
    true, noise = (np.repeat(generator.normal(size=20), 10) for _ in range(2))
    groups = np.repeat(np.arange(20), 10)
    assert np.ptp(spearman_interval(true, true + noise, groups=groups)) > 2 * np.ptp(
        spearman_interval(true, true + noise)
    )


def test_too_few_groups_give_no_interval(scores):
    assert spearman_interval(*scores, groups=np.arange(40) % (MIN_GROUPS - 1)) is None
    assert spearman_interval(*scores, groups=np.arange(40) % MIN_GROUPS) is not None
    with pytest.raises(ValueError, match="got 39 groups for 40 samples"):
        spearman_interval(*scores, groups=range(39))


@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.3, 0.8])
@pytest.mark.parametrize("n", [20, 353])
def test_interval_contains_the_correlation_and_is_seeded(rho, n):
    rng = np.random.default_rng(n)
    true = rng.normal(size=n).round(1)
    predicted = rho * true + np.sqrt(1 - rho**2) * rng.normal(size=n)
    low, high = spearman_interval(true, predicted)
    assert low < spearmanr(true, predicted).statistic < high
    assert spearman_interval(true, predicted) == (low, high) != spearman_interval(true, predicted, seed=1)


def test_interval_equals_that_of_resampling_the_pairs_one_by_one():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 12, 30)
    predicted = true + rng.integers(-4, 4, 30)
    drawn = np.random.default_rng(3).integers(30, size=(200, 30))
    rho = [spearmanr(true[rows], predicted[rows]).statistic for rows in drawn]
    assert spearman_interval(true, predicted, seed=3, resamples=200) == pytest.approx(
        np.quantile(rho, [0.025, 0.975])
    )


def test_interval_is_narrower_with_more_samples_and_none_where_undefined():
    rng = np.random.default_rng(0)
    true = rng.normal(size=2000)
    predicted = true + rng.normal(size=2000)
    widths = [np.ptp(spearman_interval(true[:n], predicted[:n])) for n in (20, 200, 2000)]
    assert widths == sorted(widths, reverse=True)
    assert spearman_interval(true, np.zeros(2000)) is None
    assert spearman_interval(true[: MIN_SAMPLES - 1], predicted[: MIN_SAMPLES - 1]) is None
    rare = np.eye(40)[0]  # absent from (39/40)^40 = 36 % of the resamples
    assert spearman_interval(true[:40], rare) is None
    with pytest.raises(ValueError, match="expected two equal"):
        spearman_interval(true, predicted[:5])


def test_rows_of_seeds_have_the_means_of_their_runs_on_the_same_resamples(scores):
    true, first = scores
    second = np.roll(first, 3)
    together, alone = resampled_means(true, [np.array([first, second]), first[None]], seed=3, resamples=50)
    (counts,) = drawn_counts(40, seed=3, resamples=50)
    expected = resampled_spearman(true, np.array([first, second]), counts)
    np.testing.assert_array_equal(together, expected.mean(axis=1))
    np.testing.assert_array_equal(alone, expected[:, 0])


def test_folds_are_drawn_together_and_ranked_apart(scores):
    true, predicted = scores
    fold = np.arange(40) % 3
    row = np.array([np.where(fold == number, predicted, np.nan) for number in range(3)])
    (found,) = resampled_means(true, [row], seed=3, resamples=50)
    (counts,) = drawn_counts(40, seed=3, resamples=50)
    folds = [
        resampled_spearman(true[rows], predicted[None, rows], counts[:, rows])[:, 0]
        for rows in (fold == number for number in range(3))
    ]
    np.testing.assert_allclose(found, np.mean(folds, axis=0), atol=1e-12)


def test_groups_of_a_row_are_one_argument(scores):
    true, predicted = scores
    groups = np.arange(40) // 4
    (found,) = resampled_means(true, [predicted[None]], groups=groups)
    assert percentile_interval(found) == spearman_interval(true, predicted, groups=groups)
    assert resampled_means(true, [predicted[None]], groups=groups % (MIN_GROUPS - 1)) is None


@pytest.mark.parametrize("size", [2, 3])
def test_folds_of_two_or_three_samples_have_no_interval_and_no_warning(scores, size):
    true, predicted = (side.astype(float) for side in scores)
    fold = np.arange(40) // size
    row = np.array([np.where(fold == number, predicted, np.nan) for number in range(fold[-1] + 1)])
    (found,) = resampled_means(true, [row])
    # A resample that draws no or one sample of a fold, or the same one twice, has no mean over the folds.
    assert np.isnan(found).mean() > MAX_UNDEFINED and percentile_interval(found) is None
    (one_small,) = resampled_means(true, [np.array([np.r_[predicted[:37], [np.nan] * 3], row[-1]])])
    assert np.isnan(one_small).any()


def test_constant_predictions_have_no_interval_and_no_warning(scores):
    true, predicted = scores
    (found,) = resampled_means(true, [np.array([predicted, np.full(40, 5.0)])])
    assert np.isnan(found).all() and percentile_interval(found) is None
    assert spearman_interval(true, np.full(40, 5.0)) is None and spearman_interval([], []) is None
