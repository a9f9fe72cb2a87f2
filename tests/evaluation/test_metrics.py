import math

import numpy as np
import pytest
from scipy.stats import kendalltau, pearsonr, spearmanr

from aqa_heads.evaluation.metrics import (
    accuracy,
    fisher_z_average,
    kendall,
    mean_absolute_error,
    pearson,
    per_group,
    plain_average,
    relative_l2,
    spearman,
)


def test_correlations_equal_scipys_also_with_ties():
    generator = np.random.default_rng(0)
    for _ in range(5):
        predicted, true = generator.normal(size=40).round(1), generator.normal(size=40).round(0)
        assert spearman(predicted, true) == spearmanr(predicted, true).statistic
        assert kendall(predicted, true) == kendalltau(predicted, true).statistic
        assert pearson(predicted, true) == pytest.approx(pearsonr(predicted, true).statistic, abs=1e-12)


def test_kendall_by_hand():
    # Of the three pairs, one is ordered alike, one oppositely, and one is tied among the true: 0 / sqrt(2 *
    # 3).
    assert kendall([2, 3, 1], [1, 2, 2]) == 0
    # Two alike, none oppositely, one tied among the true: 2 / sqrt(2 * 3).
    assert kendall([1, 2, 3], [1, 2, 2]) == pytest.approx(2 / math.sqrt(6))


def test_pearson_does_not_depend_on_scale_and_never_leaves_its_range():
    true = np.random.default_rng(0).normal(size=30)
    for scale in (1e-200, 1.0, 1e200):
        assert pearson(scale * true, true) == pytest.approx(1, abs=1e-12) and pearson(scale * true, true) <= 1
        assert pearson(-scale * true, true) == pytest.approx(-1, abs=1e-12)


def test_spearman_oracle():
    assert spearman([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) == pytest.approx(0.82078, abs=1e-5)


@pytest.mark.parametrize(
    "predicted, true", [([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [2, 2, 2]), ([1], [1]), ([], [])]
)
def test_correlation_with_a_constant_is_nan_without_a_warning(predicted, true):
    assert all(math.isnan(correlation(predicted, true)) for correlation in (spearman, kendall, pearson))


def test_relative_l2_by_hand():
    # Errors 1, 0 and -2 over a range of 10: (0.01 + 0 + 0.04) / 3 * 100.
    assert relative_l2([11, 15, 18], [10, 15, 20]) == pytest.approx(5 / 3)


def test_relative_l2_takes_the_range_of_the_true_scores():
    assert relative_l2([0, 100], [0, 10]) == pytest.approx(100 * 81 / 2)
    assert math.isnan(relative_l2([1, 2], [3, 3])) and math.isnan(relative_l2([], []))


def test_mean_absolute_error_and_accuracy_by_hand():
    assert mean_absolute_error([1, 2, 6], [2, 2, 4]) == 1.0
    assert accuracy(["a", "b", "c", "a"], ["a", "b", "b", "b"]) == 0.5
    assert math.isnan(mean_absolute_error([], [])) and math.isnan(accuracy([], []))


def test_per_group_is_the_metric_of_each_group_alone():
    predicted, true = [1.0, 9.0, 3.0, 2.0, 5.0, 7.0], [1.0, 5.0, 2.0, 3.0, 5.0, 7.0]
    found = per_group(predicted, true, ["b", "a", "b", "b", None, "c"])
    assert list(found) == ["a", "b", "c"]
    assert found["b"] == {"n": 3, "spearman": pytest.approx(0.5), "mae": pytest.approx(2 / 3)}
    assert found["a"]["n"] == 1 and found["a"]["mae"] == 4 and math.isnan(found["a"]["spearman"])
    with pytest.raises(ValueError, match="got 6 predicted, 6 true and 1 groups"):
        per_group(predicted, true, ["a"])


def test_averages_over_folds_by_hand():
    assert plain_average([0.2, 0.4, 0.9]) == pytest.approx(0.5)
    # z = artanh: log(3) / 2 and log(19) / 2; tanh(log(57) / 4) = (sqrt(57) - 1) / (sqrt(57) + 1).
    assert fisher_z_average([0.5, 0.9]) == pytest.approx((math.sqrt(57) - 1) / (math.sqrt(57) + 1))
    assert fisher_z_average([0.3, 0.3]) == pytest.approx(0.3) and fisher_z_average([-0.5, 0.5]) == 0


@pytest.mark.parametrize(
    "rho", [[1.0, 0.5], [-1.0, 0.5], [0.9999999999999998, 0.5], [-1 + 1e-15, 0.5], [math.nan, 0.5], []]
)
def test_fisher_z_average_is_not_defined_where_a_z_is_not_finite(rho):
    assert math.isnan(fisher_z_average(rho))
    assert (
        plain_average(rho) == pytest.approx(sum(rho) / 2, nan_ok=True)
        if rho
        else math.isnan(plain_average(rho))
    )
