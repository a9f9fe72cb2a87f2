import json

import numpy as np
import pytest
from numbered_video import image_number, write_numbered_video

from aqa_cache.annotations import Sample
from aqa_cache.clips.assembler import Clip, ClipAssembler
from aqa_cache.clips.preprocess import FramePreparer, Preprocessing
from aqa_cache.clips.rule import CLIP_STARTS, CORE_CLIP_STARTS, ClipRule
from aqa_cache.errors import AqaError
from aqa_cache.video.reader import Outcome, VideoReader

UNCHANGED = Preprocessing(resize=(64, 64), crop=64, mean=(0, 0, 0), std=(1, 1, 1))


def numbers_of_clips(path, samples, rule):
    """What `VideoReader` hands over, with the frame numbers read from the pixels."""
    clips, outcomes = {}, {}
    for item in VideoReader(path, dict(enumerate(samples)), rule).read(FramePreparer(UNCHANGED)):
        if isinstance(item, Outcome):
            outcomes[item.sample] = item
        else:
            clips.setdefault(item.sample, [])
            numbers = [image_number(frame) for frame in item.frames]
            assert numbers[0] == item.first_frame
            clips[item.sample].append(numbers)
    return clips, outcomes


def test_mtl_aqa_window_is_the_published_one():
    # Parmar & Morris: images end_frame - 103 + i of a sorted list, clips from arange(0, 103 - 17, 16).
    end = 7462
    published = [end - 103 + first for first in np.arange(0, 103 - 17, 16)]
    assert ClipRule(window=103).first_frames(7376, end) == published
    assert len(published) == 6


def test_mtl_aqa_window_in_pixels_deep_inside_a_long_video(tmp_path):
    path = write_numbered_video(tmp_path / "long.mp4", 3000)
    samples = [
        Sample("early", path.name, 20, 110),
        Sample("late", path.name, 2800, 2903),
        Sample("last", path.name, 2880, 3000),
    ]
    clips, outcomes = numbers_of_clips(path, samples, ClipRule(window=103))
    for index, sample in enumerate(samples):
        first = sample.end_frame - 103
        expected = [list(range(first + start, first + start + 16)) for start in (0, 16, 32, 48, 64, 80)]
        assert clips[index] == expected
        assert outcomes[index] == Outcome(index, (6,))


def test_plain_rule_takes_all_whole_clips(numbered_video):
    clips, _ = numbers_of_clips(numbered_video, [Sample("a", "", 10, 75), Sample("b", "")], ClipRule())
    assert [clip[0] for clip in clips[0]] == [10, 26, 42, 58]
    assert [clip[0] for clip in clips[1]] == list(range(0, 300 - 15, 16))


def test_the_last_clip_ends_with_the_last_frame_where_frames_are_left_over(numbered_video):
    rule = ClipRule(last_clip="from-end")
    samples = [Sample("rest", "", 10, 75), Sample("none", "", 10, 74), Sample("open", "", 250)]
    clips, outcomes = numbers_of_clips(numbered_video, samples, rule)
    assert [clip[0] for clip in clips[0]] == [10, 26, 42, 58, 59] and clips[0][-1][-1] == 74
    assert [clip[0] for clip in clips[1]] == [10, 26, 42, 58]
    assert [clip[0] for clip in clips[2]] == [250, 266, 282, 284] and clips[2][-1][-1] == 299
    assert outcomes[2] == Outcome(2, (4,))
    stepped = ClipRule(4, 3, 5, last_clip="from-end").first_frames(5, 60)
    assert stepped == [*range(5, 45, 3)] and ClipRule(4, 3, 5).first_frames(5, 61) == stepped
    assert ClipRule(4, 3, 5, last_clip="from-end").first_frames(5, 61) == [*stepped, 45]


def test_a_rule_that_drops_the_rest_is_recorded_as_it_always_was():
    assert "last_clip" not in ClipRule().record()
    for rule in (ClipRule(), ClipRule(last_clip="from-end"), ClipRule(window=103, last_clip="from-end")):
        assert ClipRule.from_record(rule.record()) == rule
    for wrong in ({"last_clip": "pad"}, {"last_clip": "from-end", "clip_starts": (0, 10)}):
        with pytest.raises(AqaError, match="last_clip"):
            ClipRule(**wrong)
    with pytest.raises(AqaError, match="last_clip is 'pad', expected drop or from-end"):
        ClipRule.from_record({**ClipRule().record(), "last_clip": "pad"})


def test_overlapping_clips_and_frame_step(numbered_video):
    clips, _ = numbers_of_clips(
        numbered_video, [Sample("a", "", 5, 60)], ClipRule(clip_len=4, clip_stride=3, frame_step=5)
    )
    assert clips[0] == [[first + 5 * i for i in range(4)] for first in range(5, 60 - 15, 3)]


