"""New videos are scored as cached samples are, and what a score is made of adds up."""

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_cache import small_models, write_synthetic_cache
from tiny_backbone import extract_tiny, register_tiny, write_weights

from aqa_cache.annotations import Sample, read_annotations
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.datasets.synthetic_dives import render_broadcasts
from aqa_cache.errors import AqaError
from aqa_heads import TrainingConfig, score, score_table, train
from aqa_heads.errors import RunError
from aqa_heads.evaluation.predictions import predict
from aqa_heads.networks.architecture import Architecture
from aqa_heads.networks.model import AqaModel
from aqa_heads.runs.format import read_run
from aqa_heads.runs.training_samples import TrainingSample, TrainingSamples, directions
from aqa_heads.scoring.contributions import contributions_of, is_sum_over_clips
from aqa_heads.scoring.learned_from import Video, learned_of, overlapping
from aqa_heads.scoring.moments import frame_of
from aqa_heads.scoring.neighbours import neighbours_of
from aqa_heads.scoring.scorer import Scorer
from aqa_heads.scoring.trained import Trained

SMALL = {
    "epochs": 2,
    "batch_size": 4,
    "lr": 1e-3,
    "device": "cpu",
    "meteor": False,
    "threads": 1,
    "validation": 0.5,
}


@pytest.fixture(autouse=True)
def small():
    with small_models(), pytest.MonkeyPatch.context() as patch:
        register_tiny(patch)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight dives to train on, two to test, as video; their features, rounded; and runs on them."""
    folder = tmp_path_factory.mktemp("scoring")
    render_broadcasts(
        folder / "videos", train_dives=8, test_dives=2, events=5, seed=0, size=(128, 72), workers=1
    )
    write_weights(folder / "tiny.pth")
    with small_models(), pytest.MonkeyPatch.context() as patch:
        register_tiny(patch)
        feats = extract_tiny(folder, folder / "videos", dtype="float16")
        for seed in (0, 1):
            train(TrainingConfig(feats, "baseline", seed=seed, out=folder / "seeds", **SMALL))
        for name, options in {
            "ridge": {"experiment": "ridge"},
            "multiply": {"experiment": "ridge", "difficulty": "multiply"},
        }.items():
            train(TrainingConfig(feats, out=folder, name=name, **SMALL | options))
    return folder


@functools.cache
def of_cache(folder, run):
    return score_table(folder / run, features=folder / "feats.h5").scores


def dives_of(folder):
    """The test samples."""
    return [s for s in read_annotations(folder / "videos/annotations.csv") if s.split == "test"]


@pytest.fixture
def alone(folder, tmp_path):
    """A run of its own, to be changed."""
    return shutil.copytree(folder / "ridge", tmp_path / "ridge")


@pytest.mark.parametrize("run", ["ridge", "seeds"])
def test_a_video_scores_as_its_cached_sample_to_the_bit(folder, run):
    cached = {one.sample_id: one for one in of_cache(folder, run)}
    table = score_table(folder / run, [folder / "videos"])
    assert len(table.scores) == len(cached) == 10 and not table.failures
    for one in table.scores:
        theirs = cached[one.sample_id]
        assert one.points == theirs.points and one.classes == theirs.classes
        assert one.caption == theirs.caption and one.frames == theirs.frames
        assert one.contributions == theirs.contributions and one.neighbours == theirs.neighbours
    sample = dives_of(folder)[0]
    video = folder / "videos" / sample.video
    found = score(folder / run, video, sample.start_frame, sample.end_frame)
    assert found.points == cached[sample.sample_id].points
    assert [one.points for one in table.scores] == sorted((one.points for one in table.scores), reverse=True)


def test_in_batches_of_another_size_a_video_scores_nearly_as_its_cached_sample(folder, alone):
    changed(alone, lambda config: config["features"]["numerics"].update(batch_size=1))
    found = {one.sample_id: one.points for one in score_table(alone, [folder / "videos"]).scores}
    cached = {one.sample_id: one.points for one in of_cache(folder, "ridge")}
    allowed = 1e-3 * np.std([s.final_score for s in read_annotations(folder / "videos/annotations.csv")])
    assert max(abs(found[name] - cached[name]) for name in cached) <= allowed


def test_a_run_predicts_what_it_predicted(folder):
    expected = {
        row["sample_id"]: float(row["predicted_score"]) for row in read_run(folder / "ridge").predictions
    }
    for one in of_cache(folder, "ridge"):
        assert one.points == pytest.approx(expected[one.sample_id], rel=1e-6)


@pytest.mark.parametrize("run", ["ridge", "seeds", "multiply"])
def test_contributions_add_up(folder, run):
    exact = run != "seeds"
    for one in of_cache(folder, run):
        made = one.contributions
        assert made.exact == exact and len(made.clips) == 3
        assert sum(clip.points for clip in made.clips) + made.remainder == pytest.approx(one.points, abs=1e-9)
        assert [clip.first_frame - one.frames[0] for clip in made.clips] == [0, 16, 32]


def test_where_the_score_is_a_sum_the_remainder_is_the_same_for_all(folder):
    """It is what the run says of clips like the average one."""
    scores = of_cache(folder, "ridge")
    remainders = [one.contributions.remainder for one in scores]
    np.testing.assert_allclose(remainders, remainders[0], rtol=1e-6)


def test_a_weighted_mean_of_the_clips_is_a_sum_too():
    torch.manual_seed(0)
    made_of = Architecture(
        6, ("score",), encoder="attention", encoder_hidden=4, head="linear", score_scale=9.0
    )
    model = AqaModel(made_of).eval()
    torch.nn.init.normal_(model.encoder.weight.weight)
    clips = torch.randn(5, 6)
    weights = model.encoder.contributions(clips[None], torch.tensor([5]))[0]
    added, exact = contributions_of(model, clips, Sample("s", "v"), 0.0, 2.0)
    terms = 2 * 9 * weights * (clips @ model.heads.score.weight[0])
    assert exact and is_sum_over_clips(model)
    np.testing.assert_allclose(added, terms.detach(), rtol=1e-4, atol=1e-6)


def test_else_a_clip_adds_what_the_score_loses_without_it(folder):
    run = folder / "seeds" / "baseline-on-tiny"
    model = read_run(run).load_model()
    with FeatureCache(folder / "feats.h5") as cache:
        clips, name = torch.from_numpy(cache.features(0)), cache.samples[0].sample_id
    (found,) = [one for one in score_table(run, features=folder / "feats.h5").scores if one.sample_id == name]
    whole, *without = predict(model, [clips, clips[[1, 2]], clips[[0, 2]], clips[[0, 1]]]).score
    np.testing.assert_allclose(
        [clip.points for clip in found.contributions.clips], whole - without, atol=1e-4
    )


def test_seeds_are_averaged_and_their_spread_is_said(folder):
    one = of_cache(folder, "seeds")[0]
    each = list(one.by_run.values())
    assert list(one.by_run) == ["baseline-on-tiny", "baseline-on-tiny-seed1"] and one.points == np.mean(each)
    assert one.spread == pytest.approx(abs(each[0] - each[1]) / np.sqrt(2))
    for column, probabilities in one.classes.items():
        assert sum(probabilities.values()) == pytest.approx(1), column
        assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)


def test_runs_of_different_rows_are_refused_and_a_pattern_names_some(folder):
    with pytest.raises(RunError, match=r"holds 3 rows(.|\n)*ridge(.|\n)*quoted pattern"):
        score_table(folder, features=folder / "feats.h5")
    found = score_table(folder / "seeds" / "base*", features=folder / "feats.h5")
    assert len(found.scores[0].by_run) == 2
    with pytest.raises(RunError, match="no folder matches"):
        score_table(folder / "no*", features=folder / "feats.h5")


def test_a_model_file_scores_too(folder):
    of_run = of_cache(folder, "ridge")
    of_file = score_table(folder / "ridge/model.safetensors", features=folder / "feats.h5")
    assert [one.points for one in of_run] == [one.points for one in of_file.scores]
    assert not of_file.scores[0].neighbours and any("no neighbours" in note for note in of_file.notes)


def test_the_difficulty_is_needed_where_it_is_multiplied(folder, said):
    sample = dives_of(folder)[0]
    video, frames = folder / "videos" / sample.video, (sample.start_frame, sample.end_frame)
    with pytest.raises(AqaError, match="needs the difficulty.*give --difficulty"):
        score(folder / "multiply", video, *frames)
    one, two = (score(folder / "multiply", video, *frames, difficulty).points for difficulty in (1.5, 3.0))
    assert two == pytest.approx(2 * one)
    said.clear()
    score(folder / "ridge", video, *frames, difficulty=3.0)
    assert "--difficulty has no effect: the run's scores do not depend on it." in said
    with pytest.raises(AqaError, match="difficulty is -1"):
        score(folder / "multiply", video, *frames, -1)


def test_moments_are_frames_or_seconds(folder, numbered_video):
    sample = dives_of(folder)[0]
    video = folder / "videos" / sample.video
    found = score(
        folder / "ridge", video, f"{sample.start_frame / 25:.2f}s", f"{sample.end_frame / 25:.2f} s"
    )
    assert found.points == score(folder / "ridge", video, sample.start_frame, sample.end_frame).points
    expected = {7: 7, "7": 7, "0s": 0, "0.04s": 1, "0.041s": 2, "1.5 s": 38, "12s": 300}
    assert {moment: frame_of(numbered_video, moment) for moment in expected} == expected
    for wrong in ("-1", "1:30", "2m", "١", ""):
        with pytest.raises(AqaError, match="neither a number of frames"):
            frame_of(numbered_video, wrong)
    with pytest.raises(AqaError, match="lasts 12.000 s, and 999 s is behind its end"):
        frame_of(numbered_video, "999s")
    with pytest.raises(AqaError, match="give an --end after --start"):
        score(folder / "ridge", video, 20, 20)


def test_the_panel_stands_beside_the_score(folder):
    """Of the dives' rule, which the run has from its training samples."""
    dives = {sample.sample_id: sample for sample in read_annotations(folder / "videos/annotations.csv")}
    for one in of_cache(folder, "ridge"):
        sample, panel = dives[one.sample_id], one.panel
        assert [judge.mark for judge in panel.judges] == list(sample.judges)
        assert panel.rule == "the sum of the middle 3 of 7 marks, times the difficulty"
        assert panel.points == pytest.approx(sample.final_score, abs=0.01)
        assert panel.predicted_mark == pytest.approx(one.points / sample.difficulty / 3)
        furthest = max(abs(judge.deviation) for judge in panel.judges)
        assert abs(panel.furthest_judge.deviation) == furthest and 1 / 9 <= panel.share_as_far <= 1
    sample = dives_of(folder)[0]
    video = folder / "videos" / sample.video
    assert score(folder / "ridge", video, sample.start_frame, sample.end_frame).panel is None


