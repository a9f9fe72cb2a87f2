import h5py
import numpy as np
import pytest
import torch
from synthetic_cache import write_synthetic_cache

from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.errors import CacheError
from aqa_heads.data.feature_views import Views

VIEWS = {
    "more": lambda index, plain: plain + 100,
    "most": lambda index, plain: None if index == 2 else plain + 200,
}
INDICES, NUMBERS = [4, 2, 7], [[0, 1, 2], [0, 1], [0, 2]]


@pytest.fixture
def path(tmp_path):
    return write_synthetic_cache(tmp_path / "feats.h5", views=VIEWS)


@pytest.mark.parametrize("in_memory", [True, False])
def test_every_view_is_the_caches_own(path, in_memory):
    with FeatureCache(path) as cache:
        views = Views(cache, INDICES, NUMBERS, in_memory)
        assert len(views) == 3 and views.counts == [3, 2, 2]
        for sample, (index, numbers) in enumerate(zip(INDICES, NUMBERS, strict=True)):
            for view, number in enumerate(numbers):
                found = views.read(sample, view)
                assert found.dtype == torch.float32
                np.testing.assert_array_equal(found, cache.features(index, number))


@pytest.mark.parametrize("in_memory", [True, False])
def test_as_a_sequence_it_is_the_plain_views(path, in_memory):
    with FeatureCache(path) as cache:
        views = Views(cache, INDICES, NUMBERS, in_memory)
        found = list(views)
        assert len(found) == 3
        for mine, index in zip(found, INDICES, strict=True):
            np.testing.assert_array_equal(mine, cache.features(index))


def test_in_memory_the_file_is_read_once_and_else_whenever_it_is_asked_for(path, monkeypatch):
    with FeatureCache(path) as cache:
        reads = []
        features, features_of = cache.features, cache.features_of
        monkeypatch.setattr(cache, "features", lambda *place: reads.append(place) or features(*place))
        monkeypatch.setattr(cache, "features_of", lambda places: reads.extend(places) or features_of(places))
        held = Views(cache, INDICES, NUMBERS, True)
        assert sorted(reads) == [(2, 0), (2, 1), (4, 0), (4, 1), (4, 2), (7, 0), (7, 2)]
        reads.clear()
        for _ in range(3):
            held.read(0, 2)
        assert reads == []
        streamed = Views(cache, INDICES, NUMBERS, False)
        assert reads == []
        for _ in range(3):
            streamed.read(0, 2)
        assert reads == [(4, 2)] * 3
    assert held.read(2, 1).shape == (3, 8)  # also when the cache is closed


@pytest.mark.parametrize("in_memory", [True, False])
def test_they_are_on_the_device_that_was_asked_for(path, in_memory):
    with FeatureCache(path) as cache:
        views = Views(cache, INDICES, NUMBERS, in_memory).to(torch.device("meta"))
        assert {views.read(sample, view).device.type for sample in range(3) for view in range(2)} == {"meta"}


def test_a_damaged_feature_is_found_when_it_is_read(path):
    with h5py.File(path, "r+") as file:
        file["features"][int(file["samples/offset"][2, 1]), 3] = np.inf
    with FeatureCache(path) as cache:
        with pytest.raises(CacheError, match="s02"):
            Views(cache, INDICES, NUMBERS, True)
        views = Views(cache, INDICES, NUMBERS, False)
        views.read(1, 0)
        with pytest.raises(CacheError, match="s02"):
            views.read(1, 1)


def test_no_samples_are_no_views(path):
    with FeatureCache(path) as cache:
        assert list(Views(cache, [], [], True)) == [] and Views(cache, [], [], False).counts == []


def test_pieces_of_the_file_give_what_one_sample_at_a_time_gives(path, monkeypatch):
    with FeatureCache(path) as cache:
        places = [(i, v) for i in reversed(range(len(cache))) for v in range(3) if cache.has_features(i, v)]
        plain = np.concatenate([cache.features(*place) for place in places])
        for values in (1, 60, 2**22):
            monkeypatch.setattr("aqa_cache.cache_file.reader._PIECE_VALUES", values)
            np.testing.assert_array_equal(cache.features_of(places), plain)
            np.testing.assert_array_equal(
                cache.features_of(places[::2]), cache.features_of(places)[_rows(cache, places)]
            )


def _rows(cache, places):
    """Of the clips of all places those of every second one."""
    return np.repeat(np.arange(len(places)) % 2 == 0, [cache.lengths[place] for place in places])
