from dataclasses import replace

import numpy as np
import pytest
from numbered_video import image_number
from small_extraction import CONFIG, contents

from aqa_cache.annotations import Sample, write_annotations
from aqa_cache.clips.assembler import Clip
from aqa_cache.clips.preprocess import FramePreparer, Preprocessing
from aqa_cache.clips.rule import ClipRule
from aqa_cache.clips.views import parse_views
from aqa_cache.errors import AqaError
from aqa_cache.extraction.loading import load_backbone
from aqa_cache.extraction.run import extract
from aqa_cache.video.reader import VideoReader
from aqa_cache.weights.random_weights import random_weights_path

WHOLE = Preprocessing(resize=(64, 64), crop=64, mean=(0, 0, 0), std=(1, 1, 1))


def test_names_of_views():
    assert [view.name for view in parse_views(None)] == ["plain"]
    assert [view.name for view in parse_views("flip")] == ["plain", "flip"]
    assert [view.name for view in parse_views("jitter=1")] == ["plain", "shift-1", "shift+1"]
    assert len(parse_views("flip,jitter=3")) == 14
    assert parse_views("flip,jitter=2") == parse_views("jitter=2, flip")
    assert len({view.name for view in parse_views("flip,jitter=16")}) == 66


@pytest.mark.parametrize("text", ["mirror", "jitter", "jitter=0", "jitter=17", "jitter=-1", "flip;jitter=3"])
def test_views_that_are_not_known_are_refused(text):
    with pytest.raises(AqaError, match="flip, jitter=N|must be 1 to 16"):
        parse_views(text)


def read(video, samples, rule, views):
    """Per sample and view the numbers of the frames of its clips, and the outcome of every sample."""
    reader = VideoReader(video, dict(enumerate(samples)), rule, views=parse_views(views))
    clips, outcomes = {}, {}
    for item in reader.read(FramePreparer(WHOLE)):
        if isinstance(item, Clip):
            flip = parse_views(views)[item.view].flip
            numbers = [image_number(frame[:, ::-1] if flip else frame) for frame in item.frames]
            clips.setdefault((item.sample, parse_views(views)[item.view].name), []).append(numbers)
        else:
            outcomes[item.sample] = item
    return clips, outcomes


@pytest.mark.parametrize(
    "rule",
    [
        ClipRule(),
        ClipRule(clip_len=8, clip_stride=3, frame_step=2),
        ClipRule(window=40, clip_starts=(0, 10, 24)),
    ],
)
def test_views_are_the_plain_clips_some_frames_earlier_or_later(numbered_video, rule):
    sample = Sample("a", "", 100, 150)
    clips, outcomes = read(numbered_video, [sample], rule, "flip,jitter=3")
    plain = clips[0, "plain"]
    assert [numbers[0] for numbers in plain] == rule.first_frames(100, 150)
    for shift in range(-3, 4):
        for prefix in ("", "flip"):
            name = ",".join(filter(None, [prefix, f"shift{shift:+d}" if shift else ""])) or "plain"
            assert clips[0, name] == [[number + shift for number in numbers] for numbers in plain]
    assert outcomes[0].clips == (len(plain),) * 14


def test_each_frame_is_prepared_once_for_all_views(numbered_video):
    prepared = []

    class Counting(FramePreparer):
        def __call__(self, rgb):
            prepared.append(image_number(rgb))
            return super().__call__(rgb)

    reader = VideoReader(
        numbered_video, {0: Sample("a", "", 50, 90)}, ClipRule(), views=parse_views("flip,jitter=2")
    )
    list(reader.read(Counting(WHOLE)))
    # two clips of 16 from frame 50, each two frames earlier to two later
    assert prepared == list(range(48, 84))


def test_a_view_that_leaves_the_video_is_absent(output, tmp_path, numbered_video):
    samples = [
        Sample("first", numbered_video.name, 1, 17),
        Sample("last", numbered_video.name, 283, 299),
        Sample("inside", numbered_video.name, 2, 18),
        Sample("whole", numbered_video.name),
    ]
    write_annotations(tmp_path / "a.csv", samples)
    views = parse_views("jitter=2")
    config = replace(CONFIG, views=views)
    assert not extract(numbered_video.parent, output, config, annotations=tmp_path / "a.csv").failures
    present = {
        key: [view.name for view, clips in zip(views, record.views, strict=True) if clips]
        for key, record in contents(output).items()
    }
    assert present["first"] == ["plain", "shift-1", "shift+1", "shift+2"]
    assert present["last"] == ["plain", "shift-1", "shift+1", "shift-2"]
    assert present["inside"] == [view.name for view in views]
    # 300 frames are 18 clips and 12 frames over.
    assert present["whole"] == ["plain", "shift+1", "shift+2"]
    for record in contents(output).values():
        counts = {len(view.features) for view in record.views if view}
        assert len(counts) == 1


def test_plain_view_is_what_it_is_without_others(output, tmp_path, numbered_video, random_s3d):
    write_annotations(tmp_path / "a.csv", [Sample("a", numbered_video.name, 100, 140)])
    extract(numbered_video.parent, output, CONFIG, annotations=tmp_path / "a.csv")
    (tmp_path / "views").mkdir()
    random_weights_path(tmp_path / "views" / "feats.h5", "s3d").symlink_to(random_s3d)
    config = replace(CONFIG, views=parse_views("flip,jitter=1"))
    extract(numbered_video.parent, tmp_path / "views" / "feats.h5", config, annotations=tmp_path / "a.csv")
    alone, among = contents(output)["a"], contents(tmp_path / "views" / "feats.h5")["a"]
    np.testing.assert_array_equal(alone.views[0].features, among.views[0].features)
    assert [view.first_frame.tolist() for view in among.views] == [[100, 116], [99, 115], [101, 117]] * 2


def test_flipped_features_are_those_of_mirrored_frames(output, tmp_path, numbered_video):
    import torch

    from aqa_cache.clips.preprocess import normalise
    from aqa_cache.video.decoding import decode

    write_annotations(tmp_path / "a.csv", [Sample("a", numbered_video.name, 0, 16)])
    config = replace(CONFIG, views=parse_views("flip"))
    extract(numbered_video.parent, output, config, annotations=tmp_path / "a.csv")
    module, _, preprocessing = load_backbone(CONFIG, random_weights_path(output, "s3d"))
    prepare, frames = FramePreparer(preprocessing), []
    for frame in decode(numbered_video):
        frames.append(prepare(frame.rgb())[:, ::-1])
        if len(frames) == 16:
            break
    with torch.no_grad():
        plain = module.eval()(normalise(torch.from_numpy(np.stack(frames)[None]), preprocessing))[0].numpy()
    flipped = contents(output)["a"].views[1].features[0]
    np.testing.assert_allclose(flipped, plain, rtol=2e-3, atol=2e-3 * np.abs(plain).max())


def test_other_views_are_refused(output, tmp_path, numbered_video):
    write_annotations(tmp_path / "a.csv", [Sample("a", numbered_video.name, 0, 16)])
    extract(numbered_video.parent, output, CONFIG, annotations=tmp_path / "a.csv")
    config = replace(CONFIG, views=parse_views("flip"))
    with pytest.raises(AqaError, match="has the views plain, asked for now: plain; flip"):
        extract(numbered_video.parent, output, config, annotations=tmp_path / "a.csv")
