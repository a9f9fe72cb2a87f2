"""Whole runs that train the backbone too: what they leave, that they learn, go on, and agree with
extraction.
"""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from interrupted_runs import Interrupt, files
from safetensors import SafetensorError
from safetensors.torch import load_file
from synthetic_cache import small_models
from tiny_backbone import change_annotations, extract_tiny, register_tiny, write_weights

from aqa_cache.annotations import Sample, read_annotations, write_annotations
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.clips.rule import ClipRule
from aqa_cache.clips.views import parse_views
from aqa_cache.datasets.synthetic_dives import render_broadcasts
from aqa_cache.errors import AqaError
from aqa_cache.extraction.run import ExtractionConfig, extract
from aqa_heads import FineTuning, TrainingConfig, fine_tune, predict, score_table, train
from aqa_heads.end_to_end import estimate
from aqa_heads.end_to_end.frame_views import views_apart
from aqa_heads.errors import DivergedError, RunError, TrainingError

NOTHING = 1e-30  # as a learning rate


@pytest.fixture(autouse=True)
def small():
    with small_models(), pytest.MonkeyPatch.context() as patch:
        register_tiny(patch)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve dives to train on, four to test, as video, and their features."""
    folder = tmp_path_factory.mktemp("end-to-end")
    render_broadcasts(
        folder / "videos", train_dives=12, test_dives=4, events=4, seed=0, size=(128, 72), workers=1
    )
    change_annotations(
        folder / "videos",
        lambda index, s: replace(s, split="val" if index % 4 == 1 and s.split == "train" else s.split),
    )
    write_weights(folder / "tiny.pth")
    with pytest.MonkeyPatch.context() as patch:
        register_tiny(patch)
        extract_tiny(folder, folder / "videos")
        extract_tiny(folder, folder / "videos", "drop.h5", "tiny-drop")
    return folder


@pytest.fixture
def config(folder, tmp_path):
    return TrainingConfig(
        folder / "feats.h5",
        experiment="baseline",
        epochs=3,
        batch_size=4,
        lr=1e-3,
        out=tmp_path / "runs",
        device="cpu",
        meteor=False,
        fine_tuning=FineTuning(folder / "videos", backbone_lr=1e-3),
    )


def tuned(config, **changes):
    """The config with another fine-tuning."""
    return replace(config, fine_tuning=replace(config.fine_tuning, **changes))


def backbone_of(run):
    return load_file(run.folder / "backbone.safetensors")


def scores_of(run):
    return {row["sample_id"]: float(row["predicted_score"]) for row in run.predictions}


def scores_on(run, features):
    """What the heads of `run` say of the features of a cache."""
    with FeatureCache(features) as cache:
        clips = [torch.from_numpy(cache.features(index)) for index in range(len(cache))]
        said = predict(run.load_model(), clips)
        return dict(zip([sample.sample_id for sample in cache.samples], said.score.tolist(), strict=True))


@pytest.mark.slow
def test_the_backbone_alone_learns_twelve_dives_through_s3d(folder, tmp_path):
    """The heads stay as they were made: what the loss loses, the gradient of a real backbone brought
    about.
    """
    features = tmp_path / "s3d.h5"
    config = ExtractionConfig(
        "s3d", weights="random", preprocess="mtl-aqa", size=32, clip_rule=ClipRule(window=16)
    )
    extract(folder / "videos", features, config)
    run = fine_tune(
        TrainingConfig(
            features,
            "2",
            tasks=("score",),
            protocol="paper",
            batch_size=4,
            epochs=4,
            lr=NOTHING,
            ridge_start=False,
            out=tmp_path / "runs",
            device="cpu",
            fine_tuning=FineTuning(folder / "videos", backbone_lr=1e-5, augment="none"),
        )
    )
    losses = [epoch.train_loss for epoch in run.epochs]
    assert min(losses[2:]) < losses[0] / 2
    assert any("the backbone starts from random weights (seed 0)" in note for note in run.config["notes"])


def test_a_run_folder_holds_the_backbone_and_says_what_was_done(config, folder, said):
    run = fine_tune(config)
    assert (
        run.folder / "backbone.safetensors"
    ).is_file() and run.folder.name == "baseline-end-to-end-on-tiny"
    assert run.config["label"] == "Baseline (end to end, on TINY features)"
    record = run.config["fine_tuning"]
    assert (
        record["started_from"] == "tiny.pth"
        and record["augment"] == "flip,jitter=3"
        and record["processes"] == 1
    )
    assert record["parameters"] == record["trained_parameters"] and record["clip_rule"]["window"] == 48
    assert run.summary["parameters"] == run.load_model().parameter_count + record["trained_parameters"]
    assert any("batch norm keeps the statistics" in line for line in said)
    start = torch.load(folder / "tiny.pth")
    for name, weight in backbone_of(run).items():
        trained = "running" not in name and "num_batches" not in name
        assert torch.equal(weight, start[name]) != trained, name
    assert len(run.epochs) == 3 and all(epoch.val_spearman is not None for epoch in run.epochs)


def test_the_captions_reach_the_backbone(config, folder):
    """What cached features cannot show: with the other tasks off, the captioner's gradient trains the
    backbone.
    """
    run = fine_tune(replace(config, tasks=("caption",), epochs=1))
    start = torch.load(folder / "tiny.pth")
    assert not torch.equal(backbone_of(run)["0.weight"], start["0.weight"])
    assert run.epochs[0].train_caption_loss is not None and run.epochs[0].train_score_loss is None


@pytest.mark.parametrize(
    "dtype, allowed, engine",
    [
        ("float32", 1e-3, "torch"),
        ("float16", 0.1, "torch"),
        ("float32", 1e-3, "openvino"),
    ],
)
def test_features_of_the_tuned_backbone_give_the_same_predictions(
    config, folder, tmp_path, monkeypatch, dtype, allowed, engine
):
    if engine == "openvino":
        pytest.importorskip("openvino")
    monkeypatch.setenv("AQA_WEIGHTS", str(tmp_path / "weights"))
    run = fine_tune(config)
    features = tmp_path / "tuned.h5"
    extract(
        folder / "videos",
        features,
        ExtractionConfig(
            "tiny", weights=str(run.folder), clip_rule=ClipRule(window=48), dtype=dtype, engine=engine
        ),
    )
    mine, theirs = scores_of(run), scores_on(run, features)
    assert mine.keys() == theirs.keys()
    deviation = max(abs(mine[name] - theirs[name]) for name in mine)
    assert deviation <= allowed * np.std(list(mine.values()))
    if (dtype, engine) == ("float32", "torch"):  # and so does the run when it scores the videos itself
        scored = {one.sample_id: one.points for one in score_table(run.folder, [folder / "videos"]).scores}
        assert all(abs(scored[name] - mine[name]) <= allowed * np.std(list(mine.values())) for name in mine)
        assert {
            one.sample_id: one.points for one in score_table(run.folder, features=features).scores
        } == scored
        with pytest.raises(RunError, match="were made in another way than those that"):
            score_table(run.folder, features=folder / "feats.h5")


def test_runs_that_trained_a_backbone_each_are_averaged(config, folder):
    runs = [fine_tune(replace(config, epochs=1, seed=seed)) for seed in (0, 1)]
    videos = [folder / "videos"]
    each = [{one.sample_id: one for one in score_table(run.folder, videos).scores} for run in runs]
    both = score_table(config.out, videos)
    assert not both.failures and len(both.scores) == 16
    for one in both.scores:
        alone = [scores[one.sample_id] for scores in each]
        assert list(one.by_run.values()) == [score.points for score in alone]
        assert one.points == np.mean([score.points for score in alone]) and one.spread > 0
        made = one.contributions
        assert sum(clip.points for clip in made.clips) + made.remainder == pytest.approx(one.points, abs=1e-9)
        added = np.mean([[clip.points for clip in score.contributions.clips] for score in alone], axis=0)
        assert [clip.points for clip in made.clips] == pytest.approx(added.tolist(), abs=1e-9)
    with pytest.raises(AqaError, match="2 runs trained a backbone each.*give the videos, or name one run"):
        score_table(config.out, features=folder / "feats.h5")


def test_what_the_backbone_learned_from_is_known_ever_after(config, folder, tmp_path):
    """Of its features: the same split trains on, another one tests or validates on what it has seen."""
    run = fine_tune(replace(config, tasks=("score",), epochs=1))
    features = tmp_path / "tuned.h5"
    extract(
        folder / "videos",
        features,
        ExtractionConfig("tiny", weights=str(run.folder), clip_rule=ClipRule(window=48)),
    )
    ids = {
        split: {row["sample_id"] for row in run.predictions if row["split"] == split}
        for split in ("train", "val")
    }
    with FeatureCache(features) as cache:
        assert (
            set(cache.spec.tuned["trained_on"]) == ids["train"]
            and set(cache.spec.tuned["chosen_on"]) == ids["val"]
        )
    heads = TrainingConfig(
        features, experiment="baseline", tasks=("score",), epochs=1, out=config.out, device="cpu"
    )
    again = train(heads)
    assert again.config["features"]["weights"] == run.folder.name and not again.summary["audit"]["leaks"]
    folds = {"folds": 3, "fold": "1/3", "protocol": "paper"}
    for other in (replace(heads, **folds), tuned(replace(config, **folds), weights=run.folder)):
        with pytest.raises(TrainingError, match="--allow-leak"):
            (train if other.fine_tuning is None else fine_tune)(other)


def test_augmentation_does_not_reach_frames_that_are_held_out(folder, tmp_path):
    """Dives that touch in the video: shifted, a training dive between two test dives would show frames of
    theirs.
    """
    videos = tmp_path / "videos"
    shutil.copytree(folder / "videos", videos)
    rows = read_annotations(videos / "annotations.csv")
    samples = [
        replace(
            rows[0],
            sample_id=f"s{index}",
            start_frame=40 + 32 * index,
            end_frame=72 + 32 * index,
            split=("test", "train", "train")[index % 3],
            final_score=60.0 + index,
        )
        for index in range(6)
    ]
    write_annotations(videos / "annotations.csv", samples)
    shutil.copy(folder / "tiny.pth", tmp_path / "tiny.pth")
    features = extract_tiny(tmp_path, videos, clip_rule=ClipRule(window=32))
    config = TrainingConfig(
        features,
        experiment="baseline",
        tasks=("score",),
        protocol="paper",
        epochs=1,
        out=tmp_path / "runs",
        device="cpu",
    )
    run = fine_tune(replace(config, fine_tuning=FineTuning(videos)))
    # s1 follows a test dive and s2 precedes one: 8 of 14 views each are plain in time or go the other way; so
    # s4; s5 is free behind.
    assert any(
        "3 of 4 training samples" in note and "(first: s1 in 8)" in note for note in run.config["notes"]
    )
    train(config)  # the split is the same for features


def test_views_apart_is_worked_by_hand():
    def sample(name, video="v"):
        return Sample(name, video)

    frames = {"a": (0, 10), "b": (10, 20), "c": (22, 30), "d": (0, 10)}
    views = parse_views("flip,jitter=3")
    found = views_apart(views, [sample("a"), sample("c"), sample("d", "w")], [sample("b")], frames)
    assert [sorted({view.shift for view in kept}) for kept in found] == [
        [-3, -2, -1, 0],
        [-2, -1, 0, 1, 2, 3],
        list(range(-3, 4)),
    ]
    assert [len(kept) for kept in found] == [8, 12, 14]  # mirrored ones likewise
    (overlapping,) = views_apart(views, [sample("b")], [sample("b")], frames)
    assert {view.shift for view in overlapping} == {0}


@pytest.mark.parametrize(
    "features, changes, memory_limit",
    [
        ("drop.h5", {}, 2**30),
        ("feats.h5", {"batch_norm": "chunk"}, 2**30),
        ("feats.h5", {"precision": "fp16", "freeze_until": "4"}, 0),  # the best weights in a file
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_bits(
    config, folder, monkeypatch, features, changes, memory_limit
):
    """In the middle of an epoch, after one, and after the last step; with dropout in backbone and heads."""
    monkeypatch.setattr("aqa_heads.training.best_weights.MEMORY_LIMIT", memory_limit)
    scaled_by(monkeypatch, 2.0**12)
    config = tuned(replace(config, features=folder / features, dropout=0.3, checkpoint_seconds=0), **changes)
    whole = files(fine_tune(replace(config, out=config.out / "whole")).folder)
    assert "backbone.safetensors" in whole
    for steps in (1, 3, 4, 9):
        cut = replace(config, out=config.out / f"cut{steps}")
        with pytest.raises(KeyboardInterrupt):
            fine_tune(cut, on_step=Interrupt(steps))
        assert not list(cut.out.glob("[!.]*"))
        mine = files(fine_tune(replace(cut, resume=True)).folder)
        for name in whole:
            assert mine[name] == whole[name], (steps, name)


def test_the_chunk_of_clips_changes_nothing_but_time_and_memory(config):
    losses = []
    for chunk in (1, 2, 100):
        run = fine_tune(tuned(replace(config, out=config.out / str(chunk), epochs=1), clip_chunk=chunk))
        losses.append(run.epochs[0].train_loss)
    np.testing.assert_allclose(losses, losses[0], rtol=1e-4)


def test_frozen_layers_keep_their_weights(config, folder):
    run = fine_tune(tuned(config, freeze_until="4"))
    start, now = torch.load(folder / "tiny.pth"), backbone_of(run)
    assert run.config["fine_tuning"]["frozen_layers"] == ["0", "1"]
    assert run.folder.name == "baseline-end-to-end-from-4-on-tiny"
    for name in now:
        if name[0] in "01":
            assert torch.equal(now[name], start[name])
    assert not torch.equal(now["4.weight"], start["4.weight"])


def test_a_warm_start_is_where_the_cached_run_ended(config):
    cached = train(replace(config, fine_tuning=None, ridge_start=False, tasks=("score", "classes")))
    run = fine_tune(
        tuned(
            replace(
                config,
                lr=NOTHING,
                caption_lr=NOTHING,
                weight_decay=0.0,
                epochs=1,
                ridge_start=False,
                tasks=("score", "classes"),
            ),
            warm_start=cached.folder,
            backbone_lr=NOTHING,
        )
    )
    mine, theirs = scores_of(run), scores_of(cached)
    np.testing.assert_allclose([mine[name] for name in theirs], list(theirs.values()), rtol=1e-5)
    assert any("start from the run" in note for note in run.config["notes"])
    assert "end-to-end-warm-start" in run.folder.name


def test_other_weights_to_start_from_and_what_is_fitted_to_their_features(config, folder, tmp_path, said):
    """Standardiser and ridge start are those of the features that training starts from, not of the
    cache's.
    """
    other = write_weights(tmp_path / "other.pth", seed=1)
    run = fine_tune(
        tuned(
            replace(config, tasks=("score",), lr=NOTHING, epochs=1), weights=str(other), backbone_lr=NOTHING
        ),
    )
    assert any("other weights" in line for line in said)
    extract(
        folder / "videos",
        tmp_path / "other.h5",
        ExtractionConfig("tiny", weights=str(other), clip_rule=ClipRule(window=48), dtype="float32"),
    )
    cached = train(
        TrainingConfig(
            tmp_path / "other.h5",
            experiment="baseline",
            tasks=("score",),
            lr=NOTHING,
            epochs=1,
            out=tmp_path / "c",
            device="cpu",
        )
    )
    mine, theirs = scores_of(run), scores_of(cached)
    np.testing.assert_allclose([mine[name] for name in theirs], list(theirs.values()), rtol=1e-4)


def scaled_by(monkeypatch, scale):
    scaler = torch.amp.GradScaler
    monkeypatch.setattr(
        torch.amp, "GradScaler", lambda *args, **options: scaler(*args, init_scale=scale, **options)
    )


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_lower_precision_trains_nearly_the_same(config, monkeypatch, precision):
    scaled_by(monkeypatch, 16.0)
    plain = fine_tune(replace(config, out=config.out / "plain", epochs=1))
    lower = fine_tune(tuned(replace(config, out=config.out / precision, epochs=1), precision=precision))
    np.testing.assert_allclose(lower.epochs[0].train_loss, plain.epochs[0].train_loss, rtol=0.05)
    assert not any("left out" in note for note in lower.summary["notes"])


def test_steps_whose_gradient_overflows_are_left_out_and_counted(config, monkeypatch):
    """The scale is too large at first, and halved until it is not."""
    scaled_by(monkeypatch, 2.0**24)
    run = fine_tune(tuned(replace(config, epochs=10, tasks=("score",)), precision="fp16", augment="none"))
    (note,) = (note for note in run.summary["notes"] if "left out" in note)
    skipped, total = int(note.split()[0]), 10 * 3
    assert 0 < skipped < total and note.startswith(f"{skipped} of {total} steps")


def test_a_run_that_took_no_step_is_an_error(config, monkeypatch):
    scaled_by(monkeypatch, 2.0**120)
    message = refused(tuned(replace(config, epochs=1, tasks=("score",)), precision="fp16"), DivergedError)
    assert "none of the 3 steps could be taken" in message


def test_the_literal_exp_7_with_its_frugal_encoder_and_projection(config, monkeypatch):
    """Its best weights go to a file, as they are too large for a second copy in memory."""
    monkeypatch.setattr("aqa_heads.networks.model.FRUGAL_HIDDEN", 24)
    monkeypatch.setattr("aqa_heads.training.best_weights.MEMORY_LIMIT", 0)
    run = fine_tune(
        replace(
            config,
            experiment="7",
            literal=True,
            lr=1e-3,
            epochs=2,
            checkpoint_seconds=0,
            tasks=("score", "classes"),
        )
    )
    assert run.config["fine_tuning"]["backbone_lr"] == 1e-3 and run.config["encoder_hidden"] == 24
    assert run.epochs[1].train_loss != run.epochs[0].train_loss


def test_the_paper_protocol_tests_after_every_epoch(config):
    run = fine_tune(replace(config, protocol="paper", epochs=2, tasks=("score",)))
    assert all(epoch.test_spearman is not None and epoch.val_spearman is None for epoch in run.epochs)


def test_frames_are_decoded_once_for_all_runs(config, folder, monkeypatch):
    """Also for one that asks for fewer views, which then sees what it would see of a store of its own."""
    fine_tune(replace(config, epochs=1))
    alone = tuned(
        replace(config, epochs=1, out=config.out / "alone"), augment="flip", frames=config.out / "own.h5"
    )
    own = fine_tune(alone)
    monkeypatch.setattr(
        "aqa_cache.frame_store.preparation.write_store", lambda *_: pytest.fail("decoded again")
    )
    fine_tune(replace(config, epochs=1, seed=1))
    shared = fine_tune(tuned(replace(alone, out=config.out / "shared"), frames=None))
    assert files(shared.folder)["predictions.csv"] == files(own.folder)["predictions.csv"]


@pytest.mark.gpu
@pytest.mark.parametrize(
    "precision, allowed", [("fp32", 1e-3), ("tf32", 0.05), ("fp16", 0.05), ("bf16", 0.1)]
)
def test_a_gpu_trains_as_the_cpu_does(cuda, config, monkeypatch, precision, allowed):
    scaled_by(monkeypatch, 16.0)
    config = replace(config, epochs=1, dropout=0.0, tasks=("score", "classes"))
    cpu = fine_tune(replace(config, out=config.out / "cpu"))
    gpu = fine_tune(tuned(replace(config, out=config.out / "gpu", device="cuda"), precision=precision))
    np.testing.assert_allclose(gpu.epochs[0].train_loss, cpu.epochs[0].train_loss, rtol=allowed)


@pytest.mark.gpu
def test_a_gpu_goes_on_after_an_interruption(cuda, config):
    config = replace(config, device="cuda", checkpoint_seconds=0, tasks=("score", "classes"))
    whole = fine_tune(replace(config, out=config.out / "whole"))
    cut = replace(config, out=config.out / "cut")
    with pytest.raises(KeyboardInterrupt):
        fine_tune(cut, on_step=Interrupt(4))
    resumed = fine_tune(replace(cut, resume=True))
    np.testing.assert_allclose(
        [epoch.train_loss for epoch in resumed.epochs],
        [epoch.train_loss for epoch in whole.epochs],
        rtol=0.05,
    )


# What cannot be trained with


def refused(config, error=TrainingError):
    with pytest.raises(error) as caught:
        fine_tune(config)
    assert (
        not config.out.exists()
        or not list(config.out.glob("[!.]*"))
        and not list(config.out.glob(".*unfinished"))
    )
    return str(caught.value)


def test_videos_that_are_missing_are_named_with_their_samples(config, folder, tmp_path):
    shutil.copytree(folder / "videos", tmp_path / "fewer")
    gone = sorted((tmp_path / "fewer").glob("*.mp4"))[0]
    gone.unlink()
    message = refused(tuned(config, videos=tmp_path / "fewer", frames=tmp_path / "f.h5"), AqaError)
    assert gone.name in message and "give the folder that aqa-extract was given" in message


def test_features_that_the_videos_do_not_give_any_more_are_refused(config, folder, tmp_path):
    shutil.copy(folder / "feats.h5", tmp_path / "feats.h5")
    shutil.copy(folder / "tiny.pth", tmp_path / "tiny.pth")
    with FeatureCache(tmp_path / "feats.h5") as cache:
        records, spec = cache.records(), cache.spec
    from aqa_cache.cache_file.writer import write_cache

    records = [
        replace(r, views=[replace(view, features=view.features[:, ::-1].copy()) for view in r.views])
        for r in records
    ]
    write_cache(tmp_path / "feats.h5", records, spec, views=["plain"], dtype="float32")
    message = refused(replace(config, features=tmp_path / "feats.h5"))
    assert "made from its video now are not those in the cache" in message and "extract again" in message


def test_what_would_take_days_on_a_cpu_is_not_begun(config, monkeypatch):
    monkeypatch.setattr(estimate, "MAX_CPU_DAYS", 1e-9)
    message = refused(config)
    assert "on this CPU, 3 epochs of " in message and "days" in message and "--freeze-until" in message


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"freeze_until": "conv9"}, "--freeze-until conv9: the backbone has no layer of this name"),
        ({"videos": "nowhere"}, "nowhere: no such video or folder"),
        ({"weights": "nothing.pth"}, "weights 'nothing.pth' are neither a published name nor a file"),
        ({"warm_start": "nowhere"}, "nowhere: is not a run folder"),
        ({"precision": "tf32"}, "precision tf32 is arithmetic of NVIDIA GPUs"),
    ],
)
def test_wrong_values_are_one_message_before_anything_is_decoded(
    config, monkeypatch, tmp_path, changes, said
):
    monkeypatch.setattr("aqa_cache.frame_store.preparation.write_store", lambda *_: pytest.fail("decoded"))
    message = refused(tuned(config, **changes, frames=tmp_path / "other.h5"), AqaError)
    assert said in message and "\n" not in message


def test_imported_features_cannot_be_trained_through(config, tmp_path):
    from synthetic_cache import write_synthetic_cache

    message = refused(replace(config, features=write_synthetic_cache(tmp_path / "feats.h5")), AqaError)
    assert "imported" in message


@pytest.mark.parametrize(
    "changed", ["split", "encoder", "features", "words", "standardise", "difficulty", "weights"]
)
def test_a_warm_start_from_another_run_is_refused(config, folder, tmp_path, changed):
    start = replace(config, fine_tuning=None, out=tmp_path / "start", epochs=1)
    if changed == "weights":
        said, config = (
            "--weights names others",
            tuned(config, weights=str(write_weights(tmp_path / "other.pth", seed=1))),
        )
    elif changed == "standardise":
        said, start = "standardise was False, is True", replace(start, standardise=False)
    elif changed == "difficulty":
        said, start = "difficulty was multiply, is ignore", replace(start, difficulty="multiply")
    elif changed == "features":
        features = extract_tiny(folder, folder / "videos", "other.h5", clip_rule=ClipRule(window=32))
        said, start = "another backbone, other weights, other clips", replace(start, features=features)
    elif changed == "encoder":
        said, start = "encoder was gru, is average", replace(start, encoder="gru")
    elif changed == "words":
        said, start = "is another model", replace(start, tasks=("score", "classes"))
    else:
        said, start = "trained or chosen on", replace(start, folds=4, fold="2/4", protocol="paper")
        config = replace(config, folds=4, fold="1/4", protocol="paper")
    message = refused(tuned(config, warm_start=train(start).folder))
    assert message.startswith("--warm-start") and said in message


def test_an_encoder_that_trains_itself_is_not_trained_in_fp16(config, monkeypatch):
    monkeypatch.setattr("aqa_heads.networks.model.FRUGAL_HIDDEN", 24)
    assert "use bf16" in refused(tuned(replace(config, experiment="7", literal=True), precision="fp16"))


def test_a_full_disk_at_the_end_loses_nothing(config, monkeypatch):
    """The last checkpoint is written before the files are."""
    whole = files(fine_tune(replace(config, out=config.out / "whole")).folder)
    cut = replace(config, out=config.out / "cut", checkpoint_seconds=1e6)

    def full(*_):
        raise SafetensorError("I/O error: No space left on device")

    with monkeypatch.context() as patch, pytest.raises(AqaError, match="No space left"):
        patch.setattr("safetensors.torch.save_file", full)
        fine_tune(cut)
    steps = []
    mine = files(fine_tune(replace(cut, resume=True), on_step=steps.append).folder)
    assert not steps
    for name in whole:
        assert mine[name] == whole[name], name


def test_a_run_that_was_trained_end_to_end_is_no_warm_start(config, tmp_path):
    run = fine_tune(replace(config, out=tmp_path / "first", epochs=1))
    assert "--weights" in refused(tuned(config, warm_start=run.folder))


def test_trainers_are_not_confused(config):
    with pytest.raises(TrainingError, match="fine_tune"):
        train(config)
    with pytest.raises(TrainingError, match="aqa_heads.train"):
        fine_tune(replace(config, fine_tuning=None))
    with pytest.raises(TrainingError, match="closed form"):
        replace(config, experiment="ridge")
    with pytest.raises(TrainingError, match="augment"):
        replace(config, views="plain")


def test_a_resumed_run_must_start_from_the_same_weights(config, tmp_path):
    other = tuned(config, weights=str(write_weights(tmp_path / "other.pth", seed=1)))
    with pytest.raises(KeyboardInterrupt):
        fine_tune(replace(other, checkpoint_seconds=0), on_step=Interrupt(2))
    write_weights(tmp_path / "other.pth", seed=2)
    with pytest.raises(RunError, match=r"another run \(weights_sha256 was \w+, is \w+\)"):
        fine_tune(replace(other, resume=True))


@pytest.mark.parametrize("encoder", ["conv", "tpt"])
def test_encoders_for_long_sequences_train_on_all_clips(config, encoder):
    run = fine_tune(replace(config, encoder=encoder, epochs=1, tasks=("score", "classes")))
    assert run.config["max_clips"] is None and len(run.epochs) == 1
    assert np.isfinite(list(scores_of(run).values())).all()
