"""What TensorBoard, MLflow and wandb are told is what stands in the run folder."""

import os
from dataclasses import astuple, fields, replace

import pytest
from click.testing import CliRunner
from synthetic_cache import small_models, write_synthetic_cache

from aqa_cli.train import main
from aqa_heads import tracking
from aqa_heads.runs.format import read_run
from aqa_heads.runs.tables import Epoch
from aqa_heads.table import train_table
from aqa_heads.training.run import train

QUICK = "--exp baseline --tasks score,classes --epochs 3 --device cpu".split()
NAME = "baseline-tasks-score-classes"


@pytest.fixture
def aqa_train(tmp_path):
    path = write_synthetic_cache(tmp_path / "feats.h5")

    def run(*words):
        options = ["--features", path, "--out", tmp_path / "runs", *QUICK, *words]
        with small_models():
            return CliRunner().invoke(main, [str(word) for word in options])

    return run


class Kept:
    """A tracker that keeps what it is told, and fails after some tellings."""

    runs: list["Kept"] = []
    patience = 99

    def __init__(self, name, settings):
        self.name, self.settings, self.rows, self.ended = name, settings, [], None
        Kept.runs.append(self)

    def numbers(self, numbers, step):
        if len(self.rows) >= self.patience:
            raise RuntimeError("the disk is full")
        self.rows.append((step, dict(numbers)))

    def close(self, is_whole):
        self.ended = is_whole


@pytest.fixture
def kept(monkeypatch):
    monkeypatch.setattr(Kept, "runs", [])
    monkeypatch.setattr(tracking, "_beginner", lambda place: Kept)
    return Kept


def numbers_of(run):
    """By name and step, of a run folder."""
    names = [field.name.replace("_", "/", 1) for field in fields(Epoch)]
    found = {}
    for epoch in run.epochs:
        for name, value in zip(names[1:], astuple(epoch)[1:], strict=True):
            if value is not None and value == value:
                found[name, epoch.epoch] = value
    return found


def test_trackers_are_told_what_the_run_folder_says(aqa_train, kept, tmp_path):
    result = aqa_train("--log", "any", "--seeds", 2)
    assert result.exit_code == 0, result.output
    assert [run.name for run in kept.runs] == sorted(path.name for path in (tmp_path / "runs").iterdir())
    for told in kept.runs:
        run = read_run(tmp_path / "runs" / told.name)
        rows = {(name, step): value for step, numbers in told.rows for name, value in numbers.items()}
        results = {key: value for key, value in rows.items() if key[0].startswith("result/")}
        assert {key: value for key, value in rows.items() if key not in results} == numbers_of(run)
        assert results["result/spearman", 3] == run.summary["spearman"]
        assert results["result/class_accuracy/position", 3] == run.summary["class_accuracy"]["position"]
        assert told.ended and told.settings["experiment"] == "baseline" and told.settings["features"]


def test_a_resumed_run_is_told_whole_and_a_finished_one_not_again(aqa_train, kept, tmp_path, monkeypatch):
    from aqa_heads.training.fitting import Fitting

    results = Fitting._results

    def interrupted(self, number):
        if number == 3:
            raise KeyboardInterrupt
        return results(self, number)

    monkeypatch.setattr(Fitting, "_results", interrupted)
    assert aqa_train("--log", "any", "--checkpoint-seconds", 0).exit_code == 130
    assert kept.runs[0].ended is False and [step for step, _ in kept.runs[0].rows] == [1, 2]
    monkeypatch.undo()
    monkeypatch.setattr(tracking, "_beginner", lambda place: Kept)
    assert aqa_train("--log", "any", "--resume").exit_code == 0
    whole = kept.runs[-1]
    assert {step for step, _ in whole.rows} == {1, 2, 3} and whole.ended
    count = len(kept.runs)
    assert aqa_train("--log", "any", "--resume").exit_code == 0 and len(kept.runs) == count


