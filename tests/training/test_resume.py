"""A run that was killed, interrupted or refused, and what is left of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from interrupted_runs import Interrupt, files
from safetensors import safe_open
from synthetic_cache import small_models, write_synthetic_cache

from aqa_cache.disk.locks import FileLock
from aqa_heads.errors import RunError, TrainingError
from aqa_heads.runs import folder as run_folder
from aqa_heads.runs.format import read_run
from aqa_heads.settings.experiments import TASKS
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training import fitting, job
from aqa_heads.training.fitting import Fitting
from aqa_heads.training.run import train

PROCESS = """
import json, sys, time
from synthetic_cache import small_models
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.run import train

def on_epoch(epoch):
    print(epoch.epoch, flush=True)
    time.sleep(0.03)

with small_models():
    config = TrainingConfig(**json.loads(sys.argv[1]))
    train(config, on_epoch=on_epoch)
"""


pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    return write_synthetic_cache(folder / "feats.h5", views={"flip": lambda index, plain: -plain})


@pytest.fixture
def config(path, tmp_path):
    return TrainingConfig(
        path,
        experiment="baseline",
        epochs=8,
        lr=3e-3,
        batch_size=4,
        dropout=0.5,
        tasks=("score", "classes"),
        out=tmp_path / "runs",
        device="cpu",
        meteor=False,
        checkpoint_seconds=0,
    )


def interrupted(config, after):
    with pytest.raises(KeyboardInterrupt):
        train(config, on_epoch=Interrupt(after))


def hidden(config):
    return [path.name for path in Path(config.out).iterdir()]


def assert_equal_to_the_bit(mine, theirs):
    mine, theirs = files(mine.folder), files(theirs.folder)
    assert (
        mine.keys() == theirs.keys() >= {"metrics.csv", "model.safetensors", "predictions.csv", "config.json"}
    )
    for name in theirs:
        assert mine[name] == theirs[name], name


def test_a_killed_run_goes_on_as_if_it_had_never_stopped(path, tmp_path, said):
    """kill -9 in the middle, of a run with dropout, views, an LSTM encoder and a captioner."""
    options = {
        "features": str(path),
        "experiment": "7",
        "dropout": 0.5,
        "epochs": 40,
        "lr": 3e-3,
        "patience": 20,
        "device": "cpu",
        "threads": 1,
        "meteor": False,
    }
    arguments = json.dumps(options | {"out": str(tmp_path / "killed"), "checkpoint_seconds": 0})
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    with process:
        for line in process.stdout:
            if int(line) >= 4:
                process.kill()
                break
    assert (
        process.wait() == -signal.SIGKILL
        and (tmp_path / "killed" / ".exp7.unfinished" / "checkpoint.pt").exists()
    )
    assert not (tmp_path / "killed" / "exp7").exists()
    epochs = []
    said.clear()
    resumed = train(
        TrainingConfig(**options, out=tmp_path / "killed", resume=True),
        on_epoch=lambda epoch: epochs.append(epoch.epoch),
    )
    assert 3 <= epochs[0] - 1 < 40 and said[0] == f"goes on after epoch {epochs[0] - 1}"
    whole = train(TrainingConfig(**options, out=tmp_path / "whole"))
    assert_equal_to_the_bit(resumed, whole)
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["exp7"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"protocol": "paper"},
        {"ridge_start": False},
        {"encoder": "lstm"},
        {"encoder": "lstm", "frugal": True},
        {"encoder": "gru", "pretrain_epochs": 2},
        {"encoder": "attention"},
        {"encoder": "transformer"},
        {"experiment": "5", "tasks": TASKS, "epochs": 5},
        {"experiment": "3", "literal": True, "tasks": TASKS},
        {"difficulty": "multiply", "views": "plain", "seed": 5},
        {"large": True, "tasks": TASKS},
        {"large": True, "encoder": "lstm", "frugal": True},
    ],
    ids=lambda options: " ".join(map(str, options.values())) or "baseline",
)
def test_interrupted_anywhere_it_goes_on_with_the_same_bits(config, monkeypatch, options):
    """Also twice; and where the best weights are kept in a file."""
    if options.pop("frugal", False):
        monkeypatch.setattr("aqa_heads.networks.model.FRUGAL_HIDDEN", 1)
    if options.pop("large", False):
        monkeypatch.setattr("aqa_heads.training.best_weights.MEMORY_LIMIT", 0)
    literal = options.get("literal", False)
    if literal:
        monkeypatch.setattr("aqa_heads.settings.resolved.LITERAL_S3D_DIM", 20)
        config = replace(
            config, features=write_synthetic_cache(Path(config.out).parent / "s3d.h5", backbone="s3d")
        )
    names = ("features", "epochs", "lr", "dropout", "tasks", "out", "device", "meteor")
    given = {name: getattr(config, name) for name in names}
    config = TrainingConfig(
        **{"experiment": "baseline"} | given | options, batch_size=4, checkpoint_seconds=0
    )
    whole = train(replace(config, out=config.out / "whole"))
    for first, second in ((1, 3), (2, 1)):
        run = replace(config, out=config.out / f"{first}-{second}")
        with pytest.raises(KeyboardInterrupt):
            train(run, on_epoch=Interrupt(first + 1))
        resumed = replace(run, resume=True)
        interrupted(resumed, second)
        assert_equal_to_the_bit(train(resumed), whole)
        assert hidden(run) == [whole.folder.name]


def test_parts_that_have_stopped_stay_stopped(config):
    """The assessment ends long before the captioner; interrupted before and after that."""
    config = replace(config, tasks=TASKS, epochs=12, patience=3)
    whole = train(replace(config, out=config.out / "whole"))
    ended = sum(epoch.train_score_loss is not None for epoch in whole.epochs)
    assert ended < len(whole.epochs)
    for after in (ended, ended + 1, ended + 2):
        run = replace(config, out=config.out / str(after))
        interrupted(run, after)
        assert_equal_to_the_bit(train(replace(run, resume=True)), whole)


@pytest.mark.parametrize("where", ["write_run", "summarise", "predict_splits"])
def test_interrupted_after_the_last_epoch_it_ends_with_the_same_bits(config, monkeypatch, where):
    whole = train(replace(config, out=config.out / "whole"))
    run = replace(config, out=config.out / "cut")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(job, where, lambda *_: Interrupt(1)(None))
        train(run)
    assert_equal_to_the_bit(train(replace(run, resume=True)), whole)


def test_what_a_killed_process_left_half_written_is_not_published(config):
    interrupted(config, 3)
    folder = config.out / ".baseline-tasks-score-classes.unfinished"
    (folder / ".checkpoint.pt.abc.tmp").write_bytes(b"half")
    run = train(replace(config, resume=True))
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "MODEL_CARD.md",
        "config.json",
        "metrics.csv",
        "model.safetensors",
        "out_of_fold.csv",
        "predictions.csv",
        "summary.json",
        "training_samples.safetensors",
    ]


def test_an_interrupted_run_is_neither_begun_again_nor_gone_on_with_in_silence(config):
    interrupted(config, 3)
    with pytest.raises(
        RunError, match="run of this name was interrupted; give --resume to go on with it, or --overwrite"
    ):
        train(config)
    epochs = []
    train(replace(config, overwrite=True), on_epoch=lambda epoch: epochs.append(epoch.epoch))
    assert epochs == list(range(1, 9)) and hidden(config) == ["baseline-tasks-score-classes"]
    with pytest.raises(TrainingError, match="overwrite and resume are both asked for"):
        replace(config, resume=True, overwrite=True)


def test_interrupted_while_it_replaces_a_run_it_goes_on_with_the_new_one(config):
    old = train(replace(config, epochs=2))
    new = replace(config, overwrite=True)
    interrupted(new, 4)
    assert len(read_run(old.folder).epochs) == 2
    epochs = []
    run = train(replace(config, resume=True), on_epoch=lambda epoch: epochs.append(epoch.epoch))
    assert epochs[0] == 4 and len(run.epochs) == 8 and hidden(config) == [run.folder.name]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"epochs": 9}, "epochs was 8, is 9"),
        ({"lr": 1e-3}, "lr was 0.003, is 0.001"),
        ({"dropout": 0.1, "patience": 7}, "patience was 10, is 7; dropout was 0.5, is 0.1"),
        ({"validation": 0.3}, "validation was 0.2, is 0.3"),
        ({"beam": 3}, "beam was 1, is 3"),
    ],
)
def test_another_run_is_not_gone_on_with(config, change, message):
    interrupted(config, 3)
    before = (config.out / ".baseline-tasks-score-classes.unfinished" / "checkpoint.pt").read_bytes()
    with pytest.raises(
        RunError, match=f"what was interrupted is another run .{message}.; give the same options"
    ):
        train(replace(config, resume=True, **change))
    assert (config.out / ".baseline-tasks-score-classes.unfinished" / "checkpoint.pt").read_bytes() == before
    run = train(replace(config, resume=True))
    with pytest.raises(RunError, match=f"this run exists, but is another one .{message}.; give --overwrite"):
        train(replace(config, resume=True, **change))
    assert len(run.epochs) == 8


def test_other_features_or_labels_are_another_run(config, tmp_path):
    path = write_synthetic_cache(tmp_path / "own.h5")
    config = replace(config, features=path)
    interrupted(config, 3)
    write_synthetic_cache(path, dim=9)
    with pytest.raises(RunError, match="fingerprint was .*, is "):
        train(replace(config, resume=True))
    write_synthetic_cache(path, change=lambda index, sample: replace(sample, difficulty=1.0))
    with pytest.raises(RunError, match="another run .annotations was .*, is "):
        train(replace(config, resume=True))
    write_synthetic_cache(path)
    assert len(train(replace(config, resume=True)).epochs) == 8


def test_other_threads_cost_the_last_bits_and_are_said(config, said):
    interrupted(replace(config, threads=1), 8)
    run = train(replace(config, threads=2, resume=True))
    assert (
        any(
            "threads was 1, is 2" in line and "the bits of one that was never stopped" in line
            for line in said
        )
        and len(run.epochs) == 8
    )


def test_a_finished_run_is_given_back_as_it_is(config, said):
    whole = train(config)
    before = {path: path.stat().st_mtime_ns for path in whole.folder.iterdir()}
    epochs = []
    said.clear()
    again = train(replace(config, resume=True), on_epoch=epochs.append)
    assert again.summary == whole.summary and said == [f"{whole.folder} is finished already"] and epochs == []
    assert {path: path.stat().st_mtime_ns for path in whole.folder.iterdir()} == before


def test_without_anything_to_go_on_with_it_begins(config):
    epochs = []
    train(replace(config, resume=True), on_epoch=lambda epoch: epochs.append(epoch.epoch))
    assert epochs == list(range(1, 9))


def zeros(data, start, length=2**16):
    return data[:start] + bytes(min(length, len(data) - start)) + data[start + length :]


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def without(*names):
    """A checkpoint that lacks a value, deep in it, written anew with checksums of its own."""

    def change(data):
        path = Path("changed.pt")
        path.write_bytes(data)
        within = content = torch.load(path, weights_only=True)
        for name in names[:-1]:
            within = within[name]
        del within[names[-1]]
        torch.save(content, path)
        return path.read_bytes()

    return change


DAMAGE = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "another file": lambda data: b"x" * 5000,
    "64 kB of zeros": lambda data: zeros(data, len(data) // 3),
    "zeros at the end": lambda data: zeros(data, len(data) - 4096),
    "noise": lambda data: data[:9000] + np.random.default_rng(0).bytes(4096) + data[9000 + 4096 :],
    "a flipped bit": lambda data: flipped(data, len(data) // 2),
    "without epochs": without("epochs"),
    "without identity": without("identity"),
    "without a moment": without("parts", "assessment", "optimisers", 0, "state", 0, "exp_avg"),
    "without a weight": without("model", "standardiser.mean"),
}


@pytest.fixture(scope="module")
def cut_short(path, tmp_path_factory):
    """A run of three epochs, its config, and what is left of the same when it is interrupted in the last."""
    folder = tmp_path_factory.mktemp("cut_short")
    with small_models():
        config = TrainingConfig(
            path,
            experiment="baseline",
            **{"epochs": 3, "lr": 3e-3, "dropout": 0.5, "tasks": ("score", "classes"), "meteor": False},
            device="cpu",
            checkpoint_seconds=0,
        )
        whole = train(replace(config, out=folder / "whole"))
        interrupted(replace(config, out=folder / "cut"), 3)
    return whole, replace(config, resume=True), folder / "cut"


def resumed(cut_short, tmp_path, change, said):
    """What is said when a run goes on of which `change(folder)` has changed what was left; it ends with the
    bits of a whole one.
    """
    whole, config, cut = cut_short
    shutil.copytree(cut, tmp_path / "cut")
    change(tmp_path / "cut" / ".baseline-tasks-score-classes.unfinished")
    said.clear()
    run = train(replace(config, out=tmp_path / "cut"))
    assert_equal_to_the_bit(run, whole)
    return said


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_said_and_the_run_begun_again(cut_short, tmp_path, damage, monkeypatch, said):
    monkeypatch.chdir(tmp_path)

    def change(folder):
        path = folder / "checkpoint.pt"
        path.write_bytes(damage(path.read_bytes()))

    first = resumed(cut_short, tmp_path, change, said)[0]
    assert "checkpoint.pt: is damaged" in first and first.endswith("the run begins again")


@pytest.mark.parametrize("lacking", [None, "epochs", "parts", "model", "ridge_start"])
def test_a_checkpoint_of_before_it_had_a_checksum_is_read_unless_it_lacks_something(
    cut_short, tmp_path, lacking, said
):
    """Only CRCs of the file tell of damage there, and what does not fit."""

    def change(folder):
        content = torch.load(folder / "checkpoint.pt", weights_only=True)
        del content["form"]
        content.pop(lacking, None)
        torch.save(content, folder / "checkpoint.pt")

    lines = resumed(cut_short, tmp_path, change, said)
    assert (lines[0] == "goes on after epoch 2") == (lacking not in ("epochs",))
    assert any("is damaged" in line and "begins again" in line for line in lines) == (lacking is not None)


@pytest.mark.parametrize("damage", ["cut", "a flipped bit", "gone"])
def test_where_best_weights_in_a_file_are_damaged_or_gone_the_run_begins_again(
    config, tmp_path, damage, monkeypatch, said
):
    monkeypatch.setattr("aqa_heads.training.best_weights.MEMORY_LIMIT", 0)
    config = replace(config, epochs=3)
    interrupted(config, 3)
    (path,) = (config.out / ".baseline-tasks-score-classes.unfinished").glob("best_*")
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(DAMAGE[damage](path.read_bytes()))
    run = train(replace(config, resume=True))
    assert any("is damaged" in line and "begins again" in line for line in said)
    assert_equal_to_the_bit(run, train(replace(config, out=tmp_path / "whole")))


def test_a_checkpoint_is_no_program(config, tmp_path):
    """Nothing foreign is unpickled."""
    interrupted(config, 3)
    folder = config.out / ".baseline-tasks-score-classes.unfinished"
    torch.save({"identity": Path("anything but tensors and plain values")}, folder / "checkpoint.pt")
    with pytest.raises(RunError, match="the checkpoint cannot be read"):
        train(replace(config, resume=True))


def test_two_processes_do_not_train_the_same_run(config):
    config.out.mkdir()
    lock = FileLock(config.out / ".baseline-tasks-score-classes.lock")
    assert lock.acquire(run="baseline")
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(
            RunError, match=rf"another process is training this run .process {os.getpid()} on .*wait for it"
        ):
            train(replace(config, **options))
    lock.release()
    train(config)
    assert hidden(config) == ["baseline-tasks-score-classes"]


def test_a_run_that_another_process_has_just_finished_is_not_trained_again(config, monkeypatch):
    """It was not there when it was looked for, and is there when its lock is free."""
    folder, acquire = config.out / "run", FileLock.acquire

    def late(lock, **owner):
        folder.mkdir()
        (folder / "summary.json").write_text("{}")
        return acquire(lock, **owner)

    monkeypatch.setattr(FileLock, "acquire", late)
    with pytest.raises(RunError, match="this run exists"), run_folder.new_run_folder(folder, False):
        pytest.fail("it is trained")
    assert hidden(config) == ["run"]


@pytest.mark.parametrize("seconds, left", [(0, [".baseline-tasks-score-classes.unfinished"]), (60, [])])
def test_ctrl_c_leaves_the_checkpoint_if_there_is_one(config, seconds, left):
    interrupted(replace(config, checkpoint_seconds=seconds), 4)
    assert hidden(config) == left


def test_too_little_memory_costs_no_checkpoint(config, monkeypatch):
    interrupted(config, 3)

    def fail(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patch, pytest.raises(TrainingError, match="not enough memory"):
        patch.setattr(Fitting, "fit", fail)
        train(replace(config, resume=True))
    epochs = []
    train(replace(config, resume=True), on_epoch=lambda epoch: epochs.append(epoch.epoch))
    assert epochs[0] == 3


def test_checkpoints_are_as_far_apart_as_asked_and_take_no_more_than_a_share_of_the_time(
    tmp_path, monkeypatch
):
    now, taken = [0.0], []
    monkeypatch.setattr(run_folder.time, "monotonic", lambda: now[0])

    def save(seconds):
        def state():
            now[0] += seconds
            taken.append(now[0])
            return {}

        return state

    work = run_folder.Work(tmp_path, 60)
    for _ in range(200):
        now[0] += 1
        work.save(save(0))
    assert taken == [60, 120, 180]
    # A checkpoint that takes 10 s is made every 200 s.
    taken.clear()
    for _ in range(500):
        now[0] += 1
        work.save(save(10))
    assert np.diff(taken).min() >= 200 and len(taken) == 3


def test_weights_in_the_finished_run_are_those_that_were_reported(config, monkeypatch):
    """Best weights that lie in a file are in no finished run, and the model's file tells of the run."""
    monkeypatch.setattr("aqa_heads.training.best_weights.MEMORY_LIMIT", 0)
    run = train(config)
    assert not [path for path in run.folder.iterdir() if path.name.startswith("best")]
    with safe_open(run.folder / "model.safetensors", "pt") as file:
        said = json.loads(file.metadata()["run"])
    expected = {name: value for name, value in run.config.items() if name != "files"}
    assert (said["config"], said["vocabulary"]) == (expected, None)
    monkeypatch.undo()
    with small_models():
        held = train(replace(config, overwrite=True))
    assert files(held.folder) == files(run.folder)


def test_evaluation_is_part_of_what_is_gone_on_with(config, monkeypatch):
    """An epoch that was not evaluated is trained again."""
    evaluate, calls = fitting.evaluate, []

    def cut(*given):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return evaluate(*given)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fitting, "evaluate", cut)
        train(config)
    resumed = train(replace(config, resume=True))
    assert_equal_to_the_bit(resumed, train(replace(config, out=config.out / "whole")))
