import csv
import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scipy.stats import kendalltau, pearsonr, spearmanr
from synthetic_cache import small_models, write_synthetic_cache

from aqa_cache.cache_file.reader import FeatureCache
from aqa_heads.errors import RunError
from aqa_heads.evaluation.predictions import predict
from aqa_heads.networks.architecture import Architecture
from aqa_heads.runs.format import read_run
from aqa_heads.runs.model_file import read_model
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.run import train

HEADER = (
    "epoch,train_loss,train_score_loss,train_class_loss,train_caption_loss,train_caption_loss_per_token,val_spearman,"
    "val_relative_l2,val_class_accuracy,val_caption_loss_per_token,test_spearman,test_relative_l2,seconds"
)


PREDICTED = "sample_id,split,group,final_score,predicted_score\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    path = write_synthetic_cache(folder / "feats.h5")
    with small_models():
        config = TrainingConfig(
            path,
            "1",
            attention="dot",
            encoder="attention",
            epochs=2,
            out=folder / "runs",
            device="cpu",
            meteor=False,
        )
        yield train(config), path


def test_the_folder_holds_every_file_and_nothing_else(trained):
    run, _ = trained
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "MODEL_CARD.md",
        "caption_attention.csv",
        "config.json",
        "contributions.csv",
        "metrics.csv",
        "model.safetensors",
        "out_of_fold.csv",
        "predictions.csv",
        "summary.json",
        "training_samples.safetensors",
        "vocabulary.json",
    ]
    assert [path.name for path in run.folder.parent.iterdir()] == ["exp1-attention-dot-encoder-attention"]
    assert len({path.stat().st_mode for path in run.folder.iterdir()}) == 1


def test_the_headers_are_the_contract(trained):
    run, _ = trained
    metrics, predictions = [
        (run.folder / name).read_text().splitlines()[0] for name in ("metrics.csv", "predictions.csv")
    ]
    assert metrics == HEADER
    assert (
        predictions == "sample_id,split,group,difficulty,final_score,predicted_score,class_position,"
        "predicted_class_position,class_twists,predicted_class_twists,caption,predicted_caption"
    )


def test_json_is_strict(trained):
    run, _ = trained

    def refuse(constant):
        raise AssertionError(constant)

    for name in ("config.json", "summary.json"):
        json.loads((run.folder / name).read_text(), parse_constant=refuse)


def test_the_loaded_model_predicts_what_was_written(trained):
    run, path = trained
    with FeatureCache(path) as cache:
        clips = [torch.from_numpy(cache.features(index)) for index in range(len(cache))]
    made = predict(run.load_model(), clips, run.vocabulary)
    with FeatureCache(path) as cache:
        place = {sample.sample_id: index for index, sample in enumerate(cache.samples)}
    assert [row["split"] for row in run.predictions] == ["train"] * 9 + ["val"] * 3 + ["test"] * 6
    for row in run.predictions:
        index = place[row["sample_id"]]
        assert made.score[index] == pytest.approx(float(row["predicted_score"]), rel=1e-5)
        assert made.classes["position"][index] == row["predicted_class_position"]
        # Only test samples are captioned: it takes longer than all the rest.
        assert row["predicted_caption"] == (made.captions[index] if row["split"] == "test" else "")


def test_the_summary_agrees_with_the_predictions(trained):
    run, _ = trained
    test = [row for row in run.predictions if row["split"] == "test"]
    summary = run.summary
    errors = [float(row["predicted_score"]) - float(row["final_score"]) for row in test]
    assert summary["mae"] == pytest.approx(np.mean(np.abs(errors)))
    for name in ("position", "twists"):
        right = np.mean([row[f"class_{name}"] == row[f"predicted_class_{name}"] for row in test])
        assert summary["class_accuracy"][name] == pytest.approx(right)
        train_classes = [row[f"class_{name}"] for row in run.predictions if row["split"] == "train"]
        majority = max(run.config["classes"][name], key=train_classes.count)
        assert summary["majority_accuracy"][name] == pytest.approx(
            np.mean([row[f"class_{name}"] == majority for row in test])
        )
    assert (summary["n_train"], summary["n_val"], summary["n_test"]) == (9, 3, 6)
    assert summary["parameters"] == run.load_model().parameter_count
    predicted, true = ([float(row[name]) for row in test] for name in ("predicted_score", "final_score"))
    assert summary["spearman"] == pytest.approx(spearmanr(predicted, true).statistic)
    assert summary["kendall"] == pytest.approx(kendalltau(predicted, true).statistic)
    assert summary["pearson"] == pytest.approx(pearsonr(predicted, true).statistic)
    for group, found in summary["per_group"].items():
        rows = [row for row in test if row["group"] == group]
        assert found["n"] == len(rows)
        assert found["mae"] == pytest.approx(
            np.mean([abs(float(row["predicted_score"]) - float(row["final_score"])) for row in rows])
        )
    assert summary["interval"] is None  # of six samples


