"""Rows, seeds and folds from Python: what is trained once, and that it changes no bit."""

import shutil
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from interrupted_runs import files
from safetensors.torch import load_file
from synthetic_cache import write_synthetic_cache

from aqa_cache.errors import AqaError
from aqa_cache.logs import handled
from aqa_heads.errors import RunError, TrainingError
from aqa_heads.runs.format import read_run
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.table import Table, table_configs, train_table
from aqa_heads.training import job
from aqa_heads.training.listener import Listener
from aqa_heads.training.run import train

SETTINGS = {"epochs": 3, "batch_size": 4, "device": "cpu", "threads": 1, "meteor": False, "dropout": 0.2}
# Beside what a run says of itself alone.
OF_CALL = ("parts", "call")


pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_synthetic_cache(tmp_path_factory.mktemp("table") / "feats.h5")


def told(lines):
    @contextmanager
    def shown(planned):
        with handled(lambda record: lines.append((planned.number, record.getMessage()))):
            yield Listener()

    return shown


def comparable(folder):
    """A run's files, without seconds and without what it says of other runs."""
    found = files(folder)
    config = {key: value for key, value in found["config.json"].items() if key not in OF_CALL}
    summary = {key: value for key, value in found["summary.json"].items() if key != "taken_over"}
    del found["model.safetensors"]
    return found | {"config.json": config, "summary.json": summary}


def assert_same_run(mine, theirs):
    assert comparable(mine) == comparable(theirs)
    mine, theirs = (load_file(folder / "model.safetensors") for folder in (mine, theirs))
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_what_is_the_same_is_trained_once_and_every_run_is_as_if_alone(path, tmp_path):
    lines = []
    runs = train_table(path, "baseline,1,2,7", out=tmp_path / "t", shown=told(lines), **SETTINGS)
    taken = [run.summary.get("taken_over") for run in runs]
    first = runs[0].folder.name
    assert taken == [None, {"assessment": first}, {"assessment": first, "captioner": first}, None]
    said = [(number, line) for number, line in lines if "taken over" in line]
    assert [number for number, _ in said] == [2, 3]
    assert f"its assessment and captioner are those of {first}" in said[1][1]
    assert said[0][
        1
    ] == f"{runs[1].folder.name}: its assessment is that of {first} to the bit, and is taken" + (
        " over from there"
    )
    for run in runs[1:3]:
        alone = train(TrainingConfig(path, run.config["experiment"], out=tmp_path / "alone", **SETTINGS))
        assert_same_run(run.folder, alone.folder)


@pytest.mark.parametrize(
    "changed", [{"protocol": "paper"}, {"patience": 1, "lr": 1e-2, "caption_lr": 1e-3, "epochs": 6}]
)
def test_parts_that_end_at_other_times_or_are_never_chosen(path, tmp_path, changed):
    runs = train_table(path, "1,4", out=tmp_path / "t", **SETTINGS | changed)
    assert runs[1].summary["taken_over"] == {"assessment": runs[0].folder.name}
    alone = train(TrainingConfig(path, "4", out=tmp_path / "alone", **SETTINGS | changed))
    assert_same_run(runs[1].folder, alone.folder)


def test_nothing_is_taken_over_from_another_seed_split_or_setting(path, tmp_path):
    settings = SETTINGS | {"protocol": "paper", "tasks": ("score",), "epochs": 1}
    runs = train_table(path, "baseline", seeds=2, folds=2, out=tmp_path, **settings)
    assert [run.config["seed"] for run in runs] == [0, 0, 1, 1]
    assert [run.config["fold"] for run in runs] == ["1/2", "2/2"] * 2
    assert not any("taken_over" in run.summary for run in runs)
    configs = table_configs(path, "baseline,1", out=tmp_path / "other", **settings)
    with Table([configs[0], replace(configs[1], lr=1e-3)]) as table:
        assert not any("taken_over" in run.summary for run in table.train())


class Stop(Exception):
    pass


def stopping(at):
    @contextmanager
    def shown(planned):
        def on_epoch(epoch):
            if (planned.number, epoch.epoch) == at:
                raise Stop

        yield Listener(on_epoch=on_epoch)

    return shown


