import json

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


def test_a_flipped_bit_is_damage(folder, tmp_path, cache):
    path = tmp_path / "feats.frames"
    prepare(path, cache, folder).close()
    whole = path.read_bytes()
    with h5py.File(path) as file:
        frames, available = (file[name].id.get_offset() for name in ("frames", "available"))
        file_rows, frame_bytes = file["frames"].shape[0], file["frames"][0].size
    content = bytearray(whole)
    for row in range(file_rows):
        content[frames + row * frame_bytes + 7] ^= 4
    path.write_bytes(content)
    with (
        FrameStore(path) as store,
        pytest.raises(CacheError, match="a frame of inside is damaged .row .*remove"),
    ):
        store.clip("inside", 0, 0)
    content = bytearray(whole)
    content[available] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        CacheError, match="the checksum of which views are available fails.; if it is one, remove"
    ):
        FrameStore(path)


def test_a_store_from_before_there_were_checksums_is_read(folder, tmp_path, cache):
    path = tmp_path / "feats.frames"
    with prepare(path, cache, folder) as store:
        clip = store.clip("inside", 0, 0).copy()
    with h5py.File(path, "r+") as file:
        del file["checksums"]
    with FrameStore(path) as store:
        np.testing.assert_array_equal(store.clip("inside", 0, 0), clip)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("views", [[0, False], [10**9, False]], "is no view"),
        ("views", [[0, False]] * 2, "the views are not different ones"),
        ("clip_rule", {"clip_len": 2**40}, "clip_len is"),
        ("samples", [], "samples is a list"),
        ("samples", {"a": {"video": "v", "first_frames": [2**70]}}, "more than 64 bits"),
        ("preprocessing", {}, "a preprocessing has the keys none"),
    ],
)
def test_contents_are_of_their_kind(folder, tmp_path, cache, name, value, message):
    path = tmp_path / "feats.frames"
    prepare(path, cache, folder).close()
    with h5py.File(path, "r+") as file:
        contents = json.loads(file["contents"][()])
        del file["contents"]
        file["contents"] = json.dumps(contents | {name: value})
    with pytest.raises(CacheError, match=f"cannot be read as a frame store .*{message}"):
        FrameStore(path)
