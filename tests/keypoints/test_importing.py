"""Keypoints into a cache, and all that may be wrong with them."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from numbered_video import write_numbered_video

from aqa_cache.annotations import Sample, write_annotations
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.verification import verify
from aqa_cache.clips.rule import ClipRule
from aqa_cache.errors import AqaError
from aqa_cache.keypoints.features import clip_row, dct_row, torso_length
from aqa_cache.keypoints.importing import import_keypoints
from aqa_cache.keypoints.sample_features import KeypointOptions
from aqa_cache.keypoints.skeletons import SKELETONS, anchors_of
from aqa_cache.video import probing
from aqa_cache.video.probing import probe
from aqa_cli.data import data
from aqa_heads.data.leaks import frames_of_features

COCO = anchors_of(SKELETONS["coco17"])
SAMPLES = [
    Sample("one", "v.mp4", 10, 50, "train", "a", final_score=50.0),
    Sample("two", "v.mp4", 60, 95, "train", "b", final_score=70.0),
    Sample("own", "w.mp4", 5, 45, "test", "c", final_score=60.0),
]


def walk(frames, seed=0, joints=17):
    """Joints that move smoothly, of a body some hundred pixels high."""
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(1, joints, 2)) * 60 + np.cumsum(rng.normal(size=(frames, joints, 2)), axis=0) + 300
    )


@pytest.fixture
def given(tmp_path):
    """A folder with the keypoints of a whole video, and of one sample."""
    folder = tmp_path / "poses"
    folder.mkdir()
    np.save(folder / "v.npy", walk(100))
    np.save(folder / "own.npy", walk(40, 1))
    write_annotations(tmp_path / "annotations.csv", SAMPLES)
    return folder


@pytest.fixture
def run(given, tmp_path):
    def run(form="clips", *, videos=None, allow_missing=False, **options):
        return import_keypoints(
            given,
            tmp_path / "pose.h5",
            tmp_path / "annotations.csv",
            KeypointOptions(form, **options),
            videos=videos,
            allow_missing=allow_missing,
            force=True,
        )

    return run


def test_clips_are_those_of_the_rule_and_dct_is_one_row(run):
    done = run(clip_rule=ClipRule(16, 8, last_clip="from-end"))
    assert verify(done.path).problems == []
    assert (done.samples, done.failed, done.surplus, done.filled) == (3, [], [], 0)
    with FeatureCache(done.path) as cache:
        assert cache.samples == SAMPLES and cache.spec.backbone == "pose-clips"
        assert [cache.clips(index).first_frame.tolist() for index in range(3)] == [
            [10, 18, 26, 34],
            [60, 68, 76, 79],
            [5, 13, 21, 29],
        ]
        used = walk(100)[60:95]
        torso = torso_length(used, COCO)
        expected = [clip_row(used[first : first + 16], COCO, torso) for first in (0, 8, 16, 19)]
        np.testing.assert_array_equal(cache.features(1), expected)
        assert frames_of_features(cache) == {"one": (10, 50), "two": (60, 95), "own": (5, 45)}
    for form, scale in (("dct", 1.0), ("dct-torso", torso_length(walk(40, 1), COCO))):
        with FeatureCache(run(form).path) as cache:
            assert cache.spec.backbone == f"pose-{form}"
            np.testing.assert_array_equal(cache.features(2), [dct_row(walk(40, 1) / scale, COCO)])
            assert cache.clips(0).first_frame.tolist() == [10]


def test_a_window_takes_frames_before_the_annotated_start_where_there_are_any(run, given):
    with FeatureCache(run("dct", clip_rule=ClipRule(window=40)).path) as cache:
        np.testing.assert_array_equal(cache.features(1), [dct_row(walk(100)[55:95], COCO)])
        assert frames_of_features(cache)["two"] == (55, 95)
    with pytest.raises(
        AqaError,
        match=r"of 2 of 3 samples(.|\n)*one: the window of 60 .*at frame -10(.|\n)*own: .* at frame -15",
    ):
        run("dct", clip_rule=ClipRule(window=60))


def test_what_differs_has_another_fingerprint(run, given):
    prints = [
        run(**options).spec.fingerprint
        for options in (
            {},
            {"form": "dct"},
            {"form": "dct-torso"},
            {"form": "dct", "pieces": 2},
            {"form": "dct", "clip_rule": ClipRule(window=35)},
            {"form": "dct", "head": "left_ear"},
            {"clip_rule": ClipRule(8, 8)},
            {"hips": "left_hip"},
            {"only": "left_shoulder,right_shoulder,left_hip,right_hip,nose"},
            {"joints": ",".join(reversed(SKELETONS["coco17"]))},
        )
    ]
    assert len(set(prints)) == len(prints)


def test_gaps_are_filled_within_a_samples_own_frames_and_their_share_is_said(run, given):
    positions = walk(100)
    positions[50:70, 3] = np.nan  # behind the first sample, and in the first 10 of 35 frames of the second
    np.save(given / "v.npy", positions)
    done = run("dct")
    assert done.most_filled == ("two", pytest.approx(10 / (17 * 35)))
    assert done.filled == pytest.approx(10 / (17 * (40 + 35 + 40)))
    positions[60:70, 3] = positions[70, 3]
    with FeatureCache(done.path) as cache:
        np.testing.assert_array_equal(cache.features(1), [dct_row(positions[60:95], COCO)])
        assert cache.numerics == {"filled": round(done.filled, 6)}


def test_lists_of_detections_may_end_before_the_sample(run, given):
    (given / "own.npy").unlink()
    third = np.concatenate([walk(30, 1), np.ones((30, 17, 1))], axis=2)
    entries = [{"image_id": f"{n}.jpg", "keypoints": row.ravel().tolist()} for n, row in enumerate(third)]
    (given / "own.json").write_text(json.dumps(entries))
    done = run("dct")
    assert done.most_filled == ("own", pytest.approx(0.25))


def whole(positions):
    return lambda folder: np.save(folder / "v.npy", positions)


def own(positions):
    return lambda folder: np.save(folder / "own.npy", positions)


def own_with_names(folder):
    (folder / "own.npy").unlink()
    np.savez(folder / "own.npz", keypoints=walk(40, joints=2), joints=np.array(["a", "b"]))


def nothing(folder):
    pass


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (own(walk(41)), {}, r"own: its keypoints have 41 frames, and it has 40, \[5, 45\)"),
        (whole(walk(90)), {}, r"two: needs frames \[60, 95\), and .* of its video have 90"),
        (
            lambda folder: (folder / "own.npy").unlink(),
            {},
            "own: has no keypoints, of its own or of its video",
        ),
        (whole(walk(100, joints=18)), {}, "one, two: v.npy: has 18 joints without names"),
        (whole(np.zeros((100, 17, 3))), {}, "one, two: v.npy: .*--third"),
        (
            lambda folder: np.savez(folder / "v.npz", walk(9)),
            {},
            r"two: v has 2 keypoints \(v.npy, v.npz\); keep",
        ),
        (
            lambda folder: (folder / "v.npy").write_bytes(b"no"),
            {},
            "one, two: v.npy: is not a file of numpy's",
        ),
        (whole(np.full((100, 17, 2), np.nan)), {}, "nobody in any of its 32 frames"),
        (whole(np.ones((100, 17, 2))), {}, "torso is 0 long"),
        (whole(np.ones((100, 2, 17, 2))), {}, "frame 0 has 2 people"),
        (own_with_names, {}, "own: own.npz: lacks nose, left_eye, .*, which others have"),
        (nothing, {"only": "nose,tail"}, "has no joint tail; its joints are nose"),
        (nothing, {"joints": "a,b"}, "has 17 joints, expected 2: a, b"),
        (nothing, {"head": "tail", "form": "dct"}, "one, two, own: no joint is the head: expected tail"),
        (nothing, {"clip_rule": ClipRule(48)}, r"has 40 frame\(s\), shorter than one clip of 48"),
    ],
)
def test_keypoints_that_cannot_be_used_are_all_said_and_nothing_is_written(
    run, given, tmp_path, change, options, said
):
    change(given)
    with pytest.raises(AqaError, match=said):
        run(**options)
    assert not (tmp_path / "pose.h5").exists()


def test_keypoints_of_another_length_than_the_video(run, tmp_path):
    write_numbered_video(tmp_path / "v.mp4", 100)
    write_numbered_video(tmp_path / "w.mp4", 60)
    assert run(videos=tmp_path).failed == []
    write_numbered_video(tmp_path / "v.mp4", 104)
    with pytest.raises(AqaError, match="one, two: its video has 104 frames, and the keypoints have 100"):
        run(videos=tmp_path)
    (tmp_path / "v.mp4").unlink()
    with pytest.raises(AqaError, match="one, two: .*(no such|not there|missing)"):
        run(videos=tmp_path)


def test_the_frames_of_a_video_are_counted_once(run, tmp_path, monkeypatch):
    write_numbered_video(tmp_path / "v.mp4", 100)
    write_numbered_video(tmp_path / "w.mp4", 60)
    counted = []
    monkeypatch.setattr(probing, "probe", lambda path: counted.append(path.name) or probe(path))
    run(videos=tmp_path)
    assert counted == ["v.mp4"]  # of two samples; the third has keypoints of its own


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"form": "fourier"}, "expected one of clips, dct, dct-torso"),
        ({"person": "best"}, "expected one of surest, largest"),
        ({"third": "height"}, "expected one of confidence, depth"),
        ({"pieces": 0, "form": "dct"}, "pieces is 0"),
        ({"pieces": 2}, "with --as clips nothing else"),
        ({"clip_rule": ClipRule(1, 1)}, "a velocity takes two frames"),
        ({"least_confidence": 1.0}, "from 0 to below 1"),
    ],
)
def test_options_that_cannot_be(options, said):
    with pytest.raises(AqaError, match=said):
        KeypointOptions(**options)


def test_the_command_says_what_it_did(given, tmp_path):
    np.save(given / "stray.npy", walk(5))
    (given / "own.npy").unlink()
    command = ["import-keypoints", str(given), str(tmp_path / "pose.h5")]
    command += ["--annotations", str(tmp_path / "annotations.csv")]
    refused = CliRunner().invoke(data, command)
    assert refused.exit_code == 2 and "own: has no keypoints" in refused.stderr
    assert "--allow-missing writes them as failed" in refused.stderr
    done = CliRunner().invoke(data, [*command, "--allow-missing"])
    assert done.exit_code == 1, done.output
    assert "2 of 3 samples, 4 rows of 140 values (pose-clips) of 17 joints" in done.stdout
    assert "17 joints without names are taken as those of coco17" in done.stderr
    assert "1 keypoints of no sample are left out: stray.npy" in done.stderr
    with FeatureCache(tmp_path / "pose.h5") as cache:
        assert cache.reasons[2].startswith("own (w.mp4): has no keypoints")
    again = CliRunner().invoke(data, command)
    assert again.exit_code == 2 and "exists already" in again.stderr


def test_a_table_needs_no_videos_unless_they_are_looked_at(run, tmp_path):
    table = "sample_id,final_score\nv,5\nown,6\n"
    (tmp_path / "annotations.csv").write_text(table, encoding="utf-8")
    assert run().samples == 2
    with pytest.raises(AqaError, match="has no column 'video'"):
        run(videos=tmp_path)
