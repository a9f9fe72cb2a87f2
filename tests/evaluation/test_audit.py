import json
import math
from dataclasses import replace

import pytest
from make_feature_cache_v1 import SPEC, VIEWS, records

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.writer import write_cache
from aqa_cache.datasets.mtl_aqa import convert
from aqa_cache.datasets.mtl_aqa_release import find_release
from aqa_heads.data.leaks import frames_of_features
from aqa_heads.evaluation.audit import audit
from aqa_heads.evaluation.floors import judge_ceiling, score_floors


def dive(number, split=None, group=None, **known):
    return Sample(
        f"d{number}", f"{group}.mp4", 100 * number, 100 * number + 90, split=split, group=group, **known
    )


def judged(number, score, marks, difficulty=2.0):
    return dive(number, "train", final_score=score, difficulty=difficulty, judges=marks)


def told(number, score, caption, **known):
    return dive(number, "train", final_score=score, caption=caption, **known)


def topics(found):
    return [topic for topic, _ in found.findings()]


def test_samples_and_missing_labels_are_counted_by_split():
    found = audit(
        [
            dive(1, "train", "a", final_score=1.0, difficulty=2.0, classes={"turn": "x"}),
            dive(2, "train", "a"),
            dive(3, "test"),
            dive(4),
        ]
    )
    assert found.samples == {"train": 2, "val": 0, "test": 1, "unused": 1}
    assert found.missing == {
        "final_score": {"train": 1, "val": 0, "test": 1},
        "difficulty": {"train": 1, "val": 0, "test": 1},
        "judges": {"train": 2, "val": 0, "test": 1},
        "group": {"train": 0, "val": 0, "test": 1},
        "caption": {"train": 2, "val": 0, "test": 1},
        "class_turn": {"train": 1, "val": 0, "test": 1},
    }
    assert "missing: judges, caption: no sample has one" in found.lines()
    assert "missing: final_score: 1 of 2 train, 1 of 1 test" in found.lines()


def test_shared_groups_are_counted():
    found = audit(
        [
            dive(1, "train", "a"),
            dive(2, "train", "b"),
            dive(3, "val", "c"),
            dive(4, "test", "a"),
            dive(5, "test", "a"),
            dive(6, "test", "c"),
            dive(7, "test", "e"),
        ]
    )
    assert found.shared_groups == {
        "train, test": {"groups": ["a"], "samples": 2},
        "train, val": {"groups": [], "samples": 0},
        "val, test": {"groups": ["c"], "samples": 1},
    }
    assert found.groups == {"train": 2, "val": 1, "test": 3}
    lines = [line for topic, line in found.findings() if topic == "groups"]
    assert lines[0].startswith(
        "1 of 3 test groups is also in train, with 2 of 4 test samples (a): the result holds for"
    )
    assert lines[1] == "train and val share no group"
    assert not found.leaks


def test_a_given_split_replaces_the_samples_own():
    samples = [dive(1, "train"), dive(1, "train"), dive(3, "test")]
    samples[1] = replace(samples[1], sample_id="copy")
    assert audit(samples).leaks == []
    found = audit(samples, {"d1": "train", "copy": "val"})
    assert found.samples == {"train": 1, "val": 1, "test": 0, "unused": 1}
    assert [leak.sample_id for leak in found.leaks] == ["copy"]
    assert found.leak_line == "1 of 1 val samples is also in train (1 with the same frames): copy with d1"
    assert audit([dive(1), dive(2)]).lines()[1] == "leaks: not looked for: the samples are not in two splits"