def test_the_weights_file_describes_itself(trained):
    run, _ = trained
    with safe_open(run.folder / "model.safetensors", "pt") as file:
        metadata = file.metadata()
    said = json.loads(metadata["run"])
    expected = {name: value for name, value in run.config.items() if name != "files"}
    assert (said["config"], said["vocabulary"]) == (expected, run.vocabulary.words)
    assert Architecture(**said["architecture"]) == run.load_model().architecture
    assert Architecture.from_record(run.config, len(run.vocabulary)) == run.load_model().architecture


def test_a_weights_file_alone_is_a_model(trained, tmp_path):
    run, path = trained
    with FeatureCache(path) as cache:
        clips = [torch.from_numpy(cache.features(index)) for index in range(len(cache))]
    expected = predict(run.load_model(), clips, run.vocabulary)
    file = shutil.copy(run.folder / "model.safetensors", tmp_path)
    model, vocabulary = read_model(file)
    made = predict(model, clips, vocabulary)
    assert made.captions == expected.captions and made.classes == expected.classes
    np.testing.assert_array_equal(made.score, expected.score)
    for damage in (b"", b"{}"):
        (tmp_path / "model.safetensors").write_bytes(damage)
        with pytest.raises(RunError, match="model.safetensors: is not the model of a run, or damaged"):
            read_model(file)


@pytest.mark.parametrize("changed", [{}, {"seed": {"of": "then"}}])
def test_a_model_file_of_a_newer_format_is_refused(trained, tmp_path, changed):
    path = trained[0].folder / "model.safetensors"
    with safe_open(path, "pt") as file:
        said = json.loads(file.metadata()["run"])
    said["config"] |= {"run_format": 3} | changed
    save_file(load_file(path), tmp_path / "model.safetensors", {"run": json.dumps(said)})
    with pytest.raises(RunError, match=r"model.safetensors: has run format 3, .* reads up to 2; upgrade"):
        read_model(tmp_path / "model.safetensors")


