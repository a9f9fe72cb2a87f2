"""`--tokens time`: every time step inside a clip is a row, from extraction to scores."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from small_extraction import CONFIG, assert_same_features, contents

from aqa_cache.annotations import Sample, read_annotations, write_annotations
from aqa_cache.cache_file.contents import unseen_frames
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.verification import verify
from aqa_cache.clips.rule import ClipRule
from aqa_cache.clips.views import parse_views
from aqa_cache.errors import AqaError
from aqa_cache.extraction import sample_buffer
from aqa_cache.extraction.run import ExtractionConfig, extract
from aqa_cache.weights.random_weights import random_weights_path
from aqa_cli.extract import main as aqa_extract
from aqa_heads import FineTuning, TrainingConfig, fine_tune, train
from aqa_heads.data.leaks import frames_of_features
from aqa_heads.errors import TrainingError
from aqa_heads.scoring.table import score_table

OVER_TIME = replace(CONFIG, tokens="time", dtype="float32")


@pytest.fixture(scope="module")
def table(videos, tmp_path_factory):
    """Eleven samples with scores and splits."""
    samples = [
        replace(sample, split="test" if number % 4 == 3 else "train", final_score=10.0 + 7 * number % 11)
        for number, sample in enumerate(read_annotations(videos / "annotations.csv"))
    ]
    path = tmp_path_factory.mktemp("table") / "scored.csv"
    write_annotations(path, samples)
    return path


@pytest.fixture(scope="module")
def caches(videos, table, tmp_path_factory, random_s3d):
    """One cache of clips, one of time steps."""
    folder = tmp_path_factory.mktemp("caches")
    for name, tokens in (("clips.h5", "clip"), ("steps.h5", "time")):
        random_weights_path(folder / name, "s3d").symlink_to(random_s3d)
        extract(videos, folder / name, replace(OVER_TIME, tokens=tokens), annotations=table)
    return folder / "clips.h5", folder / "steps.h5"


def test_rows_are_time_steps_with_frames_and_times_of_their_own(caches):
    with FeatureCache(caches[0]) as clips, FeatureCache(caches[1]) as steps:
        assert steps.spec.fingerprint != clips.spec.fingerprint
        assert steps.spec.differences(clips.spec) == [
            "layer: features, mean over height and width; one row per 8 frames, features, mean over (2,"
            " height, width) windows"
        ]
        assert steps.spec.clip_rule == clips.spec.clip_rule
        assert (steps.spec.step, clips.spec.step) == (8, None)
        assert (steps.spec.row_span, clips.spec.row_span) == (8, 16)
        assert steps.frame_rate == 25
        for index in range(len(clips)):
            whole, parts = clips.clips(index), steps.clips(index)
            first = whole.first_frame
            assert parts.first_frame.tolist() == [frame for one in first for frame in (one, one + 8)]
            np.testing.assert_allclose(parts.pts_seconds, parts.first_frame / 25)
            means = parts.features.reshape(len(first), 2, -1).mean(axis=1)
            np.testing.assert_allclose(means, whole.features, rtol=1e-3, atol=1e-4)
            assert not np.allclose(parts.features[0], parts.features[1], rtol=1e-2)


def test_frames_that_were_used_are_those_of_the_clips(caches):
    with FeatureCache(caches[0]) as clips, FeatureCache(caches[1]) as steps:
        assert frames_of_features(steps) == frames_of_features(clips)
        assert unseen_frames(steps) == unseen_frames(clips)


def test_steps_of_overlapping_clips_are_in_time_order_also_from_a_file(
    videos, output, tmp_path, random_s3d, monkeypatch
):
    config = replace(
        OVER_TIME, clip_rule=ClipRule(clip_stride=9, frame_step=2), views=parse_views("jitter=1")
    )
    write_annotations(tmp_path / "one.csv", [Sample("a", "1.mp4", 10, 70), Sample("b", "2.mp4")])
    extract(videos, output, config, annotations=tmp_path / "one.csv")
    assert verify(output).problems == []
    plain = contents(output)
    first = plain["a"].views[0].first_frame
    assert first.tolist() == sorted(start + step for start in range(10, 40, 9) for step in (0, 16))
    monkeypatch.setattr(sample_buffer, "SPILL_BYTES", 1)
    (tmp_path / "other").mkdir()
    spilled = tmp_path / "other" / output.name
    random_weights_path(spilled, "s3d").symlink_to(random_s3d)
    extract(videos, spilled, config, annotations=tmp_path / "one.csv")
    assert_same_features(plain, contents(spilled))


@pytest.mark.parametrize("encoder", ["average", "lstm", "transformer", "statistics", "conv"])
def test_encoders_train_on_steps(caches, tmp_path, encoder):
    run = train(
        TrainingConfig(
            caches[1], encoder=encoder, encoder_hidden=8, epochs=1, validation_folds=0, out=tmp_path
        )
    )
    assert run.config["features"]["spec"]["layer"].endswith("; one row per 8 frames")


def test_a_new_video_is_scored_by_a_run_that_learned_from_steps(caches, videos, tmp_path):
    run = train(TrainingConfig(caches[1], "ridge", out=tmp_path))
    cached = {score.sample_id: score for score in score_table(run.folder, features=caches[1]).scores}
    scored = score_table(run.folder, [videos / "1.mp4"], 25, 45, weights=None)
    (score,) = scored.scores
    assert score.points == pytest.approx(cached["1-25"].points, rel=1e-4)
    assert score.frames == (25, 41) and len(score.contributions.clips) == 2
    assert [clip.first_frame for clip in score.contributions.clips] == [25, 33]
    assert [clip.pts_seconds for clip in score.contributions.clips] == [1.0, 1.32]


def test_end_to_end_training_refuses_steps(caches, videos, tmp_path):
    config = TrainingConfig(caches[1], fine_tuning=FineTuning(videos), out=tmp_path)
    with pytest.raises(TrainingError, match="without --tokens time"):
        fine_tune(config)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backbone": "c3d", "size": 112}, "c3d leaves one vector of a clip.*another --backbone: s3d, i3d, "),
        ({"clip_rule": ClipRule(20)}, "--clip-len 16, or leave out --tokens time"),
        ({"clip_rule": ClipRule(8)}, "s3d needs clips of at least 14 frames"),
    ],
)
def test_what_has_no_time_steps_is_refused_before_anything_is_made(videos, output, options, said):
    with pytest.raises(AqaError, match=said):
        extract(videos, output, replace(OVER_TIME, **options))
    assert not output.exists()


def test_a_cache_of_clips_is_not_continued_with_steps(videos, output):
    command = [str(videos), str(output), "--weights", "random", "--size", "32", "--workers", "1"]
    done = CliRunner().invoke(aqa_extract, command)
    assert done.exit_code == 0, done.output
    refused = CliRunner().invoke(aqa_extract, [*command, "--tokens", "time"])
    assert refused.exit_code == 2 and "one row per 8 frames" in refused.output
    with pytest.raises(AqaError, match="unknown tokens 'space'; choose one of clip, time"):
        ExtractionConfig(tokens="space")


@pytest.mark.parametrize("where", ["feats", "place"])
def test_the_summary_counts_time_steps(videos, table, random_s3d, monkeypatch, tmp_path, where):
    monkeypatch.setenv("AQA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AQA_WEIGHTS", str(tmp_path))
    random_weights_path(tmp_path / f"{where}.h5", "s3d").symlink_to(random_s3d)
    output = f"file://{tmp_path}/place" if where == "place" else str(tmp_path / "feats.h5")
    command = ["--annotations", str(table), "--weights", "random", "--size", "32", "--tokens", "time"]
    done = CliRunner().invoke(aqa_extract, [*command, str(videos), output])
    assert "time steps" in done.stdout and "1024 values per time step" in done.stdout, done.output
