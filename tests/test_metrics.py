import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from aqa_heads.metrics import accuracy, mean_absolute_error, relative_l2, spearman


def test_spearman_equals_scipys_also_with_ties():
    generator = np.random.default_rng(0)
    for _ in range(5):
        predicted, true = generator.normal(size=40).round(1), generator.normal(size=40).round(0)
        assert spearman(predicted, true) == spearmanr(predicted, true).statistic


def test_spearman_oracle():
    assert spearman([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) == pytest.approx(0.82078, abs=1e-5)


@pytest.mark.parametrize("predicted, true", [([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [2, 2, 2]), ([1], [1]), ([], [])])
def test_spearman_of_constants_is_nan_without_a_warning(predicted, true):
    assert math.isnan(spearman(predicted, true))


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
