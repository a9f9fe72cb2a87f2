"""Encoders for long sequences through a whole run: windows, widths that follow from the data, files."""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from interrupted_runs import Interrupt
from synthetic_cache import write_synthetic_cache

from aqa_heads import read_model, read_run, train
from aqa_heads.data.batches import pad_clips
from aqa_heads.networks.encoders.conv import ConvEncoder
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.steps import window_of

YOUNGER = ("statistics", "conv", "gdlt", "tpt")


pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture
def config(tmp_path):
    """Samples of 1 to 40 clips."""
    path = write_synthetic_cache(tmp_path / "feats.h5", clips=lambda index: (1, 40, 7)[index % 3])
    return TrainingConfig(
        path,
        epochs=2,
        tasks=("score", "classes"),
        out=tmp_path / "runs",
        device="cpu",
        meteor=False,
        checkpoint_seconds=0,
    )


@pytest.mark.parametrize("encoder", YOUNGER)
def test_each_trains_to_the_same_end_interrupted_or_not_and_predicts_from_its_file(config, encoder, tmp_path):
    config = replace(config, encoder=encoder, max_clips=None if encoder == "statistics" else 5)
    whole = train(config)
    other = replace(config, out=tmp_path / "other")
    with pytest.raises(KeyboardInterrupt):
        train(other, on_epoch=Interrupt(after=1))
    resumed = train(replace(other, resume=True))
    ours, theirs = (run.load_model().state_dict() for run in (whole, resumed))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    model, _ = read_model(whole.folder / "model.safetensors")
    features, lengths = pad_clips([torch.randn(number, 8) for number in (50, 1)])
    said, again = (
        each(features, lengths) for each in (model.eval(), read_run(whole.folder).load_model().eval())
    )
    torch.testing.assert_close(said.score.points, again.score.points)
    assert said.score.points.isfinite().all()
    assert whole.config["encoder_hidden"] == (None if encoder == "statistics" else 16)
    assert whole.config["max_clips"] == config.max_clips


@pytest.mark.parametrize("encoder", ["conv", "gdlt", "tpt"])
def test_each_learns_a_few_samples_by_heart(tmp_path, encoder):
    path = write_synthetic_cache(tmp_path / "feats.h5", train=6, test=2, clips=lambda index: 3 + index)
    run = train(
        TrainingConfig(
            path,
            encoder=encoder,
            epochs=80,
            lr=1e-2,
            batch_size=6,
            tasks=("score",),
            protocol="paper",
            ridge_start=False,
            out=tmp_path,
            device="cpu",
        )
    )
    first, last = run.epochs[0].train_score_loss, min(epoch.train_score_loss for epoch in run.epochs)
    assert last < 0.2 * first


def test_the_score_starts_from_a_ridge_regression_of_the_statistics(tmp_path):
    """Scores that follow from the number of clips alone, which their mean does not tell."""

    def clips(index):
        return 5 + 11 * index % 37

    path = write_synthetic_cache(
        tmp_path / "feats.h5",
        train=60,
        test=20,
        clips=clips,
        change=lambda index, sample: replace(sample, final_score=20 * math.log(clips(index))),
    )
    config = TrainingConfig(path, epochs=1, lr=1e-9, tasks=("score",), out=tmp_path, device="cpu")
    found = {encoder: train(replace(config, encoder=encoder)) for encoder in ("average", "statistics")}
    rho = {encoder: run.summary["spearman"] for encoder, run in found.items()}
    assert rho["statistics"] > 0.9 > 0.5 > rho["average"]
    assert found["statistics"].load_model().heads.direct.weight.shape == (1, 2 * 8 + 1)
    assert any(
        "ridge regression of what the encoder statistics gives" in note
        for note in found["statistics"].config["notes"]
    )


def test_every_start_of_a_window_is_drawn_and_follows_from_seed_epoch_and_sample():
    starts = Counter(window_of(10, 7, 0, epoch, "a").start for epoch in range(400))
    assert set(starts) == {0, 1, 2, 3} and min(starts.values()) > 70
    assert all(window_of(10, 7, 3, 1, "é\udc80") == window_of(10, 7, 3, 1, "é\udc80") for _ in range(3))
    assert len({window_of(1000, 7, seed, 1, "a").start for seed in range(9)}) > 1
    assert len({window_of(1000, 7, 0, 1, name).start for name in "abcdef"}) > 1
    assert window_of(7, 7, 0, 1, "a") == window_of(7, 9, 0, 1, "a") == slice(0, 7)


def test_training_sees_windows_of_the_longest_and_evaluation_all(config, monkeypatch):
    seen = {True: set(), False: set()}
    forward = ConvEncoder.forward

    def watched(encoder, features, lengths):
        seen[encoder.training] |= set(lengths.tolist())
        return forward(encoder, features, lengths)

    monkeypatch.setattr(ConvEncoder, "forward", watched)
    train(replace(config, encoder="conv", max_clips=5))
    assert seen == {True: {1, 5}, False: {1, 7, 40}}


def test_without_scores_all_statistics_of_the_clips_count(tmp_path):
    """The default model for classes alone: there is no score to weigh them by."""
    path = write_synthetic_cache(
        tmp_path / "feats.h5", change=lambda index, sample: replace(sample, final_score=None)
    )
    run = train(TrainingConfig(path, epochs=1, tasks=("classes",), out=tmp_path, device="cpu"))
    assert run.load_model().encoder.weights.min() > 0
    assert any(note.endswith("there is no score to choose by") for note in run.config["notes"])
    assert all(math.isfinite(value) for value in run.summary["class_accuracy"].values())
