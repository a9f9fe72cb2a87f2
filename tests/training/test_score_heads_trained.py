"""Every score head that comes with the program, trained on one small cache."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from interrupted_runs import Interrupt
from synthetic_cache import small_models, write_synthetic_cache

from aqa_cache.cache_file.reader import FeatureCache
from aqa_cli.train import main
from aqa_heads import predict, read_model, read_run, train
from aqa_heads.errors import TrainingError
from aqa_heads.settings.experiments import REGRESSION, SCORE_HEADS
from aqa_heads.settings.naming import run_name
from aqa_heads.settings.training import TrainingConfig

HEADS = [name for name in SCORE_HEADS if name != REGRESSION]
PARTS = {"likert": {"encoder": "gdlt", "encoder_hidden": 8}}
WITHOUT_SPREAD = {"likert"}
WITH_DISTRIBUTION = {"distribution", "ordinal"}
QUICK = {"experiment": "baseline", "epochs": 3, "tasks": ("score",), "device": "cpu", "meteor": False}


def with_marks(index, sample):
    """A panel of five; every fifth sample has no marks, others lack some."""
    apart = np.array([0, 0.5, -0.5, 1, -1])
    marks = np.round(2 * (sample.final_score / sample.difficulty / 3 + apart)) / 2
    marks[index % 7 + 2 :] = np.nan
    return replace(sample, judges=() if index % 5 == 4 else tuple(marks.tolist()))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    path = write_synthetic_cache(folder / "feats.h5", change=with_marks)
    with small_models():
        yield TrainingConfig(path, out=folder / "runs", refit=False, **QUICK)


@pytest.fixture(scope="module")
def clips(config):
    with FeatureCache(config.features) as cache:
        return {
            sample.sample_id: (sample, torch.from_numpy(cache.features(index)))
            for index, sample in enumerate(cache.samples)
        }


@pytest.mark.parametrize("head", HEADS)
def test_a_head_is_trained_and_predicts_the_same_from_its_file(config, clips, head):
    run = train(replace(config, score_head=head, **PARTS.get(head, {})))
    assert f"score-head-{head}" in run.folder.name
    losses = [epoch.train_score_loss for epoch in run.epochs]
    assert losses[-1] < losses[0]
    samples, features = zip(*(clips[row["sample_id"]] for row in run.predictions), strict=True)
    made = predict(run.load_model(), features, samples=samples)
    again = predict(read_model(run.folder / "model.safetensors")[0], features, samples=samples)
    np.testing.assert_array_equal(made.score, again.score)
    np.testing.assert_allclose(
        made.score, [float(row["predicted_score"]) for row in run.predictions], rtol=1e-6
    )
    assert (made.distribution is not None) == (head in WITH_DISTRIBUTION)
    if head in WITHOUT_SPREAD:
        assert "uncertainty" not in run.summary and "spread" not in run.predictions[0]
        return
    np.testing.assert_allclose(made.spread, [float(row["spread"]) for row in run.predictions], rtol=1e-6)
    found = run.summary["uncertainty"]
    assert found["n"] == 6 and found["crps"] > 0 and 0 <= found["coverage_90"] <= 1 and found["width_90"] > 0


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("scores", ["two", "equal"])
def test_hardly_any_samples_one_group_and_equal_scores_work(config, tmp_path, head, scores):
    """Two training samples of one group, of other scores, or of the same, one test sample."""

    def change(index, sample):
        score = 60.0 if scores == "equal" else 60.0 + 5 * index
        return replace(sample, group="g", final_score=score, judges=(5.0, 7.0, 8.0))

    path = write_synthetic_cache(tmp_path / "feats.h5", train=2, test=1, change=change)
    asked = replace(
        config,
        features=path,
        out=tmp_path,
        score_head=head,
        epochs=1,
        protocol="paper",
        refit=None,
        **PARTS.get(head, {}),
    )
    if scores == "equal":
        with pytest.raises(TrainingError, match="are all 60, .*give --score-scale"):
            train(asked)
        asked = replace(asked, score_scale=5.0)
    (row,) = (row for row in train(asked).predictions if row["split"] == "test")
    assert np.isfinite(float(row["predicted_score"]))


@pytest.mark.parametrize("refit", [False, True])
def test_exemplars_are_training_samples_only(config, clips, refit):
    asked = {"score_head": "core", "encoder": "attention", "pair_by": "position"}
    run = train(replace(config, refit=refit, validation_folds=0, **asked))
    assert "encoder-attention-score-head-core-pair-by-position" in run.folder.name
    head, model = run.load_model().heads.score, run.load_model()
    assert set(run.config["score_options"]["names"]) <= {"free", "pike", "tuck"}
    chosen = {
        row["sample_id"]
        for row in run.predictions
        if np.isclose(float(row["final_score"]), head.points.numpy(), rtol=1e-6).any()
    }
    assert len(chosen) == len(head.points)
    assert {row["split"] for row in run.predictions if row["sample_id"] in chosen} == {"train"}
    # Their features are those of the encoder at the end.
    with torch.no_grad():
        said = torch.cat(
            [
                model.encode(clips[name][1][None], torch.tensor([len(clips[name][1])])).pooled
                for name in chosen
            ]
        )
    apart = torch.cdist(head.features, said)
    assert (apart.amin(1) < 1e-4).all() and (apart.amin(0) < 1e-4).all()
    samples, features = zip(*clips.values(), strict=True)
    backwards = predict(run.load_model(), features[::-1], samples=samples[::-1])
    np.testing.assert_allclose(
        predict(run.load_model(), features, samples=samples).score, backwards.score[::-1], rtol=1e-5
    )


@pytest.mark.parametrize(("head", "refit"), [("core", False), ("judges", False), ("core", True)])
def test_a_resumed_run_ends_with_the_same_bits(config, tmp_path, head, refit):
    asked = replace(
        config, score_head=head, encoder="attention", checkpoint_seconds=0, refit=refit, validation_folds=0
    )
    whole = train(replace(asked, out=tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train(replace(asked, out=tmp_path), on_epoch=Interrupt(after=2))
    resumed = train(replace(asked, out=tmp_path, resume=True))
    assert resumed.config["notes"] == whole.config["notes"]
    for name, weight in whole.load_model().state_dict().items():
        assert torch.equal(weight, resumed.load_model().state_dict()[name]), name


def test_what_a_sample_lacks_is_said(config, tmp_path, said):
    def change(index, sample):
        sample = with_marks(index, sample)
        return replace(sample, difficulty=None) if index == 13 else sample

    path = write_synthetic_cache(tmp_path / "feats.h5", change=change)
    run = train(replace(config, features=path, out=tmp_path, score_head="judges"))
    told = [line for line in said if "have no judges' marks" in line]
    assert len(told) == 1 and told[0] in run.config["notes"]
    assert any(note.startswith("1 of 6 test samples have no difficulty") for note in run.summary["notes"])
    run = train(replace(config, features=path, out=tmp_path, score_head="core", pair_by="difficulty"))
    assert any("exemplars of the nearest are taken" in note for note in run.summary["notes"])


@pytest.mark.parametrize("loss", ["spearman", "hinge"])
def test_a_rank_loss_is_added_by_its_name(config, tmp_path, loss):
    run = train(replace(config, out=tmp_path, score_head="gaussian", loss=loss, loss_weight=0.5, epochs=1))
    assert f"loss-{loss}-loss-weight-0.5" in run.folder.name
    assert run.config["loss"] == loss


def test_options_of_heads_from_the_command_line(config, tmp_path):
    words = f"--features {config.features} --out {tmp_path} --exp baseline --tasks score --epochs 1".split()
    words += "--device cpu --no-refit --name judged".split()
    result = CliRunner().invoke(
        main, [*words, *"--score-head judges --panel-rule middle-5 --readout argmax".split()]
    )
    assert result.exit_code == 0, result.output
    assert "may follow another rule than the panel rule middle-5" in result.output
    run = read_run(tmp_path / "judged")
    expected = {"readout": "argmax", "panel_rule": "middle-5", "columns": [0, 1, 2, 3, 4]}
    assert run.config["score_options"] == expected


def test_options_that_are_not_asked_for_leave_no_trace():
    assert "readout" not in TrainingConfig("", score_head="distribution").resolve().deciding()
    assert run_name(TrainingConfig("", score_head="core").resolve(), "c3d") == "default-score-head-core"
    resolved = TrainingConfig("", score_head="core", difficulty="multiply").resolve()
    assert resolved.score_options == {"pair_by": "difficulty"}
    for options, message in (
        ({"readout": "argmax"}, "readout is 'argmax', which the score head regression does not have"),
        ({"score_head": "core", "panel_rule": "mean"}, "leave it out, or give the score head judges"),
        ({"score_head": "distribution", "readout": "median"}, "expected one of expectation, argmax"),
        (
            {"score_head": "judges", "readout": "argmax", "loss": "hinge"},
            "the readout argmax has no gradient",
        ),
        ({"experiment": "ridge", "score_head": "core"}, "has no score_head"),
    ):
        with pytest.raises(TrainingError, match=message):
            TrainingConfig("", **options)


@pytest.mark.gpu
@pytest.mark.parametrize("head", HEADS)
def test_on_a_gpu_a_head_is_trained_to_the_same_bits_again(cuda, config, tmp_path, head):
    asked = replace(config, score_head=head, device="cuda", **PARTS.get(head, {}))
    first, again = (train(replace(asked, out=tmp_path / name)) for name in ("first", "again"))
    for name, weight in first.load_model().state_dict().items():
        assert torch.equal(weight, again.load_model().state_dict()[name]), name