def test_damaged_runs_are_one_message(trained, tmp_path):
    run, _ = trained
    with pytest.raises(RunError, match="is not a run folder"):
        read_run(tmp_path)
    for name in ("config.json", "metrics.csv", "summary.json"):
        (tmp_path / name).write_text((run.folder / name).read_text())
    with pytest.raises(RunError, match="cannot be read.*predictions.csv"):
        read_run(tmp_path)
    (tmp_path / "predictions.csv").write_text("")
    (tmp_path / "metrics.csv").write_text("epoch\nx\n")
    with pytest.raises(RunError, match="cannot be read"):
        read_run(tmp_path)
    for name in ("metrics.csv", "predictions.csv"):
        (tmp_path / name).write_text((run.folder / name).read_text())
    with pytest.raises(RunError, match="vocabulary.json is missing"):
        read_run(tmp_path).load_model()
    (tmp_path / "vocabulary.json").write_text((run.folder / "vocabulary.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(b"short")
    with pytest.raises(RunError, match="is not the model of its config.json"):
        read_run(tmp_path).load_model()


@pytest.mark.parametrize("damage", [{"score_scale": None}, {"score_centre": None}, {"score_scale": -3.0}])
def test_a_score_without_its_scale_is_one_message(trained, tmp_path, damage):
    folder = shutil.copytree(trained[0].folder, tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | damage))
    with pytest.raises(RunError, match="score_scale is .*expected a number above 0"):
        read_run(folder).load_model()


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("config.json", {"features": "x"}, "features is 'x', expected an object"),
        ("config.json", {"table1": "x"}, "table1 is 'x', expected an object"),
        ("config.json", {"seed": []}, "seed is .., expected a whole number"),
        ("config.json", {"features": {"path": ["x"]}}, "path is .'x'., expected text"),
        ("config.json", {"difficulty": "divide"}, "difficulty is 'divide', expected one of ignore, multiply"),
        ("config.json", [1], "its content is .1., expected an object"),
        ("config.json", None, "null"),
        ("summary.json", {"floors": 3}, "floors is 3, expected an object"),
        ("summary.json", {"floors": {"difficulty": [2]}}, "difficulty is .2., expected an object"),
        ("summary.json", {"class_accuracy": [1]}, "class_accuracy is .1., expected an object"),
        ("summary.json", {"spearman": "high"}, "spearman is 'high', expected a number"),
        ("summary.json", {"parameters": 10**400}, "parameters is 10+....0+, expected a number"),
        ("summary.json", {"notes": 3}, "notes is 3, expected a list"),
        ("summary.json", {"spearman": 5}, "spearman is 5, expected a number from -1 to 1"),
        ("summary.json", {"mae": True}, "mae is True, expected a number from 0 on"),
        ("summary.json", {"mae": float("inf")}, "mae is inf, expected a number from 0 on"),
        ("summary.json", {"n_test": -1}, "n_test is -1, expected a whole number from 0 to"),
        ("summary.json", {"n_test": 2.5}, "n_test is 2.5, expected a whole number"),
        ("summary.json", {"chosen": {"model": {"epoch": "1"}}}, "epoch is '1', expected a whole number"),
        ("summary.json", {"audit": {"leaks": []}}, "audit has no samples, expected an object"),
        ("summary.json", {"notes": ["\ud800"]}, "an item of notes is .*ud800.*, expected Unicode"),
        ("config.json", {"\ud800": 1}, "a name in its content is .*ud800.*, expected Unicode"),
        ("config.json", {"own": float("nan")}, "own is nan, expected a finite number"),
        ("config.json", {"label": "y" * 70_000}, "label is 'y+...y+', expected text of at most 5,000"),
        ("config.json", '{"seed": 1, "seed": 2}', "the name 'seed' is twice"),
        ("config.json", '{"seed": ' + "1" * 5000 + "}", "seed is 1{18}...1{18}, expected a whole number"),
        ("config.json", "[" * 100_000, "more than 20 levels"),
        ("config.json", '{"own": ' + "[" * 30 + "]" * 30 + "}", "more than 20 levels"),
        ("summary.json", {"notes": [3]}, "an item of notes is 3, expected text"),
        ("vocabulary.json", ["<eos>", "<sos>", "<unk>", 3], "expected text"),
        ("metrics.csv", "epoch\n", "no column train_loss"),
        ("predictions.csv", "", "no column sample_id.*its header is empty"),
        ("predictions.csv", "sample_id,split\n", "no column group"),
        (
            "predictions.csv",
            "sample_id,split,group,final_score,predicted_score\na,test\n",
            "row 1 has not 5 cells",
        ),
        (
            "predictions.csv",
            "sample_id,split,group,final_score,predicted_score\na,test,,x,\n",
            "row 1: final_score is 'x'",
        ),
        ("predictions.csv", f"{PREDICTED}a,test,,inf,\n", "row 1: final_score is 'inf', expected a number"),
        ("predictions.csv", f"{PREDICTED}a,test,,1,1e999\n", "row 1: predicted_score is '1e999'"),
        ("predictions.csv", f"{PREDICTED}a,test,,1,1\na,val,,1,1\n", "row 2: sample_id 'a' is there twice"),
        ("predictions.csv", f"{PREDICTED},test,,1,1\n", "row 1: sample_id '' is empty"),
        (
            "predictions.csv",
            f"{PREDICTED}a,x,,1,1\n",
            "row 1: split is 'x', expected one of train, val, test",
        ),
        ("predictions.csv", "y" * 2**20, "a line of more than 1,048,576 characters"),
        ("metrics.csv", f"{HEADER}\n2,1,,,,,,,,,,,1\n", "row 1: epoch is 2, expected 1"),
        ("metrics.csv", f"{HEADER}\n{'1' * 5000},1,,,,,,,,,,,1\n", "row 1: epoch is '1+...1+', expected a"),
        ("metrics.csv", f"{HEADER}\n1,1,,,,,7,,,,,,1\n", "row 1: val_spearman is '7', .*from -1 to 1"),
        ("metrics.csv", f"{HEADER}\nx,1,,,,,,,,,,,1\n", "row 1: epoch is 'x', expected a whole number"),
        ("metrics.csv", f"{HEADER}\n1,x,,,,,,,,,,,1\n", "row 1: train_loss is 'x', expected a number"),
    ],
)
def test_a_damaged_file_is_named_with_what_was_got(trained, tmp_path, name, content, message):
    folder = shutil.copytree(trained[0].folder, tmp_path / "run")
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(RunError, match=f"{name}: cannot be read .*{message}.*train the run again"):
        read_run(folder)