def test_what_was_learned_from_is_said(folder):
    for one in score_table(folder / "ridge", [folder / "videos"]).scores:
        ids = {near.sample.sample_id for near in one.neighbours}
        trained = "test" not in {s.split for s in dives_of(folder) if s.sample_id == one.sample_id}
        assert any("learned from it" in note for note in one.notes) == trained
        assert len(ids) == 3 and one.sample_id not in ids


def test_neighbours_are_the_nearest_by_cosine():
    encoded = np.array([[1, 0], [1, 1], [0, 2], [-1, 0], [3, 3]], np.float32)
    samples = [
        TrainingSample(name, "v.mp4", (place * 100, place * 100 + 50)) for place, name in enumerate("abcde")
    ]
    run = Trained(Path("run"), {}, None, None, None, TrainingSamples(samples, directions(encoded)))
    found = neighbours_of([run], [np.array([0, 5], np.float32)])
    assert [near.sample.sample_id for near in found] == ["c", "b", "e"]
    assert [near.similarity for near in found] == pytest.approx([1, np.sqrt(0.5), np.sqrt(0.5)])
    assert [near.sample.sample_id for near in neighbours_of([run], [encoded[0]], frozenset("ab"))] == [
        "e",
        "c",
        "d",
    ]
    assert overlapping(learned_of([run], Video("other/v.mp4")), (140, 210)).keys() == {"b", "c"}
    assert not overlapping(learned_of([run], Video("w.mp4")), (140, 210))
    assert not overlapping(learned_of([run], Video("v.mp4")), (150, 200))


