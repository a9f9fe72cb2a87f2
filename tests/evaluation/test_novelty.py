"""Laws of what is unlike the training samples."""

import numpy as np
import pytest
from scipy.stats import binom

from aqa_heads.evaluation import novelty
from aqa_heads.evaluation.novelty import fewest_known, share_as_far


def by_hand(new, known, groups, neighbours):
    """Without the tricks: everyone's neighbours sought anew."""

    def far(place):
        others = [
            np.linalg.norm(everyone[place] - everyone[other])
            for other in range(len(everyone))
            if of[other] != of[place]
        ]
        return np.mean(sorted(others)[:neighbours])

    shares = []
    for sample in new:
        everyone, of = [*known, sample], [*groups, "new"]
        mine, total = far(len(known)), 1.0
        for group in dict.fromkeys(groups):
            total += np.mean([far(place) >= mine for place in range(len(known)) if groups[place] == group])
        shares.append(total / (len(set(groups)) + 1))
    return shares


@pytest.mark.parametrize("neighbours", [1, 3, 50])
@pytest.mark.parametrize("count", [6, 17])
def test_the_share_is_that_of_everyones_neighbours_sought_anew(neighbours, count, monkeypatch):
    monkeypatch.setattr(novelty, "_CHUNK_VALUES", 40)
    rng = np.random.default_rng(count)
    known, new = rng.normal(size=(17, 3)), rng.normal(size=(4, 3)) * 2
    for groups in ([place % count for place in range(17)], None):
        expected = by_hand(new, known, groups or list(range(17)), neighbours)
        assert share_as_far(new, known, groups, neighbours) == pytest.approx(expected)


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_false_alarms_are_as_rare_as_the_rate(rate):
    rng = np.random.default_rng(0)
    flagged = [
        share_as_far(drawn[39:], drawn[:39])[0] <= rate for drawn in rng.standard_t(3, size=(1000, 40, 4))
    ]
    low, high = binom.ppf([5e-5, 1 - 5e-5], 1000, rate)
    assert low <= sum(flagged) <= high


def test_for_new_groups_false_alarms_are_no_more_than_the_rate_and_of_single_samples_they_are():
    rng, flagged = np.random.default_rng(1), np.zeros(2)
    groups = np.arange(20).repeat(4).tolist()
    for _ in range(300):
        level = rng.normal(size=(21, 1, 8)) * 3
        drawn = level + rng.normal(size=(21, 4, 8))
        new, known = drawn[20, :1], drawn[:20].reshape(80, 8)
        flagged += [share_as_far(new, known, of)[0] <= 0.1 for of in (groups, None)]
    assert flagged[0] <= binom.ppf(1 - 1e-4, 300, 0.1) < flagged[1]


def test_what_is_far_is_flagged_and_a_training_sample_is_not():
    known = np.random.default_rng(0).normal(size=(60, 16)).astype(np.float16)
    far, same = share_as_far(np.stack([known[0] + 20, known[0]]), known)
    assert far == 1 / 61 and same > 0.5


def test_too_few_flag_nothing():
    known = np.zeros((fewest_known(0.05) - 1, 2))
    assert share_as_far(np.full((1, 2), 9.0), known)[0] > 0.05
    assert share_as_far(np.full((1, 2), 9.0), np.zeros((fewest_known(0.05), 2)))[0] <= 0.05
    assert share_as_far(np.ones((1, 2)), np.zeros((1, 2)))[0] == 1


@pytest.mark.parametrize(
    ("features", "known", "groups", "said"),
    [
        (np.zeros((1, 2)), np.zeros((3, 4)), None, "got shapes"),
        (np.zeros((1, 2)), np.zeros((0, 2)), None, "at least one"),
        (np.zeros((1, 2)), np.zeros((3, 2)), ["a"], "1 groups for 3 training samples"),
    ],
)
def test_features_of_another_kind_are_refused(features, known, groups, said):
    with pytest.raises(ValueError, match=said):
        share_as_far(features, known, groups)
