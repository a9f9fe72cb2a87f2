"""Run folders and interrupted runs of the first version are read, taken for finished, and gone on with."""

import csv
import json
import shutil
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial

import numpy as np
import pytest
from places import DATA

from aqa_cache.cache_file.reader import FeatureCache
from aqa_heads import score_table
from aqa_heads.captions.captioner import Captioner
from aqa_heads.errors import RunError
from aqa_heads.evaluation.predictions import predict
from aqa_heads.runs.format import read_run
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.run import train

# As they were made; see tests/data/README.md.
COMMON = {
    "features": "tiny.h5",
    "experiment": "baseline",
    "epochs": 8,
    "batch_size": 4,
    "validation": 0.4,
    "seed": 2,
    "device": "cpu",
    "threads": 1,
    "meteor": False,
    "checkpoint_seconds": 0,
}
FINISHED = {
    "baseline-tasks-score-classes-seed2": {"tasks": ("score", "classes"), "epochs": 2},
    "ridge-seed2": {"experiment": "ridge"},
}
KILLED = {
    "c3d-lstm-encoder-hidden-4-seed2": {
        "experiment": "c3d-lstm",
        "encoder_hidden": 4,
        "dropout": 0.1,
        "lr": 0.03,
    },
    "exp1-attention-dot-encoder-attention-encoder-hidden-4-seed2": {
        "experiment": "1",
        "attention": "dot",
        "encoder": "attention",
        "encoder_hidden": 4,
        "dropout": 0.1,
        "lr": 1e-2,
        "caption_lr": 1e-2,
    },
}
SMALL = "exp1-attention-dot-encoder-attention-encoder-hidden-4-seed2"


@contextmanager
def narrow_layers():
    """As the small one was made, where no option says how wide they are: fc6, and the captioner's."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr("aqa_heads.networks.heads.FC6_DIM", 16)
        patch.setattr("aqa_heads.networks.model.Captioner", partial(Captioner, hidden=8, word_dim=4))
        yield


@pytest.fixture
def here(tmp_path, monkeypatch):
    shutil.copytree(DATA / "runs_v1", tmp_path / "v1")
    monkeypatch.chdir(tmp_path / "v1")
    return tmp_path / "v1"


def columns(folder, name):
    with open(folder / name, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {key: [row[key] for row in rows] for key in rows[0]}


def assert_nearly_equal(mine, theirs):
    assert mine.keys() == theirs.keys()
    for name in mine.keys() - {"seconds"}:
        for one, other in zip(mine[name], theirs[name], strict=True):
            try:
                assert float(one) == pytest.approx(float(other), rel=1e-4, abs=1e-6), name
            except ValueError:
                assert one == other, name


@pytest.mark.parametrize("name", FINISHED)
def test_a_finished_run_predicts_what_it_predicted(here, name):
    run = read_run(here / "runs" / name)
    model = run.load_model()
    with FeatureCache(here / "tiny.h5") as cache:
        index = {sample.sample_id: place for place, sample in enumerate(cache.samples)}
        import torch

        clips = [torch.from_numpy(cache.features(index[row["sample_id"]])) for row in run.predictions]
    expected = [float(row["predicted_score"]) for row in run.predictions]
    np.testing.assert_allclose(predict(model, clips).score, expected, rtol=1e-5)


@pytest.mark.parametrize("name", FINISHED)
def test_a_finished_run_scores_without_neighbours(here, name):
    table = score_table(here / "runs" / name, features=here / "tiny.h5")
    expected = {
        row["sample_id"]: row["predicted_score"] for row in read_run(here / "runs" / name).predictions
    }
    found = {one.sample_id: one.points for one in table.scores}
    assert found == {sample_id: pytest.approx(float(expected[sample_id]), rel=1e-5) for sample_id in expected}
    assert not any(one.neighbours for one in table.scores)
    assert any("no neighbours, and not known what was learned from" in note for note in table.notes)


@pytest.fixture
def as_then(monkeypatch):
    """References were not yet refitted, and validated as rows of Table 1 are."""
    monkeypatch.setattr("aqa_heads.settings.resolved.chooses_anew", lambda asked: False)


def test_a_reference_of_then_is_not_taken_for_one_of_now(here):
    with pytest.raises(RunError, match=r"refit was None, is True.*give --overwrite"):
        train(TrainingConfig(**COMMON | FINISHED["ridge-seed2"], out="runs", resume=True))


@pytest.mark.parametrize("name", FINISHED)
def test_a_finished_run_is_taken_for_finished(here, as_then, name, said):
    before = {path.name: path.read_bytes() for path in (here / "runs" / name).iterdir()}
    train(TrainingConfig(**COMMON | FINISHED[name], out="runs", resume=True))
    assert said == [f"runs/{name} is finished already"]
    assert {path.name: path.read_bytes() for path in (here / "runs" / name).iterdir()} == before


@pytest.mark.parametrize("name", KILLED)
def test_an_interrupted_run_ends_as_if_it_had_not_been(here, as_then, name, said):
    small = "-small" if name == SMALL else ""
    epochs = []
    with narrow_layers() if small else nullcontext():
        run = train(
            TrainingConfig(**COMMON | KILLED[name], out=f"runs{small}", resume=True),
            on_epoch=lambda epoch: epochs.append(epoch.epoch),
        )
    assert said[0] == "goes on after epoch 3" and epochs[0] == 4
    expected = here / f"expected{small}" / name
    for table in ("predictions.csv", "metrics.csv"):
        assert_nearly_equal(columns(run.folder, table), columns(expected, table))
    chosen = json.loads((expected / "summary.json").read_text())["chosen"]
    assert {part: choice["epoch"] for part, choice in run.summary["chosen"].items()} == {
        part: choice["epoch"] for part, choice in chosen.items()
    }
