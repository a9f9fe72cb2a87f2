"""Kinds of files that hold features."""

from pathlib import Path

from fuzzing import Kind
from make_feature_cache_v1 import MEANING, VIEWS, records

from aqa_cache.cache_file.contents import contents
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.verification import verify_cache
from aqa_cache.cache_file.writer import write_cache


def make_cache(folder: Path) -> list[Path]:
    write_cache(folder / "feats.h5", records(), MEANING, views=VIEWS, numerics={"device": "cpu"})
    return [folder / "feats.h5"]


def read_cache(path: Path) -> None:
    verify_cache(path)
    with FeatureCache(path) as cache:
        contents(cache)
        cache.records()


KINDS = {"feature cache": Kind(make_cache, read_cache)}