def test_what_the_backbone_was_fine_tuned_on_is_a_leak_of_the_test_and_said_of_the_validation():
    samples = [
        *(dive(n, "train") for n in range(3)),
        *(dive(n, "val") for n in (3, 4)),
        *(dive(n, "test") for n in (5, 6, 7)),
    ]
    found = audit(samples, tuned={"trained_on": ["d0", "d4", "d6", "d7"], "chosen_on": ["d3", "d5"]})
    assert [(leak.sample_id, leak.why) for leak in found.leaks] == [
        ("d5", "an epoch of the backbone was chosen on it"),
        ("d6", "the backbone was fine-tuned on it"),
        ("d7", "the backbone was fine-tuned on it"),
    ]
    assert (
        found.leak_line
        == "2 of 3 test samples are, by sample_id, among those that the backbone was fine-tuned on: d6, d7; 1"
        " of 3 test samples is, by sample_id, among those that an epoch of the backbone was chosen on: d5"
    )
    assert (
        dict(found.findings())["backbone"]
        == "1 of 2 val samples is, by sample_id, among those that the backbone was fine-tuned on: d4: what is"
        " chosen on the held-out samples is chosen too easily"
    )
    assert "backbone" not in topics(audit(samples)) and not audit(samples).leaks


def test_floors_and_ceiling_are_those_of_the_split():
    train = [dive(n, "train", final_score=10.0 * n, difficulty=n) for n in range(1, 4)]
    test = [dive(n, "test", final_score=30.0 - n, difficulty=n, judges=(n, -n, n)) for n in range(4, 7)]
    found = audit(train + test)
    assert found.floors["difficulty"] == score_floors(train, test)["difficulty"]
    assert found.ceiling == judge_ceiling(test)
    assert "difficulty -1.000" in dict(found.findings())["floors"]
    assert found.record()["floors"]["training_mean"]["spearman"] is None


def test_scores_that_contradict_their_judges():
    seven = [judged(n, 2.0 * (6 + 6.5 + 7), (9, 5, 6, 7, 6.5, 8, 1)) for n in range(19)]
    found = audit([*seven, judged(19, 39.2, (9, 5, 6, 7, 6.5, 8, 1))])
    (rule,) = found.score_rules
    assert (rule.judges, rule.n, rule.holds, rule.applies, rule.contradicting) == (7, 20, 19, True, ["d19"])
    assert "for 19 of 20 samples, not for d19" in dict(found.findings())["scores"]


@pytest.mark.parametrize(
    "marks, score",
    [
        ((7.0, math.nan, 6.0, 5.0, math.nan), 36.0),
        ((7.0, 6.0, 5.0), 36.0),
        ((7.0, 6.0, 5.0, 1.0, 9.0), 36.0),
        ((0, 0, 7.0, 6.0, 5.0, 10, 10), 36.0),
    ],
)
def test_the_middle_three_marks_count(marks, score):
    (rule,) = audit([judged(1, score, marks)]).score_rules
    assert (rule.judges, rule.holds, rule.applies) == (sum(map(math.isfinite, marks)), 1, True)
    (rule,) = audit([judged(1, score + 0.05, marks)]).score_rules
    assert rule.holds == 1
    (rule,) = audit([judged(1, score + 0.06, marks)]).score_rules
    assert (rule.holds, rule.applies, rule.contradicting) == (0, False, [])


def test_a_sport_with_another_rule_is_not_blamed():
    samples = [judged(n, 36.0 if n < 5 else 18.0, (7.0, 6.0, 5.0)) for n in range(10)]
    found = audit(samples)
    assert not found.score_rules[0].applies
    assert "holds for only 5 of 10 samples with 3 marks, so another rule" in dict(found.findings())["scores"]
    unknown = [
        judged(1, 9.0, (1, 2)),
        judged(2, 9.0, (7, math.nan, 5, 4, 3)),
        judged(3, 9.0, (7, 6, 5), None),
    ]
    assert audit(unknown).score_rules == [] and "scores" not in topics(audit(unknown))