def test_window_of_a_whole_video_ends_with_it(numbered_video):
    clips, _ = numbers_of_clips(numbered_video, [Sample("a", "")], ClipRule(window=103))
    assert [clip[0] for clip in clips[0]] == [197 + first for first in (0, 16, 32, 48, 64, 80)]


@pytest.mark.parametrize(("name", "last"), [("core", 101), ("musdl", 102)])
def test_named_clip_starts(numbered_video, name, last):
    rule = ClipRule(window=103, clip_starts=CLIP_STARTS[name])
    clips, _ = numbers_of_clips(numbered_video, [Sample("a", "", 100, 250)], rule)
    assert [clip[0] for clip in clips[0]] == [147 + first for first in CLIP_STARTS[name]]
    assert len(clips[0]) == 10 and clips[0][-1][-1] == 147 + last


def test_assembler_takes_each_frame_once():
    assembler = ClipAssembler(ClipRule(clip_stride=4), {0: (0, 40), 1: (8, 30)})
    taken, clips = [], []
    for frame in range(50):
        if assembler.needs(frame):
            taken.append(frame)
            clips += assembler.feed(frame, frame / 25, np.full((1, 1, 3), frame, np.uint8))
    assert taken == list(range(40))
    assert sorted((clip.sample, clip.first_frame) for clip in clips) == [(0, n) for n in range(0, 25, 4)] + [
        (1, 8),
        (1, 12),
    ]
    for clip in clips:
        assert isinstance(clip, Clip)
        assert [frame[0, 0, 0] for frame in clip.frames] == list(
            range(clip.first_frame, clip.first_frame + 16)
        )
        assert clip.pts_seconds == clip.first_frame / 25


@pytest.mark.parametrize(
    ("sample", "rule", "message"),
    [
        (
            Sample("a", "", 250, 301),
            ClipRule(),
            "needs frames [250, 301) but the video has 300; correct end_frame",
        ),
        (
            Sample("a", "", 0, 350),
            ClipRule(window=103),
            "needs frames [247, 350) but the video has 300; correct end_frame",
        ),
        (Sample("a", "", 10, 20), ClipRule(), "has 10 frame(s), shorter than one clip of 16"),
        (Sample("a", "", 400, None), ClipRule(), "starts at frame 400 but the video has 300"),
        (Sample("a", "", 400, None), ClipRule(window=103), "starts at frame 400 but the video has 300"),
        (Sample("a", "", 290, None), ClipRule(), "has 10 frame(s), shorter than one clip of 16"),
        (
            Sample("a", "", 10, 90),
            ClipRule(window=103),
            "the window of 103 frames that ends at frame 90 begins before the video does",
        ),
        (
            Sample("a", "", 10, 90),
            ClipRule(clip_starts=(0, 70)),
            "has 80 frames, but the clip that starts at 70 needs 86",
        ),
    ],
)
def test_samples_that_do_not_fit_fail_with_their_numbers(numbered_video, sample, rule, message):
    _, outcomes = numbers_of_clips(numbered_video, [sample, Sample("good", "", 0, 120)], rule)
    assert message in outcomes[0].reason
    assert not outcomes[1].reason


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clip_len": 0}, "clip_len is 0"),
        ({"window": 15}, "window is 15 frames but one clip spans 16"),
        ({"clip_starts": (0, 10, 10)}, "must be different frame numbers"),
        ({"clip_starts": (0, 90), "window": 103}, "leaves the window of 103"),
    ],
)
def test_rules_that_make_no_clips_are_refused(arguments, message):
    with pytest.raises(AqaError, match=message):
        ClipRule(**arguments)


@pytest.mark.parametrize(
    "rule",
    [ClipRule(), ClipRule(8, 3, 2), ClipRule(window=103), ClipRule(window=103, clip_starts=CORE_CLIP_STARTS)],
)
def test_a_rule_comes_back_from_its_record(rule):
    record = json.loads(json.dumps(rule.record()))
    assert ClipRule.from_record(record) == ClipRule.from_record({**record, "stream": 2}) == rule


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "has the keys none, expected clip_len, clip_starts, clip_stride, frame_step, window"),
        ({"clip_len": 16, "clip_stride": 16}, "has the keys clip_len, clip_stride, expected"),
        ({**ClipRule().record(), "tail": "pad"}, "clip_stride, frame_step, tail, window, expected"),
        ({**ClipRule().record(), "clip_len": 0}, "clip_len is 0"),
    ],
)
def test_records_that_are_no_rule_are_refused(record, message):
    with pytest.raises(AqaError, match=message):
        ClipRule.from_record(record)
