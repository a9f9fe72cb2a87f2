"""Laws of conformal intervals: they hold what they promise, on generated draws."""

import numpy as np
import pytest
from scipy.stats import beta, binom

from aqa_heads.evaluation.conformal import (
    clipped,
    coverage_range,
    cv_plus,
    fewest,
    half_width,
    half_width_of_groups,
    rank,
    risk_coverage,
    share_interval,
)

DRAWS = 2000
SIZES = [(n, level) for n in (9, 10, 20, 40, 100) for level in (0.8, 0.9)]


def within_limits(hits, share):
    """Whether so many of the draws are what a probability of `share` gives, but for 1 in 10,000."""
    low, high = binom.ppf([5e-5, 1 - 5e-5], DRAWS, share)
    return low <= hits <= high


def errors(n, seed=0):
    """Of a calibration of n and one new sample, with heavy tails and one-sided: `(DRAWS, n + 1)`."""
    return np.abs(np.random.default_rng([seed, n]).standard_t(3, (DRAWS, n + 1)) + 0.5)


@pytest.mark.parametrize(("n", "level"), SIZES)
def test_coverage_is_k_of_n_plus_1(n, level):
    drawn = errors(n)
    hits = int((drawn[:, n] <= half_width(drawn[:, :n], level)).sum())
    assert within_limits(hits, rank(n, level) / (n + 1)) and rank(n, level) / (n + 1) >= level - 1e-12


def test_too_few_have_none():
    assert np.isinf(half_width(errors(8)[:, :8], 0.9)).all() and coverage_range(8, 0.9) is None
    assert np.isinf(half_width_of_groups(np.ones(80), np.arange(80) % 8, 0.9))
    assert all(np.isinf(end) for end in cv_plus(np.ones(8), np.ones(8), 0.9))
    for level in (0.5, 0.8, 0.9, 0.95, 0.99):
        n = fewest(level)
        assert rank(n, level) <= n and rank(n - 1, level) > n - 1


@pytest.mark.parametrize(("n", "level"), SIZES)
def test_ranks_are_those_of_whole_numbers(n, level):
    """ceil((n + 1) level) in integers, where floating point misses by one."""
    assert rank(n, level) == -(-(n + 1) * round(100 * level) // 100)


def grouped(n, seed=0):
    """Errors of n groups and a new one, 4 samples of each, which have most of their error in common."""
    rng = np.random.default_rng([seed, n, 1])
    return np.abs(rng.normal(size=(DRAWS, n + 1, 1)) * 2 + rng.normal(size=(DRAWS, n + 1, 4)))


@pytest.mark.parametrize(("n", "level"), SIZES)
def test_of_exchangeable_groups_one_sample_each_covers_as_many(n, level):
    drawn, place = grouped(n), np.random.default_rng(n).integers(4, size=(DRAWS, n + 1, 1))
    one = np.take_along_axis(drawn, place, 2)[..., 0]
    assert within_limits(int((one[:, n] <= half_width(one[:, :n], level)).sum()), rank(n, level) / (n + 1))
    assert half_width_of_groups(one[0, :n], range(n), level) == half_width(one[0, :n], level)


@pytest.mark.parametrize(("n", "level"), [(9, 0.9), (10, 0.8), (20, 0.9)])
def test_all_samples_of_the_groups_cover_a_new_group_and_as_single_ones_they_do_not(n, level):
    drawn = grouped(n)[:600]
    names, new = np.arange(n).repeat(4), drawn[:, n, 0]
    wide = np.array([half_width_of_groups(each[:n].ravel(), names, level) for each in drawn])
    assert binom.cdf((new <= wide).sum(), 600, level) > 1e-4
    single = half_width(drawn[:, :n].reshape(600, -1), level)
    assert (new <= wide).mean() > (new <= single).mean()


def test_a_group_counts_once_however_many_samples_it_has():
    residuals, groups = np.arange(10.0), list(range(10))
    many = np.r_[residuals, np.full(500, 3.0)], [*groups, *[3] * 500]
    assert half_width_of_groups(*many, 0.8) == half_width_of_groups(residuals, groups, 0.8) == 8
    with pytest.raises(ValueError, match="9 groups for 10 residuals"):
        half_width_of_groups(residuals, groups[1:], 0.8)


@pytest.mark.parametrize("level", [0.8, 0.9])
@pytest.mark.parametrize("spread", [1.0, 4.0])
def test_scaled_by_any_spread_coverage_stays(level, spread):
    """Also where the spread says nothing of the errors."""
    rng = np.random.default_rng(3)
    said = np.exp(rng.normal(size=(DRAWS, 21)))
    drawn = np.abs(rng.normal(size=(DRAWS, 21))) * said ** (spread == 1)
    width = half_width(drawn[:, :20] / said[:, :20], level) * said[:, 20]
    assert within_limits(int((drawn[:, 20] <= width).sum()), rank(20, level) / 21)


@pytest.mark.parametrize(("n", "level"), [(20, 0.9), (40, 0.8)])
def test_cv_plus_covers_1_minus_2a(n, level):
    """A mean of the training samples, the worst of models, fitted without each of 5 folds."""
    rng = np.random.default_rng(n)
    y = rng.standard_t(3, (DRAWS, n + 1))
    fold = np.arange(n) % 5
    means = np.stack([y[:, :n][:, fold != each].mean(1) for each in range(5)], axis=1)
    predicted = means[:, fold]
    low, high = cv_plus(predicted, np.abs(y[:, :n] - predicted), level)
    hits = int(((low <= y[:, n]) & (y[:, n] <= high)).sum())
    assert binom.cdf(hits, DRAWS, 1 - 2 * (1 - level)) > 1e-4
    assert hits / DRAWS > level - 0.03  # in practice close to the level


def test_cv_plus_of_models_that_agree_is_the_interval_of_one():
    residuals = errors(20)[0, :20]
    low, high = cv_plus(np.full(20, 7.0), residuals, 0.9)
    np.testing.assert_allclose((7 - low, high - 7), half_width(residuals, 0.9))


def test_a_half_width_for_each_group_covers_each_group():
    """Mondrian: one class errs four times as far, and is covered as often as the other."""
    drawn = errors(40) * np.where(np.arange(41) % 2, 4, 1)
    for own in (slice(0, 40, 2), slice(1, 40, 2)):
        new = drawn[:, 40] * (4 if own.start else 1)
        hits = int((new <= half_width(drawn[:, own], 0.9)).sum())
        assert within_limits(hits, rank(20, 0.9) / 21)
    pooled = (drawn[:, 40] * 4 <= half_width(drawn[:, :40], 0.9)).mean()
    assert pooled < 0.85


def test_clipping_to_the_scale_loses_no_true_score():
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 100, 1000)
    centre, width = true + rng.normal(size=1000) * 20, rng.uniform(0, 40, 1000)
    low, high = clipped(centre - width, centre + width, (0.0, 100.0))
    before = (centre - width <= true) & (true <= centre + width)
    np.testing.assert_array_equal(before, (low <= true) & (true <= high))
    assert low.min() >= 0 and high.max() <= 100 and clipped(-3, 104, None) == (-3, 104)


