"""Intervals of errors are those of plain resampling."""

import numpy as np
import pytest
from scipy.stats import pearsonr

from aqa_heads.evaluation.bootstrap import drawn_counts
from aqa_heads.evaluation.metric_intervals import metric_intervals
from aqa_heads.evaluation.metrics import mean_absolute_error


def draw(n=40, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.normal(60, 15, n)
    return true, true + rng.normal(0, 8, n)


def test_they_are_the_percentiles_of_the_metric_of_copied_samples():
    true, predicted = draw()
    values = {"mae": [], "relative_l2": [], "pearson": []}
    for counts in np.concatenate(list(drawn_counts(40, 3, 200))):
        own = np.repeat(np.arange(40), counts)
        values["mae"].append(mean_absolute_error(predicted[own], true[own]))
        values["relative_l2"].append(100 * np.mean(((predicted - true)[own] / np.ptp(true)) ** 2))
        values["pearson"].append(pearsonr(predicted[own], true[own]).statistic)
    found = metric_intervals(true, predicted, seed=3, resamples=200)
    assert found.keys() == values.keys()
    for name, each in values.items():
        assert found[name] == pytest.approx(np.quantile(each, [0.025, 0.975]), rel=1e-9), name


def test_they_cover_the_mean_error():
    expected = 8 * np.sqrt(2 / np.pi)
    inside = [
        low < expected < high
        for seed in range(200)
        for low, high in [metric_intervals(*draw(60, seed), resamples=400)["mae"]]
    ]
    assert 0.88 <= np.mean(inside) <= 0.99


def test_what_is_not_defined_has_none():
    true, predicted = draw()
    assert metric_intervals(true[:9], predicted[:9]) == {}
    assert metric_intervals(true, np.full(40, 3.0)).keys() == {"mae", "relative_l2"}
    assert metric_intervals(np.full(40, 3.0), predicted).keys() == {"mae"}
