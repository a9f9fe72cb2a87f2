import numpy as np
import pytest
from scipy.stats import spearmanr

from aqa_heads.errors import RunError
from aqa_heads.evaluation.bootstrap import MIN_SAMPLES, spearman_interval
from aqa_heads.evaluation.comparison import aligned, paired_difference, seed_mean


@pytest.fixture
def runs():
    """True scores of 60 samples, three good runs and two worse ones."""
    generator = np.random.default_rng(0)
    true = generator.normal(size=60).round(1)
    return true, true + 0.7 * generator.normal(size=(3, 60)), true + 1.5 * generator.normal(size=(2, 60))


def rho(true, family):
    return np.array([spearmanr(true, made).statistic for made in family])


def test_difference_is_that_of_the_means_over_seeds(runs):
    true, first, second = runs
    found = paired_difference(true, first, second)
    assert found.value == pytest.approx(rho(true, first).mean() - rho(true, second).mean())
    assert found.std == pytest.approx((rho(true, first).std(ddof=1), rho(true, second).std(ddof=1)))
    assert (found.n, found.seeds) == (60, (3, 2))
    assert found.low < found.value < found.high and found.clear == (found.low > 0)


def test_every_resample_is_given_to_all_runs(runs):
    true, first, second = runs
    drawn = np.random.default_rng(5).integers(60, size=(150, 60))
    values = [rho(true[d], first[:, d]).mean() - rho(true[d], second[:, d]).mean() for d in drawn]
    found = paired_difference(true, first, second, seed=5, resamples=150)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))


def test_equal_runs_do_not_differ_at_all(runs):
    true, first, _ = runs
    found = paired_difference(true, first, first[::-1])
    assert (found.value, found.low, found.high) == pytest.approx((0, 0, 0), abs=1e-12)
    same = paired_difference(true, first[0], first[0])
    assert (same.value, same.low, same.high, same.clear, same.std) == (0, 0, 0, False, (None, None))


def test_exchanged_families_change_only_the_sign(runs):
    true, first, second = runs
    found, exchanged = paired_difference(true, first, second), paired_difference(true, second, first)
    assert exchanged.value == -found.value
    assert (exchanged.low, exchanged.high) == pytest.approx((-found.high, -found.low), abs=1e-12)


def test_runs_that_fail_on_the_same_samples_are_told_apart_where_single_intervals_overlap():
    generator = np.random.default_rng(0)
    true = generator.normal(size=200)
    first = true + generator.normal(size=200)
    second = first + 0.5 * generator.normal(size=200)
    assert spearman_interval(true, second)[1] > spearman_interval(true, first)[0]
    assert paired_difference(true, first, second).clear


def test_the_mean_of_one_seed_is_that_run(runs):
    true, first, _ = runs
    found = seed_mean(true, first[0])
    assert (found.low, found.high) == spearman_interval(true, first[0])
    assert found.value == pytest.approx(rho(true, first)[0]) and (found.seeds, found.std) == (1, None)


def test_a_mean_over_seeds_has_the_interval_of_the_mean(runs):
    true, first, _ = runs
    drawn = np.random.default_rng(2).integers(60, size=(150, 60))
    values = [rho(true[d], first[:, d]).mean() for d in drawn]
    found = seed_mean(true, first, seed=2, resamples=150)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
    assert found.value == pytest.approx(rho(true, first).mean())


def test_groups_are_resampled_whole(runs):
    true, first, second = runs
    assert paired_difference(true, first, second, groups=range(60)) == paired_difference(true, first, second)
    assert paired_difference(true, first, second, groups=[0, 1] * 30).low is None


def test_what_is_not_defined_has_no_interval(runs):
    true, first, second = runs
    constant = paired_difference(true, np.zeros(60), second)
    assert np.isnan(constant.value) and constant.low is None and not constant.clear
    few = paired_difference(
        true[: MIN_SAMPLES - 1], first[:, : MIN_SAMPLES - 1], second[:, : MIN_SAMPLES - 1]
    )
    assert few.low is None and np.isfinite(few.value)


def test_arrays_of_different_test_sets_are_refused(runs):
    true, first, second = runs
    with pytest.raises(ValueError, match=r"shape \(60,\) and predictions of shape \(2, 59\)"):
        paired_difference(true, first, second[:, :59])


def test_runs_are_brought_into_one_order():
    ids, true, predicted = aligned({"a": {"x": (1, 10), "y": (2, 20)}, "b": {"y": (2, 21), "x": (1, 11)}})
    assert ids == ["x", "y"] and true.tolist() == [1, 2] and predicted.tolist() == [[10, 20], [11, 21]]


def test_runs_on_different_samples_or_annotations_cannot_be_compared():
    first = {"x": (1, 10), "y": (2, 20)}
    with pytest.raises(
        RunError, match=r"a and b were tested on different samples: 1 only in a \(y\); 2 only in b \(v, w\)"
    ):
        aligned({"a": first, "b": {"x": (1, 11), "v": (1, 1), "w": (1, 1)}})
    with pytest.raises(RunError, match="1 test sample.* different true scores, such as y with 2 and 3"):
        aligned({"a": first, "b": {"x": (1, 11), "y": (3, 21)}})
