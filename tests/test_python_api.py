"""What a person has from Python, without a command: short, typed, nothing swallowed."""

import importlib
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_cache import small_models, write_synthetic_cache

import aqa_cache
import aqa_heads
from aqa_cache import FeatureCache, ProgressBar
from aqa_cache.errors import AqaError, CacheError
from aqa_cache.extraction.pipeline import Progress
from aqa_cache.short_repr import LONGEST
from aqa_heads import TrainingConfig, audit, predict, predict_cache, read_run, train, train_table
from aqa_heads.errors import RunError

QUICK = {"epochs": 2, "device": "cpu", "meteor": False, "threads": 1}


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    return write_synthetic_cache(folder / "feats.h5", 24, 6, failed=(3,))


@pytest.fixture(scope="module")
def run(cached):
    with small_models():
        yield train(TrainingConfig(cached, experiment=7, out=cached.parent / "runs", **QUICK))


def test_a_cache_is_a_collection_of_its_samples(cached):
    with FeatureCache(cached) as cache:
        assert len(cache) == 30 and list(cache) == [sample.sample_id for sample in cache.samples]
        assert "s05" in cache and "s99" not in cache
        np.testing.assert_array_equal(cache["s05"].features, cache.features(5))
        assert cache["s05"].sample is cache.samples[5] and cache["s05"].views[0] is not None
        with pytest.raises(CacheError, match="s03: has no features: video is truncated"):
            _ = cache["s03"].features
        with pytest.raises(CacheError, match="has no sample 's05x' among its 30; did you mean 's05'?"):
            _ = cache["s05x"]


def test_rows_and_tasks_are_given_as_one_writes_them(cached):
    short = TrainingConfig(cached, experiment=7, tasks="score, classes")
    assert short == TrainingConfig(cached, experiment="7", tasks=("score", "classes"))
    with pytest.raises(AqaError, match="experiment is '9', expected one of"):
        TrainingConfig(cached, experiment=9)
    with pytest.raises(AqaError, match="unknown task 'scores'"):
        TrainingConfig(cached, tasks="scores")


def test_rows_and_folds_of_table_1_are_one_call(cached, tmp_path):
    settings = {
        **QUICK,
        "epochs": 1,
        "tasks": "score",
        "out": tmp_path,
        "folds": 2,
        "validation_folds": 0,
        "protocol": "paper",
    }
    with small_models():
        runs = train_table(cached, [7, "ridge"], **settings)
    assert [run.config["fold"] for run in runs] == ["1/2", "2/2"] * 2
    assert all(np.isfinite(run.summary["spearman"]) for run in runs)


def test_predictions_are_numbers(run):
    test = run.predictions.of("test")
    assert len(test) == 6 and {row["split"] for row in test} == {"test"}
    errors = [row["predicted_score"] - row["final_score"] for row in test]
    assert np.mean(np.abs(errors)) == pytest.approx(run.summary["mae"])
    assert all(type(row["difficulty"]) is float and type(row["caption"]) is str for row in test)


@pytest.mark.extra
def test_predictions_are_a_data_frame_in_one_call(run):
    pytest.importorskip("pandas")
    frame = run.predictions.to_pandas()
    assert len(frame) == 29 and frame["predicted_score"].dtype == "float64"
    test = frame[frame["split"] == "test"]
    assert (test["predicted_score"] - test["final_score"]).abs().mean() == pytest.approx(run.summary["mae"])
    assert frame.attrs == {} and list(frame["sample_id"]) == [row["sample_id"] for row in run.predictions]


def test_without_pandas_one_message_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(importlib.sys.modules, "pandas", None)
    with pytest.raises(RunError, match="pip install pandas"):
        run.predictions.to_pandas()