@pytest.mark.parametrize("name", ["config.json", "predictions.csv", "vocabulary.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["folder", "FIFO", "100 GB", "link to itself", "zeros"])
def test_what_is_no_file_of_ours_is_neither_waited_for_nor_read_whole(trained, tmp_path, name, kind):
    folder = shutil.copytree(trained[0].folder, tmp_path / "run")
    path = folder / name
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "link to itself":
        path.symlink_to(path)
    else:
        path.touch()
        os.truncate(path, 10**11 if kind == "100 GB" else 5000)
    with pytest.raises(RunError, match=f"{name}: .*train the run again|vocabulary.json is missing"):
        read_run(folder).load_model()


def test_a_folder_that_cannot_be_named_or_read_is_one_message(tmp_path, monkeypatch):
    for name in ("", " "):
        with pytest.raises(RunError, match="the name of the run folder is empty"):
            read_run(name)
    with pytest.raises(RunError, match="cannot be read .File name too long.; name a folder"):
        read_run(tmp_path / ("y" * 300))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.stat", refuse)
    with pytest.raises(RunError, match="cannot be read .Permission denied."):
        read_run(tmp_path)


def test_a_model_that_says_it_is_larger_than_its_file_is_not_made(trained, tmp_path):
    folder = shutil.copytree(trained[0].folder, tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"encoder_hidden": 2**24}))
    with pytest.raises(RunError, match="is not the model of its config.json.*expected .*16777216"):
        read_run(folder).load_model()


def test_one_flipped_bit_of_the_weights_is_seen(trained, tmp_path):
    file = shutil.copytree(trained[0].folder, tmp_path / "run") / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    with pytest.raises(RunError, match="it is damaged: its weights are not those"):
        read_run(file.parent).load_model()
    with pytest.raises(RunError, match="it is damaged: its weights are not those"):
        read_model(file)


def table(run, name):
    with open(run.folder / name, newline="") as file:
        return list(csv.DictReader(file))


def test_the_weights_of_the_clips_are_those_of_the_loaded_encoder_and_sum_to_one(trained):
    run, path = trained
    rows, model = table(run, "contributions.csv"), run.load_model()
    with FeatureCache(path) as cache:
        for index, sample in enumerate(cache.samples):
            weights = [float(row["weight"]) for row in rows if row["sample_id"] == sample.sample_id]
            features, count = (
                torch.from_numpy(cache.features(index))[None],
                torch.tensor([len(cache.features(index))]),
            )
            with torch.no_grad():
                expected = model.encoder.contributions(model.seen(features, count), count)[0]
            assert len(weights) == count and sum(weights) == pytest.approx(1, abs=1e-6)
            np.testing.assert_allclose(weights, expected, atol=1e-6)
    assert [row["clip"] for row in rows[:2]] == ["0", "1"]


def test_the_weights_of_the_clips_at_every_word_sum_to_one(trained):
    run, path = trained
    rows = table(run, "caption_attention.csv")
    with FeatureCache(path) as cache:
        clips = {sample.sample_id: len(cache.features(index)) for index, sample in enumerate(cache.samples)}
    words = 0
    for sample in run.predictions:
        if sample["split"] == "test":
            for place, word in enumerate(sample["predicted_caption"].split()):
                mine = [
                    row
                    for row in rows
                    if (row["sample_id"], row["word_number"], row["word"])
                    == (sample["sample_id"], str(place), word)
                ]
                assert [int(row["clip"]) for row in mine] == list(range(clips[sample["sample_id"]]))
                assert sum(float(row["weight"]) for row in mine) == pytest.approx(1, abs=1e-5)
                words += len(mine)
    assert words == len(rows) > 0


@pytest.mark.parametrize("encoder", ["average", "lstm", "gru", "attention", "transformer", "frugal"])
@pytest.mark.parametrize("literal", [False, True])
def test_a_model_of_any_encoder_is_read_back(tmp_path, monkeypatch, encoder, literal):
    if encoder == "frugal":
        monkeypatch.setattr("aqa_heads.networks.model.FRUGAL_HIDDEN", 1)
    monkeypatch.setattr("aqa_heads.settings.resolved.LITERAL_S3D_DIM", 12)
    path = write_synthetic_cache(tmp_path / "feats.h5", backbone="s3d", dim=5)
    with small_models():
        run = train(
            TrainingConfig(
                path,
                "2",
                encoder="lstm" if encoder == "frugal" else encoder,
                literal=literal,
                epochs=1,
                tasks=("score", "classes"),
                out=tmp_path,
                device="cpu",
            )
        )
        with FeatureCache(path) as cache:
            clips = {s.sample_id: torch.from_numpy(cache.features(i)) for i, s in enumerate(cache.samples)}
        model = run.load_model()
    assert not model.training and (model.projection is not None) == literal
    assert (type(model.encoder).__name__ == "FrugalLstmEncoder") == (encoder == "frugal")
    for row in run.predictions:
        made = predict(model, [clips[row["sample_id"]]])
        assert made.score[0] == pytest.approx(float(row["predicted_score"]), rel=1e-5)
        assert made.classes["position"] == [row["predicted_class_position"]]
