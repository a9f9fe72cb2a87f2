from dataclasses import replace

import fsspec
import numpy as np
import pytest
from faulty_store import stores
from synthetic_cache import write_synthetic_cache

from aqa_cache.cache_file.joined import open_caches
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.writer import write_cache
from aqa_cache.errors import CacheError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_synthetic_cache(tmp_path_factory.mktemp("joined") / "whole.h5", failed=(3,))


@pytest.fixture(scope="module")
def halves(whole):
    """The samples of the whole cache, in two."""
    paths = [whole.with_name("a.h5"), whole.with_name("b.h5")]
    with FeatureCache(whole) as cache:
        records = cache.records()
        for path, part in zip(paths, (records[:7], records[7:]), strict=True):
            write_cache(path, part, cache.spec, dtype="float32")
    return paths


def test_caches_joined_are_the_whole_one(whole, halves):
    with open_caches(halves) as joined, FeatureCache(whole) as cache:
        assert len(joined) == len(cache) and joined.samples == cache.samples
        assert joined.reasons == cache.reasons and (joined.lengths == cache.lengths).all()
        assert (joined.video_size == cache.video_size).all()
        assert (joined.video_mtime_ns == cache.video_mtime_ns).all()
        for name in (
            "spec",
            "fingerprint",
            "dim",
            "views",
            "numerics",
            "dtype",
            "frame_rate",
            "video_sha256",
        ):
            assert getattr(joined, name) == getattr(cache, name), name
        for index in range(len(cache)):
            assert joined.has_features(index) == cache.has_features(index)
            assert joined.record(index).sample == cache.samples[index]
            if cache.has_features(index):
                np.testing.assert_array_equal(joined.features(index), cache.features(index))
                np.testing.assert_array_equal(joined.clips(index).first_frame, cache.clips(index).first_frame)
        places = [(index, 0) for index in (9, 0, 8, 2, 17)]  # of both in turn
        np.testing.assert_array_equal(joined.features_of(places), cache.features_of(places))
        assert joined.features_of([]).shape == (0, cache.dim)
        assert joined.path.name == "a.h5 + b.h5"


def test_a_sample_in_two_caches_is_an_error_with_both_names(whole, halves):
    with pytest.raises(CacheError, match=r"7 sample_id\(s\) are in both .*whole.h5 and .*a.h5: s00, s01"):
        open_caches([whole, halves[0]]).__enter__()


def test_caches_of_other_features_or_views_are_refused(whole, tmp_path):
    other = write_synthetic_cache(tmp_path / "other.h5", backbone="s3d")
    with pytest.raises(CacheError, match="other.h5: .* made in another way(?s:.*)backbone: c3d, s3d"):
        open_caches([whole, other]).__enter__()
    flipped = write_synthetic_cache(tmp_path / "flip.h5", views={"flip": lambda index, plain: plain})
    with pytest.raises(CacheError, match="flip.h5: has the views plain; flip, .*whole.h5 has plain"):
        open_caches([whole, flipped]).__enter__()


def test_videos_of_one_name_that_are_different_files_are_told_apart(tmp_path):
    paths = []
    for name, size in (("a.h5", 10), ("b.h5", 20)):
        path = write_synthetic_cache(tmp_path / name, 2, 2)
        with FeatureCache(path) as cache:
            records = [
                replace(one, sample=replace(one.sample, sample_id=f"{name}{n}"), video_size=size)
                for n, one in enumerate(cache.records())
            ]
            spec = cache.spec
        write_cache(path, records, spec)
        paths.append(path)
    with open_caches(paths) as joined:
        videos = {sample.video for sample in joined.samples}
        assert len(videos) == 4 and all(video.startswith(str(tmp_path)) for video in videos)
        assert joined.record(0).sample == joined.samples[0]


def test_numerics_that_differ_are_all_there(whole, halves, tmp_path):
    with FeatureCache(halves[1]) as cache:
        write_cache(tmp_path / "b.h5", cache.records(), cache.spec, numerics={"torch": "2"})
    with open_caches([halves[0], tmp_path / "b.h5"]) as joined:
        assert joined.numerics == {"mixed_with": [{"torch": "2"}]}


def test_a_cache_at_a_url(whole, monkeypatch, tmp_path):
    monkeypatch.setenv("AQA_CACHE", str(tmp_path / "cache"))
    with stores(monkeypatch):
        fsspec.filesystem("memory").pipe_file("/bucket/feats.h5", whole.read_bytes())
        with open_caches("memory://bucket/feats.h5") as fetched, FeatureCache(whole) as cache:
            assert fetched.samples == cache.samples and fetched.path.name == "feats.h5"
        assert not list((tmp_path / "cache" / "fetched").iterdir())
        with open_caches(whole.as_uri()) as cache:
            assert cache.path == whole
        with pytest.raises(CacheError, match="memory://bucket/none.h5: no such cache"):
            open_caches("memory://bucket/none.h5").__enter__()
