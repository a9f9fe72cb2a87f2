from dataclasses import replace

import pytest

from aqa_cache.clips.preprocess import MTL_AQA, Preprocessing
from aqa_cache.clips.rule import ClipRule
from aqa_cache.errors import AqaError


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("resize", (0, -5, 10**6, None, "x", True, [128], [128, 171, 3], [128, None], 111, [128, 100])),
        ("crop", (0, "112", 129, 112.0, [112])),
        ("mean", ([0.5, 0.5], [0.5] * 4, "abc", None, [0.5, 0.5, float("nan")], [0.5, 0.5, "x"])),
        ("std", ([0.5, 0.5], [0.5] * 4, [0.5, 0.5, 0], [0.5, 0.5, -1])),
        ("value_range", (0, -1, "255", float("inf"), None)),
        ("channel_order", ("RGB", 3, None, ["rgb"])),
        ("antialias", (1, "true", None)),
    ],
)
def test_values_that_make_no_preprocessing_are_named(name, values):
    assert Preprocessing.from_record(MTL_AQA.record()) == MTL_AQA
    for value in values:
        with pytest.raises(AqaError, match=f"preprocessing: ({name} is|crop is 112, expected no more than)"):
            if name == "crop":
                Preprocessing.from_record({**MTL_AQA.record(), "crop": value})
            Preprocessing.from_record({**MTL_AQA.record(), name: value})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("clip_len", (0, -1, "16", 2**40, None, True, 1.5)),
        ("clip_stride", (0, "x", None)),
        ("frame_step", (0, None)),
        ("window", (0, "x", 2**70)),
        ("clip_starts", ([], 3, ["a"], [-1], [2**70])),
        ("stream", (-1, "0", 2**70)),
    ],
)
def test_values_that_make_no_clip_rule_are_named(name, values):
    rule = ClipRule(window=103)
    assert ClipRule.from_record(rule.record()) == rule
    starts = replace(rule, clip_starts=(0, 10))
    assert ClipRule.from_record(starts.record()).record() == starts.record()
    for value in values:
        with pytest.raises(AqaError, match=name):
            ClipRule.from_record({**rule.record(), name: value})
