"""Two videos, and the cache of the samples in them; made once for all tests of the wing."""

import pytest
from numbered_video import write_numbered_video
from pixel_cache import LONG, SHORT, write_pixel_cache


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    write_numbered_video(folder / LONG, 300)
    write_numbered_video(folder / SHORT, 57)
    return folder


@pytest.fixture(scope="session")
def cache(folder, tmp_path_factory):
    return write_pixel_cache(tmp_path_factory.mktemp("cache") / "feats.h5", folder)