def test_another_video_of_the_same_name_was_not_learned_from(folder, tmp_path):
    sample = read_annotations(folder / "videos/annotations.csv")[0]
    frames = sample.start_frame, sample.end_frame
    copied = shutil.copy(folder / "videos" / sample.video, tmp_path / sample.video)
    assert any("learned from it" in note for note in score(folder / "ridge", copied, *frames).notes)
    render_broadcasts(
        tmp_path / "new", train_dives=2, test_dives=0, events=1, seed=1, size=(128, 72), workers=1
    )
    other = score(folder / "ridge", tmp_path / "new" / sample.video, 0, 60)
    assert not any("learned" in note for note in other.notes)


def test_files_that_were_changed_are_seen(folder, alone):
    for name in ("model.safetensors", "training_samples.safetensors"):
        content = (alone / name).read_bytes()
        (alone / name).write_bytes(content + b"\n")
        with pytest.raises(RunError, match=rf"{name}: is not the file that the run was written with"):
            score_table(alone, features=folder / "feats.h5")
        (alone / name).unlink()
        with pytest.raises(RunError, match=f"{name}: is not there"):
            score_table(alone, features=folder / "feats.h5")
        (alone / name).write_bytes(content)
    assert score_table(alone, features=folder / "feats.h5").scores


