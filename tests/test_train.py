from dataclasses import replace

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from synthetic_cache import small_models, without, write_synthetic_cache

from aqa_cli.train import main
from aqa_heads.experiments import EXPERIMENTS
from aqa_heads.runs import read_run


@pytest.fixture(autouse=True)
def small():
    with small_models():
        yield


@pytest.fixture
def path(tmp_path):
    return write_synthetic_cache(tmp_path / "feats.h5")


@pytest.fixture
def aqa_train(path, tmp_path):
    def run(*arguments):
        options = ["--features", path, "--out", tmp_path / "runs", "--device", "cpu", "--epochs", 1]
        return CliRunner().invoke(main, [str(word) for word in (*options, *arguments)])

    return run


def test_one_experiment_leaves_a_run_and_prints_a_table(aqa_train, tmp_path):
    result = aqa_train("--exp", "1", "--epochs", 12, "--tasks", "score,classes")
    assert result.exit_code == 0, result.output
    run = read_run(tmp_path / "runs" / "exp1-tasks-score-classes")
    assert len(run.epochs) == 12 and len([line for line in result.output.splitlines() if "epoch " in line]) == 12
    for text in (
        "Exp 1 (score and classes only)",
        "training mean alone",
        "majority class alone",
        f"{run.summary['parameters']:,}",
    ):
        assert text in result.output


def test_all_runs_the_eight_rows(aqa_train, tmp_path):
    result = aqa_train("--exp", "all", "--tasks", "score", "--encoder-hidden", 8)
    assert result.exit_code == 0, result.output
    folders = [
        f"{row.folder}{'-encoder-hidden-8' * (row.encoder == 'lstm')}-tasks-score"
        + ("-on-c3d" if row.backbone == "s3d" else "")
        for row in EXPERIMENTS.values()
    ]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == sorted(folders)
    assert result.output.count("no caption task") == 1


def test_a_row_on_other_features_says_so(aqa_train, path, tmp_path):
    write_synthetic_cache(path, backbone="s3d")
    result = aqa_train("--exp", "7", "--encoder", "average", "--tasks", "score")
    assert result.exit_code == 0, result.output
    assert "Exp 7 is a C3D row of Table 1, feats.h5 holds S3D features" in result.output
    assert read_run(tmp_path / "runs" / "exp7-encoder-average-tasks-score-on-s3d").config["encoder"] == "average"


def test_a_run_is_named_and_checked_by_the_tasks_that_have_labels(aqa_train, path, tmp_path):
    write_synthetic_cache(path, change=without("caption"))
    result = aqa_train("--exp", "1")
    assert result.exit_code == 0, result.output
    assert "Exp 1 (score and classes only): epoch 1/1" in result.output
    assert "task caption is left out" in result.output
    result = aqa_train("--exp", "1", "--tasks", "score,classes")
    assert result.exit_code == 2 and "exp1-tasks-score-classes: this run exists" in result.output


def test_test_samples_without_labels_are_said(aqa_train, path):
    write_synthetic_cache(path, change=without("final_score", "classes", splits=("test",)))
    result = aqa_train("--tasks", "score,classes")
    assert "no test sample has a final_score" in result.output
    assert "no test sample has a class in column 'twists'" in result.output


def test_views_are_all_drawn_from_unless_asked_otherwise(aqa_train, path, tmp_path):
    write_synthetic_cache(path, views={"flip": lambda index, plain: -plain})
    result = aqa_train("--tasks", "score")
    assert result.exit_code == 0 and "training draws one of the 2 views of every sample" in result.output
    result = aqa_train("--tasks", "score", "--views", "plain")
    assert result.exit_code == 0 and "only the plain one of the 2 views in feats.h5 is trained on" in result.output
    configs = [
        read_run(tmp_path / "runs" / name).config
        for name in ("baseline-tasks-score", "baseline-plain-view-tasks-score")
    ]
    assert [config["views"] for config in configs] == ["all", "plain"]


def test_progress_is_about_ten_lines_where_there_is_no_terminal(aqa_train):
    output = aqa_train("--epochs", 40, "--tasks", "score").output
    assert len([line for line in output.splitlines() if "s to go" in line]) == 11


def test_an_existing_run_is_refused_before_any_training(aqa_train, tmp_path):
    assert aqa_train("--exp", "7", "--tasks", "score").exit_code == 0
    result = aqa_train("--exp", "all", "--tasks", "score")
    assert result.exit_code == 2 and "exp7-tasks-score: this run exists; give --overwrite" in result.output
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["exp7-tasks-score"]
    assert aqa_train("--exp", "7", "--tasks", "score", "--overwrite").exit_code == 0


def nan_feature(path):
    write_synthetic_cache(path)
    with h5py.File(path, "r+") as file:
        file["features"][0, 0] = np.nan


@pytest.mark.parametrize(
    "spoil, message",
    [
        (nan_feature, "s00: the feature of clip 0 in feats.h5 is not finite"),
        (lambda path: path.write_bytes(b"not hdf5"), "is not an HDF5 file"),
        (lambda path: path.unlink(), "no such file"),
        (lambda path: write_synthetic_cache(path, train=1), "at least 2 are needed"),
        (
            lambda path: write_synthetic_cache(path, change=without("split")),
            "no sample with features has split 'train'",
        ),
        (
            lambda path: write_synthetic_cache(path, change=without("final_score", "classes", "caption")),
            "has a label for score",
        ),
        (
            lambda path: write_synthetic_cache(path, change=lambda index, sample: replace(sample, final_score=1.0)),
            "give --score-scale",
        ),
    ],
)
def test_a_cache_that_cannot_be_trained_with_is_one_message(aqa_train, path, tmp_path, spoil, message):
    spoil(path)
    result = aqa_train()
    assert result.exit_code == 2 and message in result.output and result.output.startswith("Error: ")
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--exp", "8"), "'8' is not one of 'baseline'"),
        (("--tasks", "score,captions"), "unknown task 'captions'; give any of score, classes, caption"),
        (("--tasks", ","), "no task was asked for"),
        (("--views", "flip"), "'flip' is not one of 'all', 'plain'"),
        (("--layers", "0"), "0 is not in the range x>=1"),
        (("--lr", "nan"), "lr is nan"),
        (("--lr", "1e30", "--tasks", "score"), "training diverged"),
        (("--device", "gpu"), "device 'gpu' cannot be used"),
        (("--score-scale", "0"), "0.0 is not in the range x>0"),
    ],
)
def test_wrong_usage_is_one_message(aqa_train, arguments, message):
    result = aqa_train(*arguments)
    assert result.exit_code == 2 and message in result.output
    assert isinstance(result.exception, SystemExit)


def test_a_run_folder_that_cannot_be_written_is_one_message(aqa_train, tmp_path):
    (tmp_path / "runs").write_text("a file")
    result = aqa_train("--tasks", "score")
    assert result.exit_code == 2 and "cannot be made" in result.output


def test_help_ends_in_an_example_and_needs_no_torch():
    result = CliRunner().invoke(main, ["--help"])
    assert result.output.rstrip().splitlines()[-2].strip() == "Example:"
    assert "aqa-train --features feats.h5" in result.output