def test_an_interrupted_call_goes_on_with_what_it_had_finished(path, tmp_path):
    whole = train_table(path, "baseline,1", out=tmp_path / "whole", **SETTINGS)
    settings = SETTINGS | {"out": tmp_path / "cut", "checkpoint_seconds": 0}
    with pytest.raises(Stop):
        train_table(path, "baseline,1", shown=stopping((2, 3)), **settings)
    lines = []
    resumed = train_table(path, "baseline,1", resume=True, shown=told(lines), **settings)
    assert (2, "goes on after epoch 2") in lines
    assert resumed[1].summary["taken_over"] == {"assessment": resumed[0].folder.name}
    for mine, theirs in zip(resumed, whole, strict=True):
        assert_same_run(mine.folder, theirs.folder)


def test_no_part_comes_from_a_folder_of_another_call(path, tmp_path, said):
    settings = SETTINGS | {"out": tmp_path, "checkpoint_seconds": 0}
    train(TrainingConfig(path, **{"experiment": "baseline", **settings}))
    runs = train_table(path, "baseline,1", resume=True, **settings)
    assert not any("taken_over" in run.summary for run in runs)
    # An interrupted run that had taken its assessment over begins again where it cannot be had.
    shutil.rmtree(runs[1].folder)
    shutil.rmtree(runs[0].folder)
    with pytest.raises(Stop):
        train_table(path, "baseline,1", shown=stopping((2, 3)), **settings)
    said.clear()
    alone = train(TrainingConfig(path, "1", resume=True, **settings))
    assert said[0].startswith(f"begins again: it had taken over its assessment from {runs[0].folder.name}")
    assert not any(line.startswith("goes on") for line in said)
    assert_same_run(
        alone.folder, train(TrainingConfig(path, "1", **settings | {"out": tmp_path / "b"})).folder
    )


def test_no_part_is_taken_over_from_weights_that_are_damaged(path, tmp_path):
    whole = train_table(path, "baseline,1", out=tmp_path / "whole", **SETTINGS)
    settings = SETTINGS | {"out": tmp_path / "cut", "checkpoint_seconds": 0}
    with pytest.raises(Stop):
        train_table(path, "baseline,1", shown=stopping((2, 3)), **settings)
    weights = tmp_path / "cut" / "baseline" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-50] ^= 1
    weights.write_bytes(content)
    lines = []
    runs = train_table(path, "baseline,1", resume=True, shown=told(lines), **settings)
    assert [number for number, line in lines if "model.safetensors: it is damaged" in line] == [1]
    assert any(line.startswith("begins again: it had taken over") for _, line in lines)
    assert "taken_over" not in runs[1].summary
    assert_same_run(runs[1].folder, whole[1].folder)
    with pytest.raises(RunError, match="damaged.*train the run again"):
        runs[0].load_model()


def test_a_run_that_took_everything_over_goes_on(path, tmp_path, monkeypatch):
    settings = SETTINGS | {"out": tmp_path, "checkpoint_seconds": 0, "tasks": ("score",), "epochs": 2}
    write = job.write_run

    def cut(folder, *rest):
        if "exp2" in folder.name:
            raise Stop
        write(folder, *rest)

    monkeypatch.setattr(job, "write_run", cut)
    with pytest.raises(Stop):
        train_table(path, "baseline,2", **settings)
    monkeypatch.setattr(job, "write_run", write)
    runs = train_table(path, "baseline,2", resume=True, **settings)
    assert runs[1].summary["taken_over"] == {"assessment": runs[0].folder.name}


def test_parts_of_another_version_are_others(path, tmp_path, monkeypatch):
    settings = SETTINGS | {"out": tmp_path, "tasks": ("score",), "epochs": 1}
    train_table(path, "baseline,2", **settings)
    shutil.rmtree(next(tmp_path.glob("exp2*")))
    monkeypatch.setattr("aqa_heads.training.trained_parts.__version__", "another")
    runs = train_table(path, "baseline,2", resume=True, **settings)
    assert "taken_over" not in runs[1].summary


