"""Features of two engines are not mixed: a cache goes on with the engine that began it."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import pytest
from places import ROOT
from small_extraction import CONFIG, assert_same_features, contents

from aqa_cache.backbones import ready
from aqa_cache.backbones.key_layouts import layouts_of
from aqa_cache.backbones.openvino_engine import openvino_version
from aqa_cache.cache_file.reader import FeatureCache, read_numerics
from aqa_cache.errors import CacheError
from aqa_cache.extraction import loading
from aqa_cache.extraction.configuration import ExtractionConfig
from aqa_cache.extraction.numerics import engine_of
from aqa_cache.extraction.run import extract
from aqa_cache.weights.random_weights import random_weights_path

FIRST_CACHE = ROOT / "tests/data/feature_cache_v1.h5"


def test_the_first_engine_that_is_known_counts():
    imported, earlier = {"imported_dtypes": ["float32"]}, {"device": "AMD EPYC", "precision": "fp32"}
    assert engine_of([]) is engine_of([imported, earlier, {"engine": "theirs"}]) is None
    assert engine_of([imported, {"engine": "openvino"}, {"engine": "torch"}]) == "openvino"


def test_numerics_that_cannot_be_read_are_one_message(tmp_path):
    path = tmp_path / "feats.h5"
    shutil.copy(FIRST_CACHE, path)
    with FeatureCache(path) as cache:
        assert read_numerics(path) == cache.numerics
    for damaged in ("[1]", "{"):
        with h5py.File(path, "r+") as file:
            file.attrs["numerics"] = damaged
        with pytest.raises(CacheError, match="feats.h5: does not keep to .*attribute 'numerics'"):
            read_numerics(path)


@pytest.mark.parametrize(
    "backbone, asked, before, engine",
    [
        ("s3d", "auto", None, "auto"),
        ("s3d", "auto", "torch", "torch"),
        ("s3d", "torch", "openvino", "torch"),
        ("mvit_v2_s", "auto", None, "torch"),
        ("mvit_v2_s", "auto", "openvino", "openvino"),
    ],
)
def test_the_engine_is_the_one_asked_for_or_begun_with(monkeypatch, backbone, asked, before, engine):
    given = {}
    weights = SimpleNamespace(name="random", sha256="0" * 64, learned=None)
    preprocessing = layouts_of(backbone)[0].preprocessing
    monkeypatch.setattr(loading, "load_backbone", lambda *_: (None, weights, preprocessing))
    monkeypatch.setattr(loading, "ready_model", lambda *_, **options: given.update(options))
    loading.load_model(ExtractionConfig(backbone, engine=asked, device="cpu"), Path("none"), before)
    assert given["engine"] == engine


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_auto_goes_on_with_the_engine_that_began(videos, output, tmp_path, monkeypatch, engine):
    pytest.importorskip("openvino")
    monkeypatch.setenv("AQA_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(ready, "openvino_version", openvino_version)
    other = {"torch": "openvino", "openvino": "torch"}[engine]
    one = tmp_path / "one.csv"
    table = (videos / "annotations.csv").read_text().splitlines(keepends=True)
    one.write_text("".join(table[:2]))
    extract(videos, output, replace(CONFIG, engine=engine), annotations=one)
    with pytest.raises(CacheError, match=f"engine: {other}, {engine}"):
        extract(videos, output, replace(CONFIG, engine=other))
    extract(videos, output, CONFIG)
    numerics = read_numerics(output)
    assert numerics["engine"] == engine and "mixed_with" not in numerics
    assert ("openvino" in numerics) == (engine == "openvino")
    with FeatureCache(output) as cache:
        assert len(cache) == len(table) - 1
    whole = output.with_name("whole.h5")
    weights = str(random_weights_path(output, "s3d"))
    again = replace(CONFIG, engine=engine, weights=weights)
    extract(videos, whole, again)
    assert_same_features(contents(output), contents(whole))
