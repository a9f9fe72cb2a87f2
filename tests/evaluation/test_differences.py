"""Laws of the interval around the difference of two new scores."""

from dataclasses import replace

import numpy as np
import pytest

from aqa_heads.evaluation.calibration import Calibration
from aqa_heads.evaluation.conformal import rank
from aqa_heads.evaluation.differences import difference_interval

DRAWS = 1000


def calibrated(signed, **more):
    return Calibration(np.abs(signed), signed=np.asarray(signed, float), **more)


@pytest.mark.parametrize(("n", "level"), [(18, 0.9), (40, 0.8), (41, 0.9)])
def test_it_holds_the_true_difference_as_often_as_it_says(n, level):
    """Of errors of any distribution: here skewed, and of a mean that is not 0."""
    rng = np.random.default_rng(0)
    errors = rng.exponential(3, size=(DRAWS, n + 2)) - 2
    held = [
        difference_interval(calibrated(row[:n]), 0.0, level=level).interval[1] >= abs(row[n] - row[n + 1])
        for row in errors
    ]
    pairs = n // 2
    expected = rank(pairs, level) / (pairs + 1)
    assert abs(np.mean(held) - expected) < 4 * np.sqrt(expected * (1 - expected) / DRAWS)


def test_of_whole_groups_it_holds_that_of_two_samples_of_new_groups():
    rng = np.random.default_rng(1)
    of_group, own = rng.normal(size=(DRAWS, 22, 1)) * 3, rng.normal(size=(DRAWS, 22, 3))
    errors = of_group + own
    groups = [f"g{place // 3}" for place in range(60)]
    apart, within = [], []
    for row in errors:
        known = calibrated(row[:20].ravel(), groups=groups)
        apart.append(difference_interval(known, 0.0).interval[1] >= abs(row[20, 0] - row[21, 0]))
        width = difference_interval(known, 0.0, same_group=True).interval[1]
        within.append(width >= abs(row[20, 0] - row[20, 1]))
    for held, units in ((apart, 10), (within, 20)):
        # A rank of pairs that share samples is a little more than that of single ones.
        assert 0.9 - 4 * 0.3 / np.sqrt(DRAWS) < np.mean(held) < 0.9 + 1 / (units + 1) + 0.02


def test_by_hand():
    """Four groups of one sample at 50 %: two pairs, of which both are needed."""
    known = calibrated([1.0, 4.0, -2.0, 0.5])
    found = difference_interval(known, 7.0, level=0.5)
    order = np.random.default_rng(0).permutation(4)
    widths = np.abs(known.signed[order[::2]] - known.signed[order[1::2]])
    assert found.interval == (7 - widths.max(), 7 + widths.max()) and found.clear
    assert found.share_as_large == pytest.approx((1 + (widths >= 7).sum()) / 3)
    assert difference_interval(known, 0.1, level=0.5).share_as_large == 1


def test_it_is_clear_where_the_share_is_small():
    known = calibrated(np.random.default_rng(2).normal(size=60))
    for difference in np.linspace(-4, 4, 41):
        found = difference_interval(known, difference, level=0.8)
        assert found.clear == (found.share_as_large <= 0.2 + 1e-9), difference


def test_spreads_scale_it():
    spreads = np.linspace(1, 3, 40)
    known = calibrated(spreads * np.random.default_rng(3).normal(size=40), spreads=spreads)
    narrow, wide = (difference_interval(known, 0.0, (s, s)).interval[1] for s in (1.0, 2.0))
    assert wide == pytest.approx(2 * narrow)
    plain = difference_interval(replace(known, spreads=None), 0.0).interval[1]
    assert difference_interval(known, 0.0, (None, 1.0)).interval[1] == plain


def test_too_few_or_none_is_said():
    found = difference_interval(calibrated(np.ones(17)), 3.0)
    assert found.interval is None and not found.clear
    assert found.note.startswith(
        "no interval of the difference: 8 pairs of held-out samples are too few for 90"
    )
    lacking = difference_interval(Calibration(lacking="no interval: why"), 3.0)
    assert (lacking.interval, lacking.note) == (None, "no interval: why")
    assert difference_interval(calibrated([1.0]), 3.0).interval is None
    alone = calibrated(np.ones(12), groups=[str(place) for place in range(12)])
    assert difference_interval(alone, 0.0, same_group=True).interval is None  # no group has two