def test_folds_whose_names_fall_together_keep_their_runs_apart(tmp_path):
    names = {"f0": "一", "f1": "二"}
    path = write_synthetic_cache(
        tmp_path / "feats.h5", change=lambda index, sample: replace(sample, fold=names[f"f{index % 2}"])
    )
    settings = {"protocol": "paper", "folds": "official", "out": tmp_path / "runs", "overwrite": True}
    runs = train_table(path, "ridge", **settings)
    assert [run.config["fold"] for run in runs] == ["一", "二"]
    assert len({run.folder for run in runs}) == 2 == len(list((tmp_path / "runs").iterdir()))
    for run in runs:  # one fold by itself has the folder that it has among all
        alone = train(TrainingConfig(path, "ridge", fold=run.config["fold"], **settings))
        assert alone.folder == run.folder and alone.config["fold"] == run.config["fold"]


def test_two_runs_for_one_folder_are_refused_before_anything_is_trained(path, tmp_path):
    with (
        pytest.raises(TrainingError, match="two runs of this call"),
        Table(
            [
                TrainingConfig(path, experiment="baseline", tasks=("score",), lr=lr, out=tmp_path / "runs")
                for lr in (1e-3, 1e-4)
            ]
        ),
    ):
        pass
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("seeds, device, said", [(0, "cpu", "seeds is 0"), (1, "banana", "banana")])
def test_a_value_that_cannot_be_is_said_before_anything_is_trained(path, tmp_path, seeds, device, said):
    with pytest.raises(AqaError, match=said):
        train_table(path, "ridge", seeds=seeds, device=device, out=tmp_path)


def test_everything_is_planned_before_the_first_run_is_trained(path, tmp_path):
    (tmp_path / "exp1").mkdir()
    (tmp_path / "exp1" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not a run folder"):
        train_table(path, "baseline,1", out=tmp_path, **SETTINGS)
    assert [folder.name for folder in tmp_path.iterdir()] == ["exp1"]


def test_references_lose_what_they_have_not_beside_other_rows(path, tmp_path):
    configs = table_configs(path, ["1", "references"], rnn="lstm", **SETTINGS)
    assert [(config.experiment, config.rnn) for config in configs] == [
        ("1", "lstm"),
        ("ridge", None),
        ("c3d-svr", None),
        ("c3d-lstm", None),
    ]
    with pytest.raises(TrainingError, match="has no rnn"):
        table_configs(path, "ridge", rnn="lstm")
    with pytest.raises(TrainingError, match="'9' is not known; give any of baseline"):
        table_configs(path, "9")


def test_a_run_of_a_table_can_be_read_alone(path, tmp_path):
    run = train_table(path, "1,ridge", tasks=("score",), out=tmp_path, **SETTINGS)[0]
    assert read_run(run.folder).load_model().heads is not None


def test_every_combination_of_swept_values_is_a_config_and_a_closed_form_is_one():
    configs = table_configs(
        "feats.h5", "baseline,ridge", lr=(1e-4, 3e-4), encoder=["average", "lstm"], seeds=2
    )
    assert [(c.experiment, c.lr, c.encoder, c.seed) for c in configs] == [
        *(
            ("baseline", lr, encoder, seed)
            for lr in (1e-4, 3e-4)
            for encoder in ("average", "lstm")
            for seed in (0, 1)
        ),
        *(("ridge", None, None, seed) for seed in (0, 1)),
    ]
    assert {c.varied for c in configs} == {("lr", "encoder"), ()}
    with pytest.raises(TrainingError, match="lr: expected different values, got 0.1, 0.1"):
        table_configs("feats.h5", lr=[0.1, 0.1])


def test_where_no_sample_has_a_split_each_is_tested_in_one_fold(tmp_path):
    path = write_synthetic_cache(
        tmp_path / "feats.h5", train=12, test=0, change=lambda index, sample: replace(sample, split=None)
    )
    with Table([TrainingConfig(path, out=tmp_path)]) as table:
        assert [plan.config.fold for plan in table.plans] == [f"{number}/5" for number in range(1, 6)]
        (note,) = table.notes
        assert note.endswith("no sample has a split, so each is tested in one of 5 folds, as with --folds 5")
    named = write_synthetic_cache(
        tmp_path / "named.h5",
        train=12,
        test=0,
        change=lambda index, sample: replace(sample, split=None, fold="ab"[index % 2]),
    )
    with Table([TrainingConfig(named, out=tmp_path)]) as table:
        assert [plan.config.fold for plan in table.plans] == ["a", "b"]