@pytest.mark.parametrize(("n", "level"), SIZES)
def test_the_true_coverage_of_one_calibration_is_beta_distributed(n, level):
    """Of uniform residuals the half width is the coverage."""
    found = half_width(np.random.default_rng(n).random((DRAWS, n)), level)
    for place in (0.05, 0.5, 0.95):
        end = beta.ppf(place, rank(n, level), n + 1 - rank(n, level))
        assert within_limits(int((found <= end).sum()), place)
    low, high = coverage_range(n, level)
    assert within_limits(int(((low <= found) & (found <= high)).sum()), 0.9)


def test_the_interval_of_a_share_covers_it():
    shares, n = np.random.default_rng(0).uniform(0, 1, 300), 30
    ends = {hits: share_interval(hits, n) for hits in range(n + 1)}
    hits = np.random.default_rng(1).binomial(n, shares)
    inside = [ends[count][0] <= share <= ends[count][1] for count, share in zip(hits.tolist(), shares)]
    assert np.mean(inside) >= 0.95
    assert ends[0][0] == 0 and ends[n][1] == 1


def test_the_risk_of_all_is_the_mean_error_and_rises_with_widths_that_know():
    wide = np.random.default_rng(0).uniform(1, 5, 500)
    kept, risk = risk_coverage(wide * 0.3, wide)
    assert kept[-1] == 1 and risk[-1] == pytest.approx(wide.mean() * 0.3) and (np.diff(risk) > 0).all()
    assert [values.tolist() for values in risk_coverage([1, -3], [2, 2])] == [[1.0], [2.0]]


@pytest.mark.parametrize("level", [0, 1, 1.5, float("nan")])
def test_a_level_out_of_range_is_refused(level):
    with pytest.raises(ValueError, match="level is"):
        rank(10, level)


@pytest.mark.parametrize(("n", "level"), [(20, 0.8), (40, 0.9), (33, 0.85)])
def test_intervals_are_those_of_mapie(n, level):
    regression = pytest.importorskip("mapie.regression")
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, 1)), rng.normal(size=n)
    new = rng.normal(size=(5, 1))
    split = regression.SplitConformalRegressor(_Itself(), confidence_level=level, prefit=True)
    _, ends = split.conformalize(x, y).predict_interval(new)
    q = half_width(np.abs(y - x[:, 0]), level)
    np.testing.assert_allclose(ends[..., 0], np.stack([new[:, 0] - q, new[:, 0] + q], 1))


@pytest.mark.parametrize(("n", "level"), [(20, 0.8), (40, 0.9)])
def test_cv_plus_is_that_of_mapie(n, level):
    regression = pytest.importorskip("mapie.regression")
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import KFold

    rng = np.random.default_rng(n)
    x, y, new = rng.normal(size=(n, 2)), rng.normal(size=n), rng.normal(size=(5, 2))
    theirs = regression.CrossConformalRegressor(
        LinearRegression(), confidence_level=level, method="plus", cv=KFold(5)
    )
    _, ends = theirs.fit_conformalize(x, y).predict_interval(new)
    predicted, residuals = np.empty((5, n)), np.empty(n)
    for train, held in KFold(5).split(x):
        model = LinearRegression().fit(x[train], y[train])
        predicted[:, held] = model.predict(new)[:, None]
        residuals[held] = np.abs(y[held] - model.predict(x[held]))
    np.testing.assert_allclose(ends[..., 0], np.stack(cv_plus(predicted, residuals, level), 1))


class _Itself:
    """A model whose prediction is its input, as MAPIE wants one."""

    fitted_ = True

    def fit(self, x, y):
        return self

    def predict(self, x):
        return np.asarray(x)[:, 0]
