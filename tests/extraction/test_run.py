from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numbered_video import write_numbered_video
from places import MEDIA
from small_extraction import CONFIG, assert_same_features, contents

from aqa_cache.annotations import Sample, write_annotations
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.clips.preprocess import MTL_AQA, FramePreparer, normalise
from aqa_cache.clips.rule import ClipRule
from aqa_cache.errors import AqaError
from aqa_cache.extraction.loading import load_backbone
from aqa_cache.extraction.run import ExtractionConfig, extract
from aqa_cache.video.decoding import decode
from aqa_cache.video.reader import VideoReader
from aqa_cache.weights.random_weights import random_weights_path
from aqa_cli.data import data
from aqa_cli.extract import main as aqa_extract


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two short videos and five samples of them, one of which cannot be extracted."""
    folder = tmp_path_factory.mktemp("videos")
    write_numbered_video(folder / "a.mp4", 120)
    write_numbered_video(folder / "b.mp4", 60)
    samples = [
        Sample("a1", "a.mp4", 0, 50, "train", "a", final_score=50.0, caption="one"),
        Sample("b1", "b.mp4", 5, 40, "train", "b", final_score=60.0),
        Sample("a2", "a.mp4", 40, 110, "test", "a", final_score=70.0, extra={"nation": "CAN"}),
        Sample("b2", "b.mp4", 30, 90, "train", "b", final_score=40.0),
        Sample("a3", "a.mp4", split="train"),
    ]
    write_annotations(folder / "annotations.csv", samples)
    return folder


def test_features_equal_the_plain_loop(videos, output):
    result = extract(videos, output, CONFIG)
    module, _, preprocessing = load_backbone(CONFIG, random_weights_path(output, "s3d"))
    prepare = FramePreparer(preprocessing)
    frames = np.stack([prepare(frame.rgb()) for frame in decode(videos / "a.mp4")])
    module.eval()
    with FeatureCache(output) as cache:
        assert [sample.sample_id for sample in cache.samples] == ["a1", "b1", "a2", "b2", "a3"]
        for index, firsts in ((0, [0, 16, 32]), (2, [40, 56, 72, 88]), (4, list(range(0, 105, 16)))):
            clips = cache.clips(index)
            assert clips.first_frame.tolist() == firsts
            np.testing.assert_allclose(clips.pts_seconds, np.array(firsts) / 25)
            with torch.no_grad():
                plain = [
                    module(normalise(torch.from_numpy(frames[None, first : first + 16]), preprocessing))[0]
                    for first in firsts
                ]
            plain = torch.stack(plain).numpy()
            np.testing.assert_allclose(clips.features, plain, rtol=2e-3, atol=2e-3 * np.abs(plain).max())
    assert result.failures == [
        (
            "b2",
            (
                "b2 (b.mp4): needs frames [30, 90) but the video has 60; correct end_frame in the annotations"
                " or drop the row"
            ),
        )
    ]
    assert (result.samples, result.reused, result.clips) == (5, 0, 3 + 2 + 4 + 7)
    assert not list(output.parent.glob("*.parts"))


def test_neighbours_in_the_batch_change_nothing(videos, output, tmp_path, random_s3d):
    extract(videos, output, CONFIG)
    together = contents(output)
    (tmp_path / "alone").mkdir()
    random_weights_path(tmp_path / "alone" / "x.h5", "s3d").symlink_to(random_s3d)
    write_annotations(tmp_path / "one.csv", [together["a2"].sample])
    extract(videos, tmp_path / "alone" / "x.h5", CONFIG, annotations=tmp_path / "one.csv")
    np.testing.assert_array_equal(
        contents(tmp_path / "alone" / "x.h5")["a2"].views[0].features, together["a2"].views[0].features
    )


def test_running_again_keeps_what_is_done_and_takes_new_annotations(videos, output, tmp_path):
    extract(videos, output, CONFIG)
    before = contents(output)
    samples = [before[key].sample for key in ("a2", "a1", "b1")]
    samples[0] = Sample("a2", "a.mp4", 40, 110, "val", final_score=71.0)  # relabelled
    samples[1] = Sample("a1", "a.mp4", 0, 34, "train")  # other frames
    samples.append(Sample("new", "b.mp4", 0, 20))
    write_annotations(tmp_path / "changed.csv", samples)
    result = extract(videos, output, replace(CONFIG, prune=True), annotations=tmp_path / "changed.csv")
    after = contents(output)
    assert list(after) == ["a2", "a1", "b1", "new"]
    assert (result.reused, result.clips) == (2, 3)
    assert after["a2"].sample == samples[0] and after["a1"].views[0].first_frame.tolist() == [0, 16]
    np.testing.assert_array_equal(after["a2"].views[0].features, before["a2"].views[0].features)


def test_features_are_not_thrown_away_unasked(videos, output, tmp_path, said):
    write_annotations(tmp_path / "two.csv", [Sample("a1", "a.mp4", 0, 50), Sample("b1", "b.mp4", 5, 40)])
    write_annotations(tmp_path / "one.csv", [Sample("a1", "a.mp4", 0, 50)])
    extract(videos, output, CONFIG, annotations=tmp_path / "two.csv")
    with pytest.raises(
        AqaError,
        match=r"1 sample\(s\) that are not asked for now: b1. Give another output name .* or --prune",
    ):
        extract(videos, output, CONFIG, annotations=tmp_path / "one.csv")
    assert list(contents(output)) == ["a1", "b1"]
    said.clear()
    result = extract(videos, output, replace(CONFIG, prune=True), annotations=tmp_path / "one.csv")
    assert "Dropped from feats.h5, since no longer asked for: 1 sample(s), b1" in said
    assert result.reused == 1 and list(contents(output)) == ["a1"]


def test_a_video_that_is_away_keeps_its_features(output, tmp_path, said):
    (tmp_path / "in").mkdir()
    for name in ("v.mp4", "w.mp4"):
        write_numbered_video(tmp_path / "in" / name, 20)
    write_annotations(tmp_path / "in" / "annotations.csv", [Sample("v", "v.mp4"), Sample("w", "w.mp4")])
    extract(tmp_path / "in", output, CONFIG)
    before = contents(output)
    (tmp_path / "in" / "v.mp4").unlink()
    said.clear()
    result = extract(tmp_path / "in", output, CONFIG)
    assert (result.reused, result.failures) == (2, [])
    assert any(
        "1 sample(s) keep the features they have, though their videos are not there any more: v (v.mp4)"
        in line
        for line in said
    )
    assert_same_features(contents(output), before)


def test_other_numerics_are_refused_unless_asked_for(output, tmp_path):
    (tmp_path / "in").mkdir()
    write_numbered_video(tmp_path / "in" / "v.mp4", 20)
    extract(tmp_path / "in", output, CONFIG)
    write_numbered_video(tmp_path / "in" / "w.mp4", 20)
    other = replace(CONFIG, batch_size=2)
    with pytest.raises(
        AqaError,
        match=(
            r"features of an earlier run are computed otherwise \(now, there\):\n  batch_size: 2,"
            r" 4\n.*--allow-mixed"
        ),
    ):
        extract(tmp_path / "in", output, other)
    extract(tmp_path / "in", output, replace(other, allow_mixed=True))
    with FeatureCache(output) as cache:
        assert cache.numerics["batch_size"] == 2 and cache.numerics["mixed_with"][0]["batch_size"] == 4
    with pytest.raises(AqaError, match="rounded to float16, which --dtype float32 cannot undo"):
        extract(tmp_path / "in", output, replace(other, allow_mixed=True, dtype="float32"))


def test_memory_does_not_hold_the_pixels_of_a_long_sample(output, tmp_path):
    import gc

    from aqa_cache.clips.assembler import Clip

    (tmp_path / "in").mkdir()
    write_numbered_video(tmp_path / "in" / "v.mp4", 16 * 40)
    alive = []

    def count(state):
        if state.clips % 8 == 0:
            alive.append(sum(type(item) is Clip for item in gc.get_objects()))

    extract(tmp_path / "in", output, CONFIG, progress=count)
    assert max(alive) <= 6 * CONFIG.batch_size  # queue, batch, and what a thread has in hand


def test_stopping_does_not_wait_for_a_gap_to_be_decoded(tmp_path):
    path = write_numbered_video(tmp_path / "v.mp4", 2000)  # a keyframe at every 250th frame
    reader = VideoReader(
        path, {0: Sample("a", "v.mp4", 0, 16), 1: Sample("b", "v.mp4", 1990, 2000 + 6)}, ClipRule()
    )
    pictures = 0

    def go_on():
        nonlocal pictures
        pictures += 1
        return pictures <= 100  # far into the 240 frames between the keyframe and the second sample

    items = list(reader.read(FramePreparer(MTL_AQA), go_on))
    assert pictures == 101 and len(items) == 2  # the first sample's clip and its outcome


def test_a_changed_video_is_extracted_again(videos, output, tmp_path):
    (tmp_path / "in").mkdir()
    video = write_numbered_video(tmp_path / "in" / "v.mp4", 20)
    extract(tmp_path / "in", output, CONFIG)
    assert extract(tmp_path / "in", output, CONFIG).reused == 1
    write_numbered_video(video, 40)
    result = extract(tmp_path / "in", output, CONFIG)
    assert (result.reused, result.clips) == (0, 2)


def test_interrupted_and_continued_equals_uninterrupted(videos, output, tmp_path, random_s3d):
    extract(videos, output, CONFIG)
    expected = contents(output)
    (tmp_path / "stopped").mkdir()
    stopped = tmp_path / "stopped" / "feats.h5"
    random_weights_path(stopped, "s3d").symlink_to(random_s3d)

    def stop(state):
        if state.samples >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(videos, stopped, CONFIG, progress=stop)
    assert not stopped.exists()
    assert len(list(stopped.with_name("feats.h5.parts").glob("*.h5"))) == 1
    result = extract(videos, stopped, CONFIG)
    assert result.reused >= 1
    assert_same_features(contents(stopped), expected)
    assert not stopped.with_name("feats.h5.parts").exists()


def test_another_spec_is_refused_with_the_fields_that_differ(videos, output):
    extract(videos, output, CONFIG)
    before = output.read_bytes()
    other = ExtractionConfig(backbone="s3d", weights="random", size=32, clip_rule=ClipRule(window=32))
    with pytest.raises(
        AqaError,
        match=r"made otherwise than asked for now \(asked for, there\):\n  clip_rule.window: 32, None",
    ):
        extract(videos, output, other)
    assert output.read_bytes() == before


def test_whatever_lies_in_the_folder_has_its_outcome(output):
    result = extract(MEDIA, output, CONFIG)
    reasons = dict(result.failures)
    done = {key for key, record in contents(output).items() if record.ok}
    assert done == {
        "archery",
        "mma_demo",
        "av1",
        "no_duration",
        "odd_size_vp9",
        "rotated",
        "two_video_streams",
        "variable_frame_rate",
    }
    assert {key: reason.split(": ", 1)[1] for key, reason in reasons.items()} == {
        "-video-with-dash-": "has 5 frame(s), shorter than one clip of 16",
        "hevc": "has 10 frame(s), shorter than one clip of 16",
        "non_zero_start": "has 12 frame(s), shorter than one clip of 16",
        "rotated_90_3_frames": "has 3 frame(s), shorter than one clip of 16",
        "corrupted_after_28_frames": (
            "is damaged after frame 28: 29 frames can be read (Invalid data found when processing input)"
        ),
        "zero_bytes": "has zero bytes; copy or download it again",
    }


def test_samples_inside_the_readable_part_of_a_damaged_video_are_extracted(output, tmp_path):
    write_annotations(
        tmp_path / "a.csv",
        [
            Sample("inside", "corrupted_after_28_frames.mp4", 4, 24),
            Sample("past", "corrupted_after_28_frames.mp4", 20, 40),
        ],
    )
    result = extract(MEDIA, output, CONFIG, annotations=tmp_path / "a.csv")
    assert contents(output)["inside"].ok
    assert len(result.failures) == 1
    assert (
        "needs frames [20, 40) but the video is damaged after frame 28: 29 frames can be read"
        in result.failures[0][1]
    )


def run(*arguments):
    return CliRunner().invoke(aqa_extract, [str(argument) for argument in arguments])


def test_command_exit_codes_and_summary(videos, output, tmp_path):
    options = ("--weights", "random", "--size", 32, "--batch-size", 4)
    result = run(*options, videos, output)
    assert result.exit_code == 1
    assert "1 failed, 0 not extracted yet" in result.stdout
    assert "1 sample(s) failed:\n  b2 (b.mp4): needs frames [30, 90)" in result.stderr
    assert "random weights" in result.stderr
    write_annotations(tmp_path / "good.csv", [Sample("a1", "a.mp4", 0, 50)])
    assert run(*options, "--prune", "--annotations", tmp_path / "good.csv", videos, output).exit_code == 0


def test_the_rest_of_an_action_is_taken_and_a_cache_goes_on_as_it_was_made(output, tmp_path):
    write_numbered_video(tmp_path / "a.mp4", 60)
    write_annotations(tmp_path / "annotations.csv", [Sample("x", "a.mp4", 0, 43, final_score=1.0)])
    options = ("--weights", "random", "--size", 32, "--batch-size", 4, tmp_path, output)
    assert run("--last-clip", "drop", *options).exit_code == 0
    result = run(*options)
    assert result.exit_code == 0 and f"Not given, so as in {output}: --last-clip drop" in result.stderr
    show = CliRunner().invoke(data, ["show", str(output)]).stdout
    assert "No clip saw 11 of 43 annotated frames (25.6 %, of 1 samples" in show
    assert "no clip saw 11 of 43" in " ".join(CliRunner().invoke(data, ["audit", str(output)]).stdout.split())
    assert run("--last-clip", "from-end", *options).exit_code == 2, "another spec"
    other = output.with_name("other.h5")
    again = (*options[:-1], other)
    result = run(*again)
    assert result.exit_code == 0 and "ends with the sample's last frame" in result.stdout
    result = run(*again)
    assert result.exit_code == 0 and "last-clip" not in result.stderr, "as always"
    assert contents(other)["x"].views[0].first_frame.tolist() == [0, 16, 27]
    assert "No clip saw" not in CliRunner().invoke(data, ["show", str(other)]).stdout


def test_a_missing_video_is_named_with_its_place(output, tmp_path):
    (tmp_path / "in").mkdir()
    write_annotations(
        tmp_path / "in" / "annotations.csv", [Sample("x", "nope.mp4", 0, 16, extra={"wind": "3"})]
    )
    result = run("--weights", "random", "--size", 32, tmp_path / "in", output)
    assert result.exit_code == 2 and not list(output.parent.glob("feats.h5*"))
    assert "none of the 1 video(s) that it names is in" in result.stderr
    assert f"no such video ({tmp_path / 'in' / 'nope.mp4'}); correct the column 'video'" in result.stderr
    assert "Columns kept as they are, without a meaning to this program: wind" in result.stderr


def test_a_thumbnail_does_not_make_a_folder_of_videos_one_of_frames(output, tmp_path):
    (tmp_path / "in").mkdir()
    write_numbered_video(tmp_path / "in" / "v.mp4", 16)
    (tmp_path / "in" / "thumb.jpg").touch()
    extract(tmp_path / "in", output, CONFIG)
    assert list(contents(output)) == ["v"]


def test_file_names_that_begin_with_a_dash(output, tmp_path, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    write_numbered_video(folder / "-dash.mp4", 16)
    monkeypatch.chdir(folder)
    result = run("--weights", "random", "--size", 32, "--", "-dash.mp4", output)
    assert result.exit_code == 0, result.output
    assert contents(output)["-dash"].views[0].features.shape == (1, 1024)


@pytest.mark.parametrize(
    ("prepare", "arguments", "message"),
    [
        (lambda folder: None, ["no-such-folder", "o.h5"], "no-such-folder: no such video or folder"),
        (
            lambda folder: (folder / "in").mkdir(),
            ["in", "o.h5"],
            "in: holds no videos; expected files ending in",
        ),
        (
            lambda folder: write_numbered_video(folder / "v.mp4", 16),
            ["v.mp4", "."],
            ".: is a folder, expected the name of a file",
        ),
        (
            lambda folder: write_numbered_video(folder / "v.mp4", 16),
            ["v.mp4", "no/o.h5"],
            "the folder no does not exist",
        ),
        (
            lambda folder: (
                write_numbered_video(folder / "v.mp4", 16),
                (folder / "o.h5").write_text("my thesis"),
            ),
            ["--weights", "random", "v.mp4", "o.h5"],
            "o.h5: is not an HDF5 file",
        ),
        (
            lambda folder: write_numbered_video(folder / "v.mp4", 16),
            ["--annotations", "no.csv", "v.mp4", "o.h5"],
            "no.csv: cannot be read: No such file or directory",
        ),
        (
            lambda folder: write_numbered_video(folder / "v.mp4", 16),
            ["--weights", "no.pth", "v.mp4", "o.h5"],
            (
                "weights 'no.pth' are neither a published name nor a file; choose s3d-kinetics400, random, or"
                " a path"
            ),
        ),
        (
            lambda folder: write_numbered_video(folder / "v.mp4", 16),
            ["--weights", "random", "--backbone", "c3d", "--size", "180", "v.mp4", "o.h5"],
            "c3d takes frames of 112x112 pixels, got 180",
        ),
        (
            lambda folder: (folder / "v.txt").touch(),
            ["v.txt", "o.h5"],
            "v.txt: is not known as a video by its name; expected .3g2",
        ),
        (
            lambda folder: write_numbered_video(folder / "v.mp4", 16),
            ["--clip-stride", "0", "v.mp4", "o.h5"],
            "clip_stride is 0",
        ),
        (
            lambda folder: write_numbered_video(folder / "v.mp4", 16),
            ["--weights", "random", "--clip-starts", "musdl", "--window", "102", "v.mp4", "o.h5"],
            "the clip that starts at 87 spans 16 frames and leaves the window of 102",
        ),
        (
            lambda folder: write_numbered_video(folder / "v.mp4", 16),
            ["--window", "9", "v.mp4", "o.h5"],
            "window is 9 frames",
        ),
        (
            lambda folder: write_numbered_video(folder / "v.mp4", 16),
            ["--weights", "random", "--device", "cuda:77", "v.mp4", "o.h5"],
            "device 'cuda:77' cannot be used",
        ),
    ],
)
def test_mistakes_have_one_message_and_exit_code_2(tmp_path, monkeypatch, prepare, arguments, message):
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    result = run(*arguments)
    assert result.exit_code == 2
    assert (
        message in result.stderr and result.stderr.startswith("Error: ") and "Traceback" not in result.output
    )
    for path, content in before.items():
        assert path.read_bytes() == content


def test_no_log_is_written_through_a_link(videos, output, tmp_path, said):
    (tmp_path / "notes").write_text("mine\n")
    log = output.with_name("feats.h5.log")
    log.symlink_to(tmp_path / "notes")
    assert extract(videos, output, CONFIG).dtype
    assert (tmp_path / "notes").read_text() == "mine\n"
    assert any(line.startswith(f"{log}: is a symbolic link") and "not touched" in line for line in said)


def test_threads_are_those_asked_for_in_this_extraction_alone(videos, output):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        extract(videos / "b.mp4", output, replace(CONFIG, threads=1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    with FeatureCache(output) as cache:
        assert cache.numerics["threads"] == 1
    with pytest.raises(AqaError, match="threads is 0, it must be at least 1"):
        replace(CONFIG, threads=0)


@pytest.mark.parametrize("given", ["--window 20", "--clip-starts 0,4", "--preprocess mtl-aqa"])
def test_what_others_have_done_so_leaves_the_rest(output, tmp_path, given):
    write_numbered_video(tmp_path / "a.mp4", 43)
    options = (*given.split(), "--weights", "random", "--size", 32, "--batch-size", 4, tmp_path, output)
    result = run(*options)
    assert result.exit_code == 0 and "last" not in result.stdout
    with FeatureCache(output) as cache:
        assert "last_clip" not in cache.spec.clip_rule


def test_an_extraction_that_was_stopped_goes_on_with_its_rule(output, tmp_path, monkeypatch):
    """Also where only parts are there, and where they are of a time when the rest was left."""
    write_numbered_video(tmp_path / "a.mp4", 43)
    config = replace(CONFIG, clip_rule=ClipRule())
    with monkeypatch.context() as patch:
        patch.setattr("aqa_cache.extraction.run.publish", lambda *_, **__: None)
        extract(tmp_path, output, config)
    assert not output.exists()
    result = run("--weights", "random", "--size", 32, "--batch-size", 4, tmp_path, output)
    assert result.exit_code == 0 and f"so as in {output}: --last-clip drop" in result.stderr, result.output