def test_a_run_predicts_what_it_wrote(run, cached, caplog):
    written = {row["sample_id"]: row for row in run.predictions}
    found = run.predict(cached)
    assert [row["sample_id"] for row in found] == [f"s{n:02d}" for n in range(30) if n != 3]
    for row in found:
        mine = written[row["sample_id"]]
        assert row["predicted_score"] == pytest.approx(mine["predicted_score"], rel=1e-5)
        assert row["predicted_class_position"] == mine["predicted_class_position"]
        assert row["predicted_caption"] == mine["predicted_caption"] or mine["split"] != "test"
    (line,) = [each for each in caplog.records if each.name.startswith("aqa_heads.")]
    assert line.levelno == logging.WARNING and "1 sample(s) without features" in line.getMessage()
    with FeatureCache(cached) as cache:
        assert predict_cache(read_run(run.folder), cache) == found


def test_a_run_refuses_features_that_mean_something_else(run, tmp_path):
    other = write_synthetic_cache(tmp_path / "other.h5", backbone="s3d")
    with pytest.raises(RunError, match="were made in another way than those that") as error:
        run.predict(other)
    assert "backbone: c3d, s3d" in str(error.value)


def test_a_run_that_multiplies_applies_the_difficulty(cached, tmp_path, caplog):
    config = TrainingConfig(cached, "ridge", tasks="score", difficulty="multiply", out=tmp_path, **QUICK)
    run = train(config)
    caplog.clear()
    alone = write_synthetic_cache(
        tmp_path / "two.h5",
        2,
        0,
        change=lambda index, sample: sample if index else replace(sample, difficulty=None),
    )
    (row,) = run.predict(alone)
    with FeatureCache(alone) as cache:
        execution = predict(run.load_model(), [torch.from_numpy(cache["s01"].features)]).score[0]
    assert row["predicted_score"] == pytest.approx(execution * row["difficulty"])
    assert row["difficulty"] != 1 and any("s00: the run needs the difficulty" in m for m in caplog.messages)


def test_an_audit_takes_a_cache(cached):
    with FeatureCache(cached) as cache:
        found = audit(cache)
    assert found.samples == {"train": 23, "val": 0, "test": 6, "unused": 0} and not found.leaks


def test_a_bar_shows_extraction_and_training(run, capsys):
    with ProgressBar() as bar:
        bar(Progress(5, 10, 1, 2))
    assert "extracting" in capsys.readouterr().err and "extracting" in repr(bar)
    with ProgressBar() as bar:
        bar(run.epochs[0])
    assert "epoch 1, loss" in capsys.readouterr().err


def test_objects_show_themselves_in_a_line_or_two(run, cached):
    model = run.load_model()
    with FeatureCache(cached) as cache:
        clips = [torch.from_numpy(cache.features(0))]
        shown = [
            cache,
            cache["s05"],
            cache["s05"].views[0],
            replace(cache.samples[0], caption="very long " * 99),
            cache.spec,
            audit(cache),
        ]
    shown += [run, run.predictions, model, model.architecture, run.vocabulary, predict(model, clips)]
    shown += [
        TrainingConfig("x" * 300, experiment=7, lr=1e-3, name="n" * 300),
        *aqa_heads.EXPERIMENTS.values(),
    ]
    shown += [aqa_cache.ExtractionConfig(), aqa_cache.ClipRule(window=103), aqa_cache.verify(cached)]
    for one in shown:
        assert 0 < len(repr(one)) <= LONGEST < 200 and " at 0x" not in repr(one), repr(one)
    assert repr(shown[0]).startswith("<FeatureCache ") and "30 samples" in repr(shown[0])
    assert repr(TrainingConfig("f.h5", 7)) == "TrainingConfig(features='f.h5', experiment='7')"


@pytest.mark.parametrize("package", [aqa_cache, aqa_heads], ids=lambda package: package.__name__)
def test_every_public_class_has_a_short_repr_of_its_own(package):
    """None shows itself as an address, or as all its values."""
    for name in package.__all__:
        value = getattr(package, name)
        if isinstance(value, type) and not issubclass(value, (Exception, torch.nn.Module)):
            module = importlib.import_module(value.__repr__.__module__)
            assert module.__name__.startswith("aqa_"), f"{name} has the repr of {module.__name__}"
