import math

import numpy as np
import pytest

from aqa_cache.annotations import Sample
from aqa_cache.datasets import mtl_aqa
from aqa_heads.data.leaks import TEST_COPY, find_backbone_leaks, find_leaks, frames_of, neighbours
from aqa_heads.data.units import units_of


def action(sample_id, start=None, end=None, split="train", video="a.mp4"):
    return Sample(sample_id, video, start, end, split=split)


def look(find, samples, used=None):
    return find(samples, {sample.sample_id: sample.split for sample in samples}, frames_of(samples, used))


def leaks(*samples, used=None):
    return [(leak.sample_id, leak.other, leak.why, leak.frames) for leak in look(find_leaks, samples, used)]


def test_the_mark_of_a_copy_is_that_of_the_conversion():
    assert TEST_COPY == mtl_aqa.TEST_COPY


def test_frames_end_before_their_end():
    assert leaks(action("x", 0, 10), action("y", 10, 20, "test")) == []
    assert leaks(action("x", 0, 11), action("y", 10, 20, "test")) == [("y", "x", "overlapping frames", 1)]
    assert leaks(action("x", 10, 20), action("y", 10, 20, "test")) == [("y", "x", "the same frames", 10)]
    assert (
        leaks(action("x", 10, 20), action("y", 10, 20))
        == leaks(action("x", 10, 20, None), action("y", 10, 20))
        == []
    )
    assert leaks(action("x", 10, 20), action("y", 10, 20, "test", "b.mp4")) == []


def test_a_sample_without_frames_is_its_whole_video():
    assert leaks(action("x"), action("y", 100, 110, "test")) == [("y", "x", "overlapping frames", 10)]
    assert leaks(action("x", 100, 110), action("y", None, 100, "test")) == []
    assert leaks(action("x"), action("y", split="test")) == [("y", "x", "the same frames", None)]


def test_each_pair_of_splits_is_looked_at_and_the_later_one_is_named():
    found = look(find_leaks, [action("t", 0, 10, "test"), action("v", 0, 10, "val"), action("x", 0, 10)])
    assert [(leak.sample_id, leak.split, leak.other_split) for leak in found] == [
        ("t", "test", "train"),
        ("t", "test", "val"),
        ("v", "val", "train"),
    ]


def test_a_marked_copy_is_found_by_its_id_alone():
    copy = action("x@test", 50, 60, "test", "b.mp4")
    assert leaks(action("x", 0, 10), copy) == [("x@test", "x", "the same id", 0)]
    assert (
        leaks(action("x", 0, 10, "test"), copy) == leaks(copy) == leaks(action("@test", 0, 1, "test")) == []
    )
    assert leaks(action("x", 50, 60, video="b.mp4"), copy) == [("x@test", "x", "the same frames", 10)]


def test_what_a_backbone_has_learned_from_is_found_by_id():
    samples = [
        action("t", split="test"),
        action("u@test", split="test"),
        action("c", split="test"),
        action("n", split="test"),
        action("v", split="val"),
        action("w", split="val"),
        action("x"),
        action("y", split=None),
    ]
    split = {sample.sample_id: sample.split for sample in samples}
    tuned = {"trained_on": ["t", "u", "v", "x", "y"], "chosen_on": ["c", "t", "w"]}
    found = [
        (leak.sample_id, leak.split, leak.other, leak.other_split)
        for leak in find_backbone_leaks(samples, split, tuned)
    ]
    assert found == [
        ("t", "test", "t", "train"),
        ("u@test", "test", "u", "train"),
        ("c", "test", "c", "val"),
        ("v", "val", "v", "train"),
    ]
    assert find_backbone_leaks(samples, split, {}) == []


def test_frames_that_were_used_count_instead_of_those_annotated():
    samples = action("x", 0, 100), action("y", 100, 150, "test")
    assert leaks(*samples, used={"y": (47, 150)}) == [("y", "x", "overlapping frames", 53)]
    assert leaks(*samples, used={"x": (80, 100), "y": (100, 120)}) == []


@pytest.mark.parametrize("seed", range(20))
def test_the_fast_search_finds_what_comparing_all_pairs_finds(seed):
    generator = np.random.default_rng(seed)
    samples = []
    for number in range(40):
        start = int(generator.integers(0, 300))
        end = [None, start + int(generator.integers(1, 40))][int(generator.random() < 0.98)]
        samples.append(
            action(
                str(number), start, end, str(generator.choice(["train", "val", "test"])), f"{number % 2}.mp4"
            )
        )
    order, frames = ("train", "val", "test"), frames_of(samples)
    expected = {
        (one.sample_id, other.split)
        for one in samples
        for other in samples
        if order.index(other.split) < order.index(one.split)
        and one.video == other.video
        and max(frames[one.sample_id][0], frames[other.sample_id][0])
        < min(frames[one.sample_id][1], frames[other.sample_id][1])
    }
    found = look(find_leaks, samples)
    assert {(leak.sample_id, leak.other_split) for leak in found} == expected and len(found) == len(expected)
    for leak in found:
        (start, end), (first, last) = frames[leak.sample_id], frames[leak.other]
        common = min(end, last) - max(start, first)
        assert common > 0 and leak.frames == (common if math.isfinite(common) else None)


def test_neighbours_by_hand():
    samples = [
        action("a", 0, 10),
        action("b", 15, 20, "test"),
        action("c", 40, 50, "test"),
        action("d", 60, 70, "test"),
        action("e", 73, 80),
        action("f", 90, 99, None),
        action("g", 100, 101, "test", "b.mp4"),
        action("h", split="test"),
    ]
    # b follows a by 5 frames, d precedes e by 3; c stands between b and d, and g alone in its video.
    assert look(neighbours, samples) == {"n": 2, "of": 4, "smallest": 3, "median": 4}
    assert look(neighbours, [action("a", 0, 10), action("h", split="test")]) is None
    assert look(neighbours, [action("c", 40, 50, "test")]) == {
        "n": 0,
        "of": 1,
        "smallest": None,
        "median": None,
    }


@pytest.mark.parametrize("other", ["./v.mp4", "day/../v.mp4", "v.mp4"])
def test_a_video_is_the_same_however_its_path_is_written(other):
    samples = [Sample("a", "v.mp4", 0, 9, "train"), Sample("b", other, 5, 12, "test")]
    (leak,) = find_leaks(samples, {"a": "train", "b": "test"}, frames_of(samples))
    assert (leak.sample_id, leak.frames) == ("b", 4)
    assert len(units_of(samples, frames_of(samples), [0, 1])) == 1
