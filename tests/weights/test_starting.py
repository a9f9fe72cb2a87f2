import shutil
from dataclasses import replace

import pytest
from safetensors.torch import load_file, save_file

from aqa_cache.backbones.registry import get_backbone
from aqa_cache.cache_file.feature_spec import FeatureSpec
from aqa_cache.clips.preprocess import MTL_AQA
from aqa_cache.clips.rule import ClipRule
from aqa_cache.disk.tensor_file import sha256_of
from aqa_cache.errors import CacheError, WeightsError
from aqa_cache.weights.published import WEIGHTS
from aqa_cache.weights.random_weights import random_weights_path
from aqa_cache.weights.starting import starting_weights
from aqa_cache.weights.tuned import TunedBackbone, write_tuned_backbone

RULE = {**ClipRule().record(), "stream": None}


def spec(weights, path, preprocessing=MTL_AQA):
    """Of a cache made with the weights in a file."""
    return FeatureSpec("s3d", "layer", 1024, weights, sha256_of(path), preprocessing.record(), RULE)


@pytest.fixture
def features(tmp_path):
    """Where a cache lies; the weights are found without reading it."""
    (tmp_path / "caches").mkdir()
    return tmp_path / "caches" / "feats.h5"


@pytest.fixture
def other(tmp_path, random_s3d):
    """Other weights than the random ones."""
    path = tmp_path / "other.safetensors"
    save_file({key: tensor + 1 for key, tensor in load_file(random_s3d).items()}, path)
    return path


def test_random_weights_are_those_beside_the_cache_or_made_anew(features, random_s3d, said):
    made_with = spec("random (seed 0)", random_s3d)
    anew = starting_weights(made_with, features, None)
    assert anew.path == random_weights_path(features, "s3d") and anew.sha256 == made_with.weights_sha256
    assert starting_weights(made_with, features, None) == anew
    assert starting_weights(made_with, features, "random") == anew
    assert not said


@pytest.mark.parametrize("there", [True, False])
def test_random_weights_that_are_others_are_refused_unless_asked_for(
    features, random_s3d, other, said, there
):
    made_with, beside = spec("random (seed 0)", other), random_weights_path(features, "s3d")
    if there:
        shutil.copy(random_s3d, beside)
    what = "are not those" if there else "were made anew with this version of torch, and are not those"
    message = (
        f"{beside.name}: these random weights {what} that made the features of feats.h5 .*--weights random to"
        " start"
    )
    with pytest.raises(WeightsError, match=message):
        starting_weights(made_with, features, None)
    assert starting_weights(made_with, features, "random").path == beside
    assert [line.split(":")[0] for line in said][:1] == [
        "Training starts from other weights than those that made the features"
    ]


@pytest.mark.parametrize("place", [".", "runs", "../here", "../here/runs"])
@pytest.mark.parametrize("kind", ["file", "run"])
def test_weights_of_a_name_are_found_beside_the_cache_and_here(
    features, other, said, monkeypatch, place, kind
):
    (features.parent.parent / "here").mkdir()
    monkeypatch.chdir(features.parent.parent / "here")
    path = features.parent / place / "exp2"
    path.parent.mkdir(exist_ok=True)
    if kind == "file":
        path = path.with_suffix(".safetensors")
        shutil.copy(other, path)
        file = path
    else:
        path.mkdir()
        module = get_backbone("s3d").build()
        file = write_tuned_backbone(
            path, module, TunedBackbone("s3d", MTL_AQA, RULE, "random (seed 0)", "ab")
        )
    found = starting_weights(spec(path.name, file), features, None)
    assert found.name == path.name and found.path.samefile(file) and not said
    # Of another content they are not those that made the features, wherever they lie.
    with pytest.raises(
        WeightsError,
        match=f"was made with weights {path.name} .*: another file of this name. Give their path",
    ):
        starting_weights(replace(spec(path.name, file), weights_sha256="ab" * 32), features, None)


def test_weights_that_are_nowhere(features, other, said):
    with pytest.raises(
        WeightsError,
        match=(
            rf"feats.h5: was made with weights mine.pth \(SHA-256 {sha256_of(other)[:12]}…\); no such file or"
            r" run is beside it, "
            "or here. Give their path with --weights"
        ),
    ):
        starting_weights(spec("mine.pth", other), features, None)


def test_published_weights_must_be_those_that_made_the_features(
    features, random_s3d, other, said, tmp_path, monkeypatch
):
    monkeypatch.setenv("AQA_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    published = replace(WEIGHTS["s3d-kinetics400"], url="https://example.org/s3d.safetensors", sha256="")
    monkeypatch.setitem(WEIGHTS, "s3d-kinetics400", published)
    shutil.copy(other, tmp_path / "weights" / "s3d.safetensors")
    (tmp_path / "weights" / "s3d.safetensors.sha256").write_text(sha256_of(other))
    weights = starting_weights(spec("s3d-kinetics400", other), features, None)
    assert weights.name == "s3d-kinetics400" and weights.sha256 == sha256_of(other) and not said
    with pytest.raises(
        WeightsError, match="what is published by this name now is .*s3d.safetensors .SHA-256"
    ):
        starting_weights(spec("s3d-kinetics400", random_s3d), features, None)


def test_other_weights_and_other_input_are_said(features, random_s3d, other, said):
    made_with = spec("random (seed 0)", random_s3d)
    weights = starting_weights(made_with, features, str(other))
    assert weights.path == other
    assert said == [
        (
            "Training starts from other weights than those that made the features: other.safetensors"
            f" (SHA-256 {sha256_of(other)[:12]}…); the features: random (seed 0) (SHA-256"
            f" {made_with.weights_sha256[:12]}…)."
        ),
        (
            "other.safetensors expects other input than the cache's, which it is fed: resize [256, 256], fed"
            " [128, 171]; crop 224, fed 112; mean [0.43216, 0.394666, 0.37645], fed [0.485, 0.456, 0.406];"
            " std [0.22803, 0.22145, 0.216989], fed [0.229, 0.224, 0.225]; antialias False, fed True."
        ),
    ]


def test_the_weights_of_the_features_may_be_given_too(features, other, said):
    assert starting_weights(spec("mine.pth", other), features, str(other)).path == other
    assert not said


def test_features_of_which_nothing_is_known_to_make_them(features, random_s3d, said):
    known = spec("random (seed 0)", random_s3d)
    for given in (None, str(random_s3d)):
        with pytest.raises(
            CacheError, match=r"feats.h5: these features were imported \(backbone 's3d'\), .*aqa-extract"
        ):
            starting_weights(replace(known, weights_sha256=""), features, given)
        with pytest.raises(
            CacheError, match="feats.h5: the backbone 'mine' is not known here, only c3d, s3d, .*register it"
        ):
            starting_weights(replace(known, backbone="mine"), features, given)