def changed(run, change):
    config = json.loads((run / "config.json").read_text())
    change(config)
    (run / "config.json").write_text(json.dumps(config))
    return run


def test_a_run_of_a_newer_format_is_refused(alone):
    changed(alone, lambda config: config.update(run_format=3, seed={"of": "then"}))
    with pytest.raises(RunError, match="has run format 3, this program reads up to 2; upgrade"):
        read_run(alone)


def test_a_run_of_before_scores_with_the_cache_that_it_learned_from(folder, alone):
    (alone / "training_samples.safetensors").unlink()
    changed(alone, lambda config: [config.pop("files"), config["features"].pop("spec")])
    with pytest.raises(RunError, match="does not say how its features were made; give the cache.*--features"):
        score_table(alone, [folder / "videos"])
    expected = score_table(folder / "ridge", [folder / "videos"])
    found = score_table(alone, [folder / "videos"], features=folder / "feats.h5")
    assert [one.points for one in found.scores] == [one.points for one in expected.scores]
    assert not found.scores[0].neighbours and any("no neighbours" in note for note in found.notes)


def test_other_features_and_other_weights_are_refused(folder, tmp_path, monkeypatch):
    other = write_synthetic_cache(tmp_path / "other.h5")
    with pytest.raises(RunError, match=r"were made in another way than those that(.|\n)*backbone: tiny, c3d"):
        score_table(folder / "ridge", features=other)
    another = write_weights(tmp_path / "another.pth", seed=1)
    with pytest.raises(
        AqaError, match="are other weights .SHA-256 .* than those that made the features, tiny.pth"
    ):
        score_table(folder / "ridge", [folder / "videos"], weights=str(another))
    moved = shutil.copytree(folder / "ridge", tmp_path / "elsewhere/ridge")
    changed(moved, lambda config: config["features"].update(path="gone/feats.h5"))
    with pytest.raises(AqaError, match=r"made with the weights tiny.pth .SHA-256 .*not at hand.*--weights"):
        score_table(moved, [folder / "videos"])
    given = score_table(moved, [folder / "videos"], weights=str(folder / "tiny.pth"))
    assert given.scores == score_table(folder / "ridge", [folder / "videos"]).scores


def test_a_run_on_imported_features_says_how_to_score(folder, tmp_path):
    path = write_synthetic_cache(tmp_path / "feats.h5")
    run = train(TrainingConfig(path, "ridge", out=tmp_path, **SMALL))
    with pytest.raises(
        RunError, match="was trained on imported features .*import-features.*--features NEW.h5"
    ):
        score_table(run.folder, [folder / "videos"])
    assert len(score_table(run.folder, features=path).scores) == 18


def test_a_video_that_is_too_short_fails_alone(folder, tmp_path, numbered_video):
    with pytest.raises(AqaError, match="the window of 48 frames that ends at frame 10 begins before"):
        score(folder / "ridge", numbered_video, 0, 10)
    table = tmp_path / "table.csv"
    table.write_text(
        "sample_id,video,start_frame,end_frame,final_score\n"
        f"good,{numbered_video},0,60,50\nshort,{numbered_video},0,10,\ngone,no.mp4,0,60,\n"
    )
    found = score_table(folder / "ridge", [table])
    assert [one.sample_id for one in found.scores] == ["good"] and found.scores[0].final_score == 50
    assert {name for name, _ in found.failures} == {"short", "gone"}


