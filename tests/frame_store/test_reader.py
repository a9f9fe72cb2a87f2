import h5py
import numpy as np
import pytest
import torch
from pixel_cache import numbers_of, prepare

from aqa_cache.clips.views import PLAIN, View
from aqa_cache.errors import CacheError
from aqa_cache.frame_store.reader import FrameStore


def test_clips_are_the_callers_own(folder, tmp_path, cache):
    with prepare(tmp_path / "feats.frames", cache, folder) as store:
        for view in store.available("inside"):
            clip = store.clip("inside", view, 0)
            assert clip.flags.c_contiguous
            before = clip.copy()
            torch.from_numpy(clip).zero_()
            np.testing.assert_array_equal(store.clip("inside", view, 0), before)


def test_stores_that_cannot_be_read(folder, tmp_path, cache):
    path = tmp_path / "feats.frames"
    with pytest.raises(CacheError, match="no such file; expected frames"):
        FrameStore(path)
    prepare(path, cache, folder).close()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        CacheError, match="cannot be read as a frame store .*truncated.*; if it is one, remove it"
    ):
        FrameStore(path)
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 2
    with pytest.raises(CacheError, match="has format version 2, this program reads 1; remove it"):
        FrameStore(path)


def test_views_come_in_any_number_and_order(folder, tmp_path, cache):
    views = (PLAIN, View(3, True), View(-2), View(3))
    with prepare(tmp_path / "feats.frames", cache, folder, views) as store:
        assert store.views == views and store.available("inside") == [0, 1, 2, 3]
        assert [numbers_of(store, "inside", view)[0][0] for view in range(4)] == [100, 103, 98, 103]
        assert store.available("first") == [0, 1, 3]