def test_a_run_that_was_trained_elsewhere_is_told_when_it_is_done(kept, tmp_path):
    """With `resume`, too: it was not finished before."""

    class Elsewhere:
        def train(self, plans):
            for number, plan in plans.items():
                yield number, train(replace(plan.config.asked, resume=False))

    path = write_synthetic_cache(tmp_path / "feats.h5")
    asked = {"tasks": ("score",), "epochs": 2, "device": "cpu", "out": tmp_path / "runs", "resume": True}
    for _ in range(2):
        with small_models():
            shown = tracking.Trackers(["any"]).shown()
            train_table(path, "baseline", **asked, ray=Elsewhere(), shown=shown)
    (told,) = kept.runs
    assert {step for step, _ in told.rows} == {1, 2} and told.ended


def test_a_tracker_that_fails_ends_no_training_but_is_no_success(aqa_train, kept, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "patience", 1)
    result = aqa_train("--log", "any")
    assert result.exit_code == 1
    assert f"--log any: failed in {NAME}, and was told nothing more (RuntimeError: the disk is full)" in (
        result.output
    )
    assert len(read_run(tmp_path / "runs" / NAME).epochs) == 3


@pytest.mark.parametrize("place", ["tensorboard", "mlflow:", "elsewhere:x"])
def test_a_place_that_is_none_is_said_before_anything_is_trained(aqa_train, tmp_path, place):
    result = aqa_train("--log", place)
    assert result.exit_code == 2 and "expected tensorboard:DIR, mlflow:DIR, wandb or wandb:" in result.output
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("place", "module"),
    [("tensorboard:x", "torch.utils.tensorboard.writer"), ("mlflow:x", "mlflow"), ("wandb", "wandb")],
)
def test_a_package_that_is_not_installed_is_said(aqa_train, tmp_path, monkeypatch, place, module):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    result = aqa_train("--log", place)
    package = place.split(":")[0]
    assert result.exit_code == 2 and f"install it with: pip install 'aqa-cache[{package}]'" in result.output
    assert not (tmp_path / "runs").exists()


@pytest.mark.extra
@pytest.mark.filterwarnings("ignore")
def test_tensorboard_shows_the_numbers_of_the_run(aqa_train, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = aqa_train("--log", f"tensorboard:{tmp_path / 'tb'}")
    assert result.exit_code == 0, result.output
    events = EventAccumulator(str(tmp_path / "tb" / NAME)).Reload()
    run = read_run(tmp_path / "runs" / NAME)
    shown = {
        (name, event.step): event.value for name in events.Tags()["scalars"] for event in events.Scalars(name)
    }
    expected = numbers_of(run) | {("result/spearman", 3): run.summary["spearman"]}
    assert {key: shown[key] for key in expected} == pytest.approx(expected)
    assert "settings/text_summary" in events.Tags()["tensors"]


@pytest.mark.extra
@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_the_numbers_of_the_run(aqa_train, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    for _ in range(2):  # the second time the experiment is there
        result = aqa_train("--log", f"mlflow:{tmp_path / 'ml'}", "--overwrite")
        assert result.exit_code == 0, result.output
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'ml' / 'mlflow.db'}")
    last, first = client.search_runs([client.get_experiment_by_name("aqa").experiment_id])
    run = read_run(tmp_path / "runs" / NAME)
    assert (last.info.status, last.info.run_name, last.data.params["experiment"]) == (
        "FINISHED",
        NAME,
        "baseline",
    )
    assert last.data.metrics["result/spearman"] == pytest.approx(run.summary["spearman"])
    history = client.get_metric_history(last.info.run_id, "train/loss")
    assert [(one.step, one.value) for one in history] == [(e.epoch, e.train_loss) for e in run.epochs]
    assert first.info.run_id != last.info.run_id


@pytest.mark.extra
@pytest.mark.filterwarnings("ignore")
def test_wandb_writes_offline(aqa_train, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    for name, value in {"MODE": "offline", "DIR": tmp_path, "SILENT": "true", "CACHE_DIR": tmp_path}.items():
        monkeypatch.setitem(os.environ, f"WANDB_{name}", str(value))
    result = aqa_train("--log", "wandb:dives")
    assert result.exit_code == 0, result.output
    (written,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    content = written.read_bytes()
    assert b"result/spearman" in content and NAME.encode() in content and b"dives" in content