def test_captions_that_state_the_score():
    samples = [
        told(1, 88.2, "and that is 88.2 for him"),
        told(2, 94.05, "ninety-four oh five"),
        told(3, 72.0, "seventy two"),
        told(4, 72.0, "seventy two point five"),
        told(5, 3.2, "a tariff of three point two", difficulty=3.2),
        told(6, 8.5, "8.5 from the second judge", judges=(8.5, 7.0, 6.0)),
        told(7, 3.0, "three somersaults"),
        told(8, 61.0, "nice entry"),
        dive(9, "train", final_score=5.0),
        dive(10, "train", caption="72"),
    ]
    spoken = audit(samples).spoken_scores
    assert (spoken.n, spoken.stated, spoken.examples) == (8, 3, ["d1", "d2", "d3"])
    # 88.2 and 94.05 are the score of one sample in eight each, 72 of two; nobody scored 72.5, or 94 without
    # its decimals.
    assert spoken.by_chance == pytest.approx((1 + 1 + 2) / 8)
    assert (
        "3 of 8 state the sample's own score (0.5 would by chance)"
        in dict(audit(samples).findings())["captions"]
    )
    assert audit([dive(1, "train", caption="72")]).spoken_scores is None


def test_the_record_is_plain_json():
    found = audit(
        [dive(1, "train", "a", final_score=1.0), dive(1, "test", "a", final_score=2.0, caption="x")][:1]
    )
    assert json.loads(json.dumps(found.record(), allow_nan=False)) == found.record()
    leaking = audit([dive(1, "train"), replace(dive(1, "test"), sample_id="other")])
    assert leaking.record()["leaks"] == [
        {
            "sample_id": "other",
            "split": "test",
            "other": "d1",
            "other_split": "train",
            "video": "None.mp4",
            "why": "the same frames",
            "frames": 90,
        }
    ]


def test_frames_of_features_are_those_of_all_views(tmp_path):
    write_cache(tmp_path / "feats.h5", records(), SPEC, views=VIEWS, numerics={"device": "cpu"})
    with FeatureCache(tmp_path / "feats.h5") as cache:
        found = frames_of_features(cache)
        span = (cache.spec.clip_rule["clip_len"] - 1) * cache.spec.clip_rule.get("frame_step", 1) + 1
        for index, sample in enumerate(cache.samples):
            views = [view.first_frame for view in cache.record(index).views if view is not None]
            if views and min(first.min() for first in views) >= 0:
                expected = min(first.min() for first in views), max(first.max() for first in views) + span
                assert found.pop(sample.sample_id) == expected
        assert found == {}


def test_real_leaks_of_the_papers_test_set_are_found(mtl_aqa):
    samples = convert(find_release(mtl_aqa), "size_140", paper_test=True).samples
    found = audit(samples)
    assert len(found.leaks) == 36
    assert {leak.sample_id for leak in found.leaks} == {
        sample.sample_id for sample in samples if sample.extra
    }
    assert all(
        leak.other == leak.sample_id.removesuffix("@test") and leak.why == "the same frames"
        for leak in found.leaks
    )
    unnamed = [replace(sample, sample_id=str(number)) for number, sample in enumerate(samples)]
    assert len(audit(unnamed).leaks) == 36
    assert audit(convert(find_release(mtl_aqa), "size_140").samples).leaks == []


def test_real_official_split(mtl_aqa):
    found = audit(convert(find_release(mtl_aqa)).samples)
    assert not found.leaks and found.leak_line is None
    assert found.shared_groups["train, test"]["samples"] == 353 and found.neighbours["n"] == 326
    assert round(found.floors["difficulty_group_mean"]["spearman"], 3) == 0.668
    assert (found.spoken_scores.n, found.spoken_scores.stated) == (1412, 303)
    for rule in found.score_rules:
        assert rule.contradicting == ["01_0070"]


def test_floors_know_the_labels_of_all_that_is_not_tested():
    """As in the summary of a run, whichever samples that run holds out."""
    scores = {"train": (10, 20), "val": (60,), "test": (25, 35)}
    samples = [
        Sample(f"{split}{score}", f"{split}{score}.mp4", split=split, final_score=float(score))
        for split, own in scores.items()
        for score in own
    ]
    assert audit(samples).floors["training_mean"]["mae"] == 5.0  # the mean of 10, 20 and 60 is 30
