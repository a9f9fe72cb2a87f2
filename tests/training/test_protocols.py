"""What may be looked at: who trains, who validates, who is tested, and when."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from planned import planned_data
from synthetic_cache import POSITIONS, small_models, write_synthetic_cache

from aqa_cache.cache_file.reader import FeatureCache
from aqa_heads.evaluation.metrics import relative_l2, spearman
from aqa_heads.networks.model import AqaModel
from aqa_heads.settings.experiments import TASKS
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.run import train

VALIDATED = {"val_spearman", "val_relative_l2", "val_class_accuracy", "val_caption_loss_per_token"}
TESTED = {"test_spearman", "test_relative_l2"}


@pytest.fixture(scope="module")
def patched():
    with small_models():
        yield


@pytest.fixture(scope="module")
def config(patched, tmp_path_factory):
    """Twenty training samples of four groups, of which five validate; the best epoch is not the last."""
    folder = tmp_path_factory.mktemp("protocols")
    path = write_synthetic_cache(folder / "feats.h5", 20, 12)
    return TrainingConfig(
        path,
        "1",
        epochs=12,
        lr=3e-3,
        batch_size=4,
        dropout=0.5,
        ridge_start=False,
        patience=100,
        out=folder / "runs",
        device="cpu",
        meteor=False,
    )


@pytest.fixture(scope="module")
def honest(config):
    return train(config)


def weights_of(run):
    return run.load_model().state_dict()


def same_weights(mine, theirs, but=()):
    assert mine.keys() == theirs.keys()
    return all(torch.equal(mine[name], theirs[name]) for name in mine if not name.startswith(but))


def columns(run):
    with open(run.folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_the_reported_epoch_is_the_best_of_the_validation_samples(honest):
    rho = [epoch.val_spearman for epoch in honest.epochs]
    loss = [epoch.val_caption_loss_per_token for epoch in honest.epochs]
    chosen = honest.summary["chosen"]
    assert chosen["assessment"] == {
        "epoch": 1 + int(np.argmax(rho)),
        "metric": "validation Spearman",
        "value": max(rho),
    }
    assert (chosen["captioner"]["epoch"], chosen["captioner"]["value"]) == (
        1 + int(np.argmin(loss)),
        -min(loss),
    )
    assert len({chosen["assessment"]["epoch"], chosen["captioner"]["epoch"], len(honest.epochs)}) > 1
    assert chosen["assessment"]["epoch"] < len(honest.epochs)


def test_the_reported_numbers_are_those_of_the_reported_epoch(honest):
    rows = [row for row in honest.predictions if row["split"] == "val"]
    predicted, true = ([float(row[name]) for row in rows] for name in ("predicted_score", "final_score"))
    epoch = honest.epochs[honest.summary["chosen"]["assessment"]["epoch"] - 1]
    assert spearman(predicted, true) == epoch.val_spearman
    assert relative_l2(predicted, true) == pytest.approx(epoch.val_relative_l2, rel=1e-12)
    right = [
        np.mean([row[f"class_{name}"] == row[f"predicted_class_{name}"] for row in rows])
        for name in ("position", "twists")
    ]
    assert epoch.val_class_accuracy == np.mean(right)


@pytest.mark.parametrize("part", ["assessment", "captioner"])
def test_the_reported_weights_are_those_of_the_reported_epoch(config, honest, part, tmp_path):
    """Trained to just that epoch, the part has the same bits."""
    epoch = honest.summary["chosen"][part]["epoch"]
    again = train(replace(config, epochs=epoch, out=tmp_path))
    assert again.summary["chosen"][part]["epoch"] == epoch == len(again.epochs)
    mine, theirs = weights_of(again), weights_of(honest)
    prefix = "captioner" if part == "captioner" else ("encoder", "heads", "standardiser")
    assert any(name.startswith(prefix) for name in mine)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine if name.startswith(prefix))
    cell = "predicted_caption" if part == "captioner" else "predicted_score"
    assert [row[cell] for row in again.predictions] == [row[cell] for row in honest.predictions]


def spy_on_batches(monkeypatch, config):
    """Which samples go through the model, by whether it is training: known by their first value."""
    with FeatureCache(config.features) as cache:
        known = {
            float(cache.features(index)[0, 0]): cache.samples[index].sample_id for index in range(len(cache))
        }
    seen = {True: [], False: []}
    look = AqaModel.seen

    def spy(model, features, lengths):
        seen[model.training].append([known[first] for first in features[:, 0, 0].tolist()])
        return look(model, features, lengths)

    monkeypatch.setattr(AqaModel, "seen", spy)
    return seen


def ids(run, split):
    return {row["sample_id"] for row in run.predictions if row["split"] == split}


@pytest.mark.parametrize("tasks", [("score", "classes"), TASKS])
def test_who_validates_or_is_tested_is_in_no_training_batch(config, monkeypatch, tmp_path, tasks):
    seen = spy_on_batches(monkeypatch, config)
    run = train(replace(config, epochs=3, tasks=tasks, out=tmp_path))
    trained = {name for batch in seen[True] for name in batch}
    assert trained == ids(run, "train") and not trained & (ids(run, "val") | ids(run, "test"))
    assert (len(ids(run, "train")), len(ids(run, "val")), len(ids(run, "test"))) == (15, 5, 12)
    # Whole groups validate.
    groups = {
        split: {row["group"] for row in run.predictions if row["split"] == split}
        for split in ("train", "val")
    }
    assert not groups["train"] & groups["val"]
    assert run.config["validation"] == {
        "share": 0.2,
        "role": "group",
        "whole_groups": True,
        "groups": sorted(groups["val"]),
        "samples": 5,
    }


def test_the_test_samples_are_looked_at_once(config, monkeypatch, tmp_path):
    seen = spy_on_batches(monkeypatch, config)
    run = train(replace(config, epochs=4, tasks=("score", "classes"), out=tmp_path))
    times = [name for batch in seen[False] for name in batch]
    assert {times.count(name) for name in ids(run, "test")} == {1}
    assert {times.count(name) for name in ids(run, "val")} == {4 + 1}
    seen[False].clear()
    run = train(replace(config, epochs=4, tasks=("score", "classes"), protocol="paper", out=tmp_path))
    times = [name for batch in seen[False] for name in batch]
    assert {times.count(name) for name in ids(run, "test")} == {4 + 1}


def test_statistics_are_of_the_training_samples_alone(config, honest):
    with FeatureCache(config.features) as cache:
        samples = {cache.samples[index].sample_id: cache.features(index) for index in range(len(cache))}
    rows = np.concatenate([samples[name] for name in sorted(ids(honest, "train"))]).astype(np.float64)
    model = honest.load_model()
    np.testing.assert_allclose(model.standardiser.mean, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(1 / model.standardiser.scale, rows.std(0), rtol=1e-5)
    scores = [float(row["final_score"]) for row in honest.predictions if row["split"] == "train"]
    assert honest.config["score_scale"] == pytest.approx(np.std(scores), rel=1e-6)
    assert honest.config["score_centre"] == pytest.approx(np.mean(scores), rel=1e-6)
    spoken = {
        word for row in honest.predictions if row["split"] == "train" for word in row["caption"].split()
    }
    assert set(honest.vocabulary.words) == spoken | {"<eos>", "<sos>", "<unk>"}


def test_the_labels_of_the_test_samples_change_nothing_but_what_is_said_of_them(config, honest, tmp_path):
    rng = np.random.default_rng(0)

    def nonsense(index, sample):
        if sample.split != "test":
            return sample
        return replace(
            sample,
            final_score=float(rng.uniform(-1e6, 1e6)),
            difficulty=99.0,
            group="nobody",
            caption="lorem ipsum",
            classes={"position": POSITIONS[rng.integers(3)], "twists": "10"},
        )

    path = write_synthetic_cache(tmp_path / "feats.h5", 20, 12, change=nonsense)
    run = train(replace(config, features=path, out=tmp_path))
    assert (
        same_weights(weights_of(run), weights_of(honest))
        and run.summary["chosen"] == honest.summary["chosen"]
    )
    mine, theirs = columns(run), columns(honest)
    assert {name: mine[name] for name in mine if name != "seconds"} == {
        name: theirs[name] for name in theirs if name != "seconds"
    }
    for name in ("predicted_score", "predicted_class_position", "predicted_caption"):
        assert [row[name] for row in run.predictions] == [row[name] for row in honest.predictions]
    assert run.summary["spearman"] != honest.summary["spearman"]


def test_labels_of_the_validation_samples_choose_the_epoch_and_train_nothing(config, honest, tmp_path):
    held = ids(honest, "val")

    def turned(index, sample):
        return replace(sample, final_score=120 - sample.final_score) if sample.sample_id in held else sample

    path = write_synthetic_cache(tmp_path / "feats.h5", 20, 12, change=turned)
    run = train(replace(config, features=path, out=tmp_path))
    assert ids(run, "val") == held
    assert [epoch.train_loss for epoch in run.epochs] == [epoch.train_loss for epoch in honest.epochs]
    assert [epoch.val_spearman for epoch in run.epochs] == pytest.approx(
        [-epoch.val_spearman for epoch in honest.epochs]
    )
    assert run.summary["chosen"]["assessment"] != honest.summary["chosen"]["assessment"]
    assert run.summary["chosen"]["captioner"] == honest.summary["chosen"]["captioner"]


@pytest.mark.parametrize("patience", [1, 3])
def test_a_part_stops_after_patience_epochs_without_a_better_one(config, honest, patience, tmp_path):
    run = train(replace(config, tasks=("score", "classes"), patience=patience, out=tmp_path))
    best = run.summary["chosen"]["assessment"]["epoch"]
    assert len(run.epochs) == best + patience < config.epochs
    # Until then it went as the run that did not stop.
    for mine, theirs in zip(run.epochs, honest.epochs[: len(run.epochs)], strict=True):
        assert (mine.train_score_loss, mine.val_spearman) == (theirs.train_score_loss, theirs.val_spearman)


def test_which_columns_of_the_curves_are_filled(config, honest, tmp_path):
    cells = columns(honest)
    assert all(all(cells[name]) for name in VALIDATED) and not any(any(cells[name]) for name in TESTED)
    assert honest.summary["best_test_spearman"] is None
    paper = train(replace(config, epochs=3, protocol="paper", out=tmp_path))
    cells = columns(paper)
    assert all(all(cells[name]) for name in TESTED) and not any(any(cells[name]) for name in VALIDATED)


def test_the_papers_protocol_reports_the_last_epoch_and_marks_the_best_on_test(config, tmp_path):
    run = train(replace(config, protocol="paper", patience=1, out=tmp_path))
    assert "protocol-paper" in run.folder.name and "paper protocol" in run.config["label"]
    assert len(run.epochs) == 12 and run.summary["chosen"] == {} and run.summary["n_val"] == 0
    assert run.summary["n_train"] == 20 and not ids(run, "val")
    assert run.summary["spearman"] == run.epochs[-1].test_spearman
    best = max(run.epochs, key=lambda epoch: epoch.test_spearman)
    assert run.summary["best_test_spearman"] == {
        "spearman": best.test_spearman,
        "epoch": best.epoch,
        "note": "chosen on the test set, not for reporting",
    }


def test_named_validation_samples_validate(config, tmp_path):
    def name(index, sample):
        return replace(sample, split="val") if index in (1, 4, 9) else sample

    path = write_synthetic_cache(tmp_path / "feats.h5", 20, 12, change=name)
    run = train(replace(config, features=path, epochs=1, tasks=("score",), out=tmp_path))
    assert ids(run, "val") == {"s01", "s04", "s09"} and run.summary["n_train"] == 17
    assert any("the 3 samples of split val validate" in note for note in run.config["notes"])
    assert any("groups in validation train too" in note for note in run.config["notes"])
    paper = train(replace(config, features=path, epochs=1, tasks=("score",), protocol="paper", out=tmp_path))
    assert not ids(paper, "val") and paper.summary["n_train"] == 17
    # What has no epochs to choose among learns from them too, unless it is to compare.
    ridge = replace(config, features=path, experiment="ridge", out=tmp_path)
    whole = train(ridge)
    assert not ids(whole, "val") and whole.summary["n_train"] == 20
    same = train(replace(ridge, refit=False))
    assert ids(same, "val") == {"s01", "s04", "s09"} and same.summary["n_train"] == 17


def test_another_seed_holds_out_others(config):
    with FeatureCache(config.features) as cache:
        held = [planned_data(cache, replace(config, seed=seed)).choice.val for seed in range(8)]
    assert len({tuple(choice) for choice in held}) > 1 and {len(choice) for choice in held} == {5}


@pytest.mark.parametrize("dropout, patience, ridge_start", [(0.0, 100, True), (0.5, 1, False)])
def test_rows_that_differ_only_in_the_captioner_give_the_same_scores_and_classes(
    config, tmp_path, dropout, patience, ridge_start
):
    """On cached features they share no weight: whenever each captioner stops, the assessment is the same to
    the bit.
    """
    config = replace(
        config, epochs=5, dropout=dropout, patience=patience, ridge_start=ridge_start, out=tmp_path
    )
    alone = train(replace(config, experiment="baseline", tasks=("score", "classes")))
    expected, ends = weights_of(alone), set()
    for name in ("baseline", "1", "4", "5", "6"):
        run = train(
            TrainingConfig(
                config.features,
                name,
                epochs=5,
                lr=3e-3,
                batch_size=4,
                dropout=dropout,
                patience=patience,
                ridge_start=ridge_start,
                out=tmp_path,
                device="cpu",
                meteor=False,
            )
        )
        ends.add(sum(epoch.train_caption_loss is not None for epoch in run.epochs))
        found = weights_of(run)
        assert all(torch.equal(found[key], weight) for key, weight in expected.items())
        assert run.summary["chosen"]["assessment"] == alone.summary["chosen"]["assessment"]
        for mine, theirs in zip(run.epochs, alone.epochs, strict=False):
            assert (mine.train_score_loss, mine.val_spearman) == (
                theirs.train_score_loss,
                theirs.val_spearman,
            )
        for mine, theirs in zip(run.predictions, alone.predictions, strict=True):
            for cell in ("predicted_score", "predicted_class_position", "predicted_class_twists"):
                assert mine[cell] == theirs[cell]
    assert len(alone.epochs) < 5 if patience == 1 else ends == {5}