def test_another_frame_rate_is_said(folder, numbered_video, monkeypatch):
    assert not any("frames a second" in note for note in score(folder / "ridge", numbered_video).notes)
    with Scorer(folder / "ridge") as scorer:
        scorer.runs[0].config["features"]["frame_rate"] = 50.0
        (found,) = scorer.videos(numbered_video.parent, [Sample("v", numbered_video.name, 0, 60)]).scores
    assert any("has 25 frames a second, the training videos 50" in note for note in found.notes)


def test_nothing_to_score_is_one_message(folder):
    with pytest.raises(AqaError, match="nothing to score"):
        score_table(folder / "ridge")
    with pytest.raises(AqaError, match="is of one video, and there are 10 samples"):
        score_table(folder / "ridge", [folder / "videos"], start=3)
    with pytest.raises(AqaError, match="of cached samples the cache says that"):
        score_table(folder / "ridge", features=folder / "feats.h5", difficulty=3.0)


def test_two_takes_are_compared(folder, tmp_path):
    table = tmp_path / "two.csv"
    video, rows = folder / "videos", dives_of(folder)
    table.write_text(
        "sample_id,video,start_frame,end_frame\n"
        + "".join(f"{one.sample_id},{video / one.video},{one.start_frame},{one.end_frame}\n" for one in rows)
    )
    found = score_table(folder / "ridge", [table], compare=True)
    made, points = found.comparison, {one.sample_id: one.points for one in found.scores}
    assert (made.first, made.second) == (rows[0].sample_id, rows[1].sample_id)
    assert made.difference == points[made.first] - points[made.second]
    assert sum(part.difference for part in made.parts) + made.remainder == pytest.approx(made.difference)
    assert made.interval is None and "too few for 90 %" in made.note
    with pytest.raises(AqaError, match="--compare: there are 10 samples, expected two"):
        score_table(folder / "ridge", [folder / "videos"], compare=True)
    with pytest.raises(AqaError, match="--compare takes two; give one of them"):
        score_table(folder / "ridge", [folder / "videos"], compare=True, every="2s")


def test_a_long_video_is_searched_for_what_is_like_the_training_samples(folder):
    dive = next(s for s in read_annotations(folder / "videos/annotations.csv") if s.split == "train")
    video = folder / "videos" / dive.video
    found = score_table(folder / "ridge", [video], every="0.4s")
    assert found.by_fit and "no detector" in found.notes[0]
    shares = [one.share_as_far for one in found.scores]
    assert shares == sorted(shares, reverse=True)
    begins = sorted(one.frames[0] for one in found.scores)
    assert all(b - a >= 24 for a, b in zip(begins, begins[1:])), "half of a window of 48"
    for one in found.scores[:2]:
        assert one.points == score(folder / "ridge", video, *one.frames).points
    with pytest.raises(AqaError, match="--every: is of one video, and there are 10 samples"):
        score_table(folder / "ridge", [folder / "videos"], every="2s")
    with pytest.raises(AqaError, match="keeps nothing of its training samples"):
        score_table(folder / "ridge/model.safetensors", [video], every="2s", weights=str(folder / "tiny.pth"))


def test_of_a_whole_video_it_is_said_what_was_left_out(folder, numbered_video):
    assert any(
        "only its last 48 frames are scored" in n for n in score(folder / "ridge", numbered_video).notes
    )
    assert not any("only its last" in n for n in score(folder / "ridge", numbered_video, 0, 60).notes)


def test_what_stands_behind_a_score_is_that_of_the_run(folder):
    background = score_table(folder / "ridge", features=folder / "feats.h5").background
    dives = read_annotations(folder / "videos/annotations.csv")
    known = sorted(one.final_score for one in dives if one.split == "train")
    assert list(background.training_scores) == known and background.runs == ("ridge",)
    summary = read_run(folder / "ridge").summary
    assert background.tested.n == 2 and background.tested.mae == summary["mae"]
    train = [(one.difficulty, one.final_score) for one in dives if one.split == "train"]
    slope, intercept = np.polyfit(*zip(*train), 1)
    floors = background.floors_of(of_cache(folder, "ridge")[0])
    assert list(floors.values()) == pytest.approx(
        [np.mean(known), slope * of_cache(folder, "ridge")[0].difficulty + intercept]
    )
