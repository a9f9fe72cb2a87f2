import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from aqa_heads.evaluation.uncertainty import (
    crps_of_distribution,
    crps_of_spread,
    interval_of_distribution,
    interval_of_spread,
    uncertainty,
)


@pytest.mark.parametrize("true", [-1.0, 2.0, 9.0])
def test_crps_of_a_normal_distribution_is_its_integral(true):
    def squared(x):
        return (norm.cdf(x, 2.0, 1.5) - (x >= true)) ** 2

    expected = quad(squared, -20, true)[0] + quad(squared, true, 30)[0]
    said = crps_of_spread(np.array([true]), np.array([2.0]), np.array([1.5]))
    np.testing.assert_allclose(said, expected, rtol=1e-6)
    # A fine distribution of the same shape has the same.
    points = np.linspace(-10, 14, 2001)[None]
    mass = norm.pdf(points, 2.0, 1.5)
    fine = crps_of_distribution(np.array([true]), points, mass / mass.sum())
    np.testing.assert_allclose(fine, expected, rtol=1e-3)


def test_right_spreads_cover_nine_tenths_and_wrong_ones_cost():
    generator = np.random.default_rng(0)
    spread = generator.uniform(1, 4, 4000)
    score = generator.normal(size=4000)
    true = score + spread * generator.normal(size=4000)
    right, narrow, wide = (
        uncertainty(true, score, factor * spread, interval_of_spread(score, factor * spread))
        for factor in (1, 0.3, 3)
    )
    assert right["coverage_90"] == pytest.approx(0.9, abs=0.02)
    assert narrow["coverage_90"] < 0.5 and wide["coverage_90"] > 0.99
    assert right["crps"] < min(narrow["crps"], wide["crps"])
    assert right["width_90"] == pytest.approx(2 * 1.6449 * spread.mean(), rel=1e-4)


def test_intervals_of_a_distribution_hold_ninety_percent_and_no_point_too_many():
    generator = np.random.default_rng(0)
    points = np.sort(generator.normal(size=(20, 9)), 1)
    probabilities = generator.dirichlet(np.ones(9), 20)
    low, high = interval_of_distribution(points, probabilities).T[:, :, None]
    inside = (points >= low) & (points <= high)
    assert ((probabilities * inside).sum(1) >= 0.9 - 1e-12).all()
    inner = inside & (points > low)
    assert ((probabilities * (points < low)).sum(1) < 0.05).all()
    assert ((probabilities * (inner & (points < high))).sum(1) < 0.95).all()


def test_without_samples_nothing_is_defined():
    empty = np.empty(0)
    found = uncertainty(empty, empty, empty, np.empty((0, 2)))
    assert found.pop("n") == 0 and all(np.isnan(value) for value in found.values())
