"""The test part that is drawn: whole groups, near the share, with scores like the others'."""

import random

import pytest

from aqa_cache.annotations import Sample
from aqa_heads.data.drawn_test import draw_test
from aqa_heads.data.leaks import find_leaks, frames_of
from aqa_heads.errors import TrainingError


def actions(groups, each):
    """Of every group so many, with scores that differ more among groups than in them."""
    return [
        Sample(f"{group}_{one}", f"{group}_{one}.mp4", group=f"g{group}", final_score=10.0 * group + one)
        for group in range(groups)
        for one in range(each)
    ]


def names_drawn(samples, share=0.25, seed=0):
    drawn, few = draw_test(samples, frames_of(samples), share, seed)
    return {samples[index].sample_id for index in drawn}, few


def test_groups_stay_whole_and_scores_are_spread_alike():
    samples = actions(12, 4)
    test, few = names_drawn(samples)
    assert few is None and len(test) == 12
    groups = sorted({int(name.split("_")[0]) for name in test})
    assert len(groups) == 3 and groups[0] < 6 <= groups[-1], "from below and above"
    assert all(f"{group}_{one}" in test for group in groups for one in range(4))


def test_the_order_of_rows_has_no_influence_and_the_seed_has():
    samples = actions(12, 4)
    mixed = random.Random(1).sample(samples, len(samples))
    assert names_drawn(samples) == names_drawn(mixed)
    assert len({frozenset(names_drawn(samples, seed=seed)[0]) for seed in range(5)}) > 1


def test_without_groups_what_shares_frames_stays_together():
    samples = [Sample(f"{n}", f"./v{n // 2}.mp4" if n % 2 else f"v{n // 2}.mp4") for n in range(20)]
    test, few = names_drawn(samples)
    assert few == "no sample names its group" and len(test) in (4, 6)
    split = {sample.sample_id: "test" if sample.sample_id in test else "train" for sample in samples}
    assert not find_leaks(samples, split, frames_of(samples))


@pytest.mark.parametrize("share", [0, 1, 1.5, float("nan")])
def test_shares_out_of_range_are_refused(share):
    with pytest.raises(TrainingError, match="expected a number between 0 and 1"):
        names_drawn(actions(4, 2), share)


def test_one_video_cannot_be_divided():
    with pytest.raises(TrainingError, match="share frames with each other"):
        names_drawn([Sample("a", "v.mp4"), Sample("b", "v.mp4", 3, 9)])


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_both_sides_have_somebody(share):
    samples = actions(4, 2)
    assert 0 < len(names_drawn(samples, share)[0]) < len(samples)
