import pytest
from safetensors.torch import load_file
from synthetic_cache import small_models, write_synthetic_cache

from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.writer import write_cache
from aqa_heads import FineTuning, TrainingConfig, train
from aqa_heads.errors import TrainingError


def test_training_on_two_caches_is_training_on_both_in_one(tmp_path):
    whole = write_synthetic_cache(tmp_path / "whole.h5")
    halves = [tmp_path / "a.h5", tmp_path / "b.h5"]
    with FeatureCache(whole) as cache:
        records = cache.records()
        for path, part in zip(halves, (records[:5], records[5:]), strict=True):
            write_cache(path, part, cache.spec, dtype="float32")
    with small_models():
        runs = [
            train(
                TrainingConfig(features, experiment="baseline", epochs=2, out=tmp_path / name, meteor=False)
            )
            for features, name in ((whole, "one"), (halves, "two"))
        ]
    one, two = runs
    assert [epoch.train_loss for epoch in one.epochs] == [epoch.train_loss for epoch in two.epochs]
    assert one.summary["spearman"] == two.summary["spearman"]
    assert (one.folder / "predictions.csv").read_bytes() == (two.folder / "predictions.csv").read_bytes()
    tensors, others = (load_file(run.folder / "model.safetensors") for run in runs)
    assert tensors.keys() == others.keys() and all(tensors[name].equal(others[name]) for name in tensors)
    assert two.config["features"]["path"] == f"{halves[0]}, {halves[1]}"
    assert {**one.config["identity"]} == {**two.config["identity"]}


def test_end_to_end_takes_one(tmp_path):
    with pytest.raises(TrainingError, match=r"features is a.h5, b.h5; end to end takes one cache"):
        TrainingConfig(["a.h5", "b.h5"], experiment="baseline", fine_tuning=FineTuning(tmp_path))
    assert TrainingConfig(["a.h5"]).features == "a.h5"
