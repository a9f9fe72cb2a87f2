"""Kinds of files that hold features."""

import tempfile
from dataclasses import replace
from pathlib import Path

from fuzzing import Kind, change_text, or_not
from hostile_hdf5 import change_attribute, change_dataset, change_values
from make_feature_cache_v1 import SPEC, VIEWS, records
from numbered_video import write_numbered_video
from pixel_cache import SHORT, clips_of, prepare, write_pixel_cache

from aqa_cache.annotations import Sample, read_annotations, write_annotations
from aqa_cache.cache_file.contents import contents
from aqa_cache.cache_file.feature_spec import Learned
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.verification import verify
from aqa_cache.cache_file.writer import write_cache
from aqa_cache.clips.views import PLAIN, View
from aqa_cache.exchange.exporting import export_features
from aqa_cache.frame_store.reader import FrameStore


def make_cache(folder: Path) -> list[Path]:
    tuned = replace(SPEC, tuned=Learned("a", "b", ("01_0001",), ("clip",)))
    for name, spec in (("feats.h5", SPEC), ("tuned.h5", tuned)):
        write_cache(folder / name, records(), spec, views=VIEWS, numerics={"device": "cpu"})
    return [folder / "feats.h5", folder / "tuned.h5"]


def read_cache(path: Path) -> None:
    verify(path)
    with FeatureCache(path) as cache:
        contents(cache)
        cache.records()
    with tempfile.TemporaryDirectory() as folder:
        export_features(path, Path(folder) / "inner")
        assert [entry.name for entry in Path(folder).iterdir()] == ["inner"], "written elsewhere"


def make_frames(folder: Path) -> list[Path]:
    write_numbered_video(folder / SHORT, 57)
    cache = write_pixel_cache(folder / "feats.h5", folder, [Sample("whole", SHORT)])
    with prepare(folder / "feats.frames.h5", cache, folder, (PLAIN, View(2, True))) as store:
        FRAMES.append(store.contents)
    return [folder / "feats.frames.h5"]


def read_frames(path: Path) -> None:
    with FrameStore(path) as store:
        if store.contents == FRAMES[-1]:  # else they are decoded anew
            for view in store.available("whole"):
                clips_of(store, "whole", view)


def make_table(folder: Path) -> list[Path]:
    write_annotations(folder / "annotations.csv", [record.sample for record in records()])
    return [folder / "annotations.csv"]


def read_table(path: Path) -> None:
    samples = read_annotations(path)
    write_annotations(path, samples)
    assert list(map(repr, read_annotations(path))) == list(map(repr, samples)), "read back otherwise"


FRAMES: list[dict] = []
HDF5_CHANGES = tuple(map(or_not, (change_values, change_dataset, change_attribute)))
KINDS = {
    "feature cache": Kind(make_cache, read_cache, HDF5_CHANGES),
    "frame store": Kind(make_frames, read_frames, HDF5_CHANGES),
    "annotations table": Kind(make_table, read_table, (change_text,)),
}
