import json
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open
from synthetic_cache import small_models, write_synthetic_cache

from aqa_cache.cache import FeatureCache
from aqa_heads.configuration import TrainingConfig
from aqa_heads.errors import RunError
from aqa_heads.predictions import predict
from aqa_heads.runs import check_run_folder, new_run_folder, read_run
from aqa_heads.training import train

HEADER = (
    "epoch,train_loss,train_score_loss,train_class_loss,train_caption_loss,train_caption_loss_per_token,"
    "test_spearman,test_relative_l2,seconds"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    path = write_synthetic_cache(folder / "feats.h5")
    with small_models():
        yield train(TrainingConfig(path, "1", epochs=2, out=folder / "runs", device="cpu")), path


def test_the_folder_holds_every_file_and_nothing_else(trained):
    run, _ = trained
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "config.json", "metrics.csv", "model.safetensors", "predictions.csv", "summary.json", "vocabulary.json",
    ]  # fmt: skip
    assert [path.name for path in run.folder.parent.iterdir()] == ["exp1"]
    assert len({path.stat().st_mode for path in run.folder.iterdir()}) == 1


def test_the_headers_are_the_contract(trained):
    run, _ = trained
    metrics, predictions = [
        (run.folder / name).read_text().splitlines()[0] for name in ("metrics.csv", "predictions.csv")
    ]
    assert metrics == HEADER
    assert predictions == (
        "sample_id,split,group,final_score,predicted_score,class_position,predicted_class_position,"
        "class_twists,predicted_class_twists,caption,predicted_caption"
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
    np.testing.assert_allclose(made.score, [float(row["predicted_score"]) for row in run.predictions], rtol=1e-5)
    assert made.classes["position"] == [row["predicted_class_position"] for row in run.predictions]
    assert made.captions[6:] == [row["predicted_caption"] for row in run.predictions[6:]]
    assert {row["predicted_caption"] for row in run.predictions[:6]} == {""}


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
    assert (summary["n_train"], summary["n_test"]) == (6, 4)
    assert summary["parameters"] == run.load_model().parameter_count
    assert summary["spearman"] == pytest.approx(run.epochs[-1].test_spearman)
    best = max(run.epochs, key=lambda epoch: epoch.test_spearman)
    assert summary["best_test_spearman"] == {
        "spearman": best.test_spearman, "epoch": best.epoch, "note": "chosen on the test set, not for reporting",
    }  # fmt: skip


def test_the_weights_file_describes_itself(trained):
    run, _ = trained
    with safe_open(run.folder / "model.safetensors", "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["config"]) == run.config
    assert json.loads(metadata["vocabulary"]) == run.vocabulary.words


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


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("config.json", {"features": "x"}, "features is 'x', expected an object"),
        ("config.json", {"table1": "x"}, "table1 is 'x', expected an object"),
        ("config.json", {"seed": []}, "seed is .., expected a whole number"),
        ("config.json", {"features": {"path": ["x"]}}, "path is .'x'., expected text"),
        ("config.json", [1], "its content is .1., expected an object"),
        ("config.json", None, "null"),
        ("summary.json", {"floors": 3}, "floors is 3, expected an object"),
        ("summary.json", {"floors": {"difficulty": [2]}}, "difficulty is .2., expected an object"),
        ("summary.json", {"class_accuracy": [1]}, "class_accuracy is .1., expected an object"),
        ("summary.json", {"spearman": "high"}, "spearman is 'high', expected a number"),
        ("summary.json", {"parameters": 10**400}, "parameters is 10+....0+, expected a number"),
        ("summary.json", {"notes": 3}, "notes is 3, expected a list"),
        ("summary.json", {"notes": [3]}, "an item of notes is 3, expected text"),
        ("vocabulary.json", ["<eos>", "<sos>", "<unk>", 3], "expected text"),
        ("metrics.csv", "epoch\n", "no column train_loss"),
        ("predictions.csv", "", "no column sample_id.*its header is empty"),
        ("predictions.csv", "sample_id,split\n", "no column group"),
        ("predictions.csv", "sample_id,split,group,final_score,predicted_score\na,test\n", "row 1 has not 5 cells"),
        (
            "predictions.csv",
            "sample_id,split,group,final_score,predicted_score\na,test,,x,\n",
            "row 1: final_score is 'x'",
        ),
        ("metrics.csv", f"{HEADER}\nx,1,,,,,,,1\n", "row 1: epoch is 'x', expected a whole number"),
        ("metrics.csv", f"{HEADER}\n1,x,,,,,,,1\n", "row 1: train_loss is 'x', expected a number"),
    ],
)
def test_a_damaged_file_is_named_with_what_was_got(trained, tmp_path, name, content, message):
    folder = shutil.copytree(trained[0].folder, tmp_path / "run")
    (folder / name).write_text(content if name.endswith("csv") else json.dumps(content))
    with pytest.raises(RunError, match=f"{name}: cannot be read .*{message}.*train the run again"):
        read_run(folder)


def write_some(folder, overwrite=False, text="new"):
    with new_run_folder(folder, overwrite) as temporary:
        (temporary / "summary.json").write_text(text)


def test_a_run_is_replaced_only_when_asked(tmp_path):
    folder = tmp_path / "a" / "exp1"
    write_some(folder, text="old")
    with pytest.raises(RunError, match="this run exists; give --overwrite"):
        write_some(folder)
    assert (folder / "summary.json").read_text() == "old"
    write_some(folder, overwrite=True)
    assert (folder / "summary.json").read_text() == "new"
    assert [path.name for path in folder.parent.iterdir()] == ["exp1"]


def test_an_interrupted_run_leaves_the_old_one(tmp_path):
    folder = tmp_path / "exp1"
    write_some(folder, text="old")
    with pytest.raises(KeyboardInterrupt), new_run_folder(folder, True) as temporary:
        (temporary / "summary.json").write_text("new")
        raise KeyboardInterrupt
    assert (folder / "summary.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["exp1"]


def test_what_is_no_run_is_never_replaced(tmp_path):
    (tmp_path / "empty").mkdir()
    check_run_folder(tmp_path / "empty", False)
    check_run_folder(tmp_path / "new", False)
    write_some(tmp_path / "empty")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"):
        check_run_folder(tmp_path / "file", True)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("")
    with pytest.raises(RunError, match="is not a run folder"):
        check_run_folder(tmp_path / "thesis", True)
    with pytest.raises(RunError, match="cannot be made"):
        write_some(tmp_path / "file" / "exp1")
