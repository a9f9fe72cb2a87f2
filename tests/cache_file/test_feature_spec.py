import json
from dataclasses import replace

import pytest
from make_feature_cache_v1 import SPEC

from aqa_cache.cache_file.feature_spec import FeatureSpec, Learned

LEARNED = Learned("run 1", "random (seed 0)", trained_on=("01_0001", "01_0002"))


def test_fingerprint_is_of_what_features_mean(tmp_path):
    renamed = FeatureSpec(**{**SPEC.__dict__, "weights": "the same under another name"})
    other = FeatureSpec(**{**SPEC.__dict__, "clip_rule": {"clip_len": 16, "window": 103}})
    assert renamed.fingerprint == SPEC.fingerprint != other.fingerprint
    assert SPEC.differences(other) == ["clip_rule.window: None, 103"]


@pytest.mark.parametrize(
    ("weights", "origin", "random"),
    [
        ("random (seed 0)", None, True),
        ("sports1m", None, False),
        ("exp2", "random (seed 0)", True),
        ("random-order", "sports1m", False),
    ],
)
def test_weights_are_random_where_nothing_was_learned_but_by_fine_tuning(weights, origin, random):
    spec = replace(SPEC, weights=weights, tuned=origin and replace(LEARNED, origin=origin))
    assert spec.random == random and spec.tuned_in == (weights if origin else None)


def test_what_was_learned_is_read_back_from_its_record():
    record = json.loads(json.dumps(LEARNED.record()))
    assert record == {
        "started_from": "run 1",
        "origin": "random (seed 0)",
        "trained_on": ["01_0001", "01_0002"],
        "chosen_on": [],
    }
    assert Learned.from_record(record | {"added later": 1}) == LEARNED
    assert dict(LEARNED) == {**record, "trained_on": LEARNED.trained_on, "chosen_on": ()}
    with pytest.raises(KeyError, match="origin"):
        Learned.from_record({"started_from": "run 1"})
    with pytest.raises(TypeError, match="tuned: chosen_on is None, expected a list"):
        Learned.from_record(record | {"chosen_on": None})


def test_the_stream_is_that_of_the_clip_rule():
    assert replace(SPEC, clip_rule={"clip_len": 16, "stream": 3}).stream == 3
    assert replace(SPEC, clip_rule={}).stream is None  # imported
