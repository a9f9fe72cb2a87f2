import math

import numpy as np
import pytest
from make_feature_cache_v1 import SPEC, VIEWS, records

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.record import ClipFeatures, Record
from aqa_cache.cache_file.writer import fits_float16, write_cache
from aqa_cache.errors import AqaError, CacheError


@pytest.fixture
def path(tmp_path):
    write_cache(tmp_path / "feats.h5", records(), SPEC, views=VIEWS)
    return tmp_path / "feats.h5"


def one_sample(values):
    features = np.asarray(values, np.float32).reshape(-1, 4)
    return [
        Record(
            Sample("a", "a.mp4"),
            [ClipFeatures(features, np.zeros(len(features), np.int64), np.zeros(len(features)))],
        )
    ]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2, 3, 4.1], "float16"),
        ([1, 2, 3, 7e4], "float32"),
        ([1e-6, 2e-6, 3e-6, 5e-6], "float32"),
        ([0, 0, 0, 0], "float16"),
    ],
)
def test_float16_only_where_values_fit(tmp_path, values, dtype):
    assert write_cache(tmp_path / "f.h5", one_sample(values), SPEC) == dtype
    with FeatureCache(tmp_path / "f.h5") as cache:
        np.testing.assert_allclose(
            cache.features(0)[0], np.float32(values), rtol=1e-3 if dtype == "float16" else 0
        )
    assert fits_float16(np.asarray(values, np.float32)) == (dtype == "float16")


def test_float16_that_cannot_hold_is_refused(tmp_path):
    with pytest.raises(CacheError, match="float16 was asked for but cannot hold"):
        write_cache(tmp_path / "f.h5", one_sample([1, 2, 3, 7e4]), SPEC, dtype="float16")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2, math.nan, 4], "a \\(a.mp4\\): the feature of clip 0 is not finite"),
        ([], "expected \\(clips, 4\\)"),
    ],
)
def test_unusable_features_are_not_written(tmp_path, values, message):
    with pytest.raises(CacheError, match=message):
        write_cache(tmp_path / "f.h5", one_sample(values), SPEC)
    assert not list(tmp_path.iterdir())


def test_writing_keeps_the_old_file_until_the_new_one_is_whole(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr(
        "aqa_cache.cache_file.writer._write_samples",
        lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")),
    )
    with pytest.raises(AqaError, match="No space left on device.*nothing was changed"):
        write_cache(path, records(), SPEC, views=VIEWS)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["feats.h5"]


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(AqaError, match="is a folder, expected the name of a file"):
        write_cache(tmp_path, records(), SPEC, views=VIEWS)
    with pytest.raises(AqaError, match="cannot be written"):
        write_cache(tmp_path / "no" / "feats.h5", records(), SPEC, views=VIEWS)


def test_arguments_that_no_cache_can_be_written_from(tmp_path):
    with pytest.raises(
        CacheError,
        match="feats.h5: its records are a generator, .* only once, expected .*; give them as a list",
    ):
        write_cache(tmp_path / "feats.h5", (record for record in records()), SPEC, views=VIEWS)
    with pytest.raises(CacheError, match="dtype is 'float64', expected one of auto, float16, float32"):
        write_cache(tmp_path / "feats.h5", records(), SPEC, views=VIEWS, dtype="float64")
    assert not list(tmp_path.iterdir())
