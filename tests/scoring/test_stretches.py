"""A long video is gone through in steps, and the best of what overlaps is kept."""

import pytest

from aqa_cache.annotations import Sample
from aqa_cache.errors import AqaError
from aqa_heads.scoring.results import Score
from aqa_heads.scoring.stretches import LISTED, Step, best_fitting, step_of, stretches_of


def begins(found):
    return [one.start_frame for one in found]


def test_a_stretch_begins_every_step(numbered_video):
    whole = Sample("v", numbered_video.name)  # 300 frames at 25 a second
    found = stretches_of(numbered_video, whole, step_of("2s"), 103)
    assert begins(found) == [0, 50, 100, 150, 197] and {one.end_frame - one.start_frame for one in found} == {
        103
    }
    assert [one.sample_id for one in found] == ["v@0.0s", "v@2.0s", "v@4.0s", "v@6.0s", "v@7.9s"]
    assert begins(stretches_of(numbered_video, whole, step_of("50"), 103)) == [0, 50, 100, 150, 197]
    assert begins(stretches_of(numbered_video, Sample("v", "", 40, 200), step_of("1s"), 103)) == [
        40,
        65,
        90,
        97,
    ]
    assert begins(stretches_of(numbered_video, whole, step_of("0.01s"), 290)) == list(range(11))
    assert begins(stretches_of(numbered_video, whole, step_of("7"), 300)) == [0]
    assert begins(stretches_of(numbered_video, whole, step_of("250"), 40)) == [0, 250], "as was asked for"


def test_what_is_no_step_and_what_does_not_fit_is_said(numbered_video, monkeypatch):
    assert step_of("2.5 s") == Step(2.5, True)
    for wrong in ("0s", "0", "-1s", "2.5", "2m", "", "١s"):
        with pytest.raises(AqaError, match="--every is .*expected seconds such as 2s"):
            step_of(wrong)
    whole = Sample("v", numbered_video.name)
    with pytest.raises(AqaError, match="has 300 frames there, and a stretch has 301"):
        stretches_of(numbered_video, whole, step_of("2s"), 301)
    monkeypatch.setattr("aqa_heads.scoring.stretches.MOST", 3)
    with pytest.raises(AqaError, match="more than 3 stretches"):
        stretches_of(numbered_video, whole, step_of("2s"), 103)


def test_of_stretches_that_overlap_the_best_is_kept():
    shares = {0: 0.1, 40: 0.5, 80: 0.4, 120: 0.3, 400: 0.02}
    scores = [Score(str(b), "v", (b, b + 100), 1.0, share_as_far=share) for b, share in shares.items()]
    assert [one.frames[0] for one in best_fitting(scores, 100)] == [40, 120, 400]
    many = [Score(str(b), "v", (200 * b, 200 * b + 100), 1.0, share_as_far=0.5) for b in range(30)]
    assert len(best_fitting(many, 100)) == LISTED
