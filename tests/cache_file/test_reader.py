import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from make_feature_cache_v1 import SPEC, VIEWS, records
from places import DATA

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.feature_spec import Learned
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.record import Record
from aqa_cache.cache_file.writer import write_cache
from aqa_cache.errors import CacheError

TUNED = Learned("run 1", "random (seed 0)", trained_on=("01_0001",))


@pytest.fixture
def path(tmp_path):
    write_cache(tmp_path / "feats.h5", records(), SPEC, views=VIEWS, numerics={"device": "cpu"})
    return tmp_path / "feats.h5"


def assert_same_records(one, other):
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert repr(mine.sample) == repr(theirs.sample)  # repr, since NaN marks are equal there
        assert (mine.reason, mine.video_size, mine.video_mtime_ns) == (
            theirs.reason,
            theirs.video_size,
            theirs.video_mtime_ns,
        )
        for a, b in zip(mine.views, theirs.views, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_array_equal(a.features, b.features)
                np.testing.assert_array_equal(a.first_frame, b.first_frame)
                np.testing.assert_array_equal(a.pts_seconds, b.pts_seconds)


@pytest.mark.parametrize("name", ["written now", "version 1"])
def test_what_is_written_is_read(path, name):
    with FeatureCache(path if name == "written now" else DATA / "feature_cache_v1.h5") as cache:
        assert_same_records(cache.records(), records())
        assert cache.spec == SPEC and cache.views == list(VIEWS) and cache.numerics == {"device": "cpu"}
        assert cache.lengths.tolist() == [[3, 2], [1, -1], [-1, -1]]


def test_marks_keep_their_bits_and_equal_texts_are_one(tmp_path):
    marks = (0.0, -0.0, float("nan"), 7.5)
    samples = [Sample(name, "v.mp4", group="berlin", judges=marks) for name in ("a", "b")]
    write_cache(tmp_path / "feats.h5", [Record(sample, [], "no video") for sample in samples], SPEC)
    with FeatureCache(tmp_path / "feats.h5") as cache:
        one, other = cache.samples
        assert repr(one.judges) == repr(other.judges) == repr(marks) and one.group is other.group


def test_a_stranger_can_read_it_with_h5py_alone(path):
    # The example of docs/schema.md.
    with h5py.File(path) as file:
        assert file.attrs["format"] == "aqa-feature-cache" and file.attrs["version"] == 1
        ids = file["samples/sample_id"].asstr()[:]
        i = list(ids).index("01_0001")
        offset, count = file["samples/offset"][i, 0], file["samples/count"][i, 0]
        features = file["features"][offset : offset + count]
        assert features.shape == (3, 4)
        assert file["samples/final_score"][i] == 80.5
        assert file["samples/classes/position"].asstr()[i] == "pike"
        assert json.loads(file.attrs["preprocessing"])["crop"] == 112


def test_every_dataset_has_a_checksum(path):
    lacking = []
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                lacking.append(name)
                if isinstance(item, h5py.Dataset) and item.size and not item.fletcher32
                else None
            )
        )
    assert not lacking


@pytest.mark.parametrize("name", [".", "..", "a/b", "%2F", "a.b", "100 %", 'quote"', "type"])
def test_columns_may_have_any_name(tmp_path, name):
    sample = Sample("a", "a.mp4", classes={name: "x"}, extra={name: "y"})
    write_cache(tmp_path / "f.h5", [Record(sample, [None], "failed")], SPEC)
    with FeatureCache(tmp_path / "f.h5") as cache:
        assert cache.samples == [sample]


def test_empty_cache(tmp_path):
    write_cache(tmp_path / "empty.h5", [], SPEC)
    with FeatureCache(tmp_path / "empty.h5") as cache:
        assert len(cache) == 0 and cache.records() == []


def test_not_finite_in_the_file_is_named(path):
    with h5py.File(path, "r+") as file:
        file["features"][1, 2] = np.nan
    with (
        FeatureCache(path) as cache,
        pytest.raises(CacheError, match="01_0001: the feature of clip 1 in feats.h5 is not finite"),
    ):
        cache.features(0)


def corrupt(path, dataset):
    """Flip a byte inside a dataset's chunk."""
    with h5py.File(path) as file:
        offset = file[dataset].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 5] ^= 0xFF
    path.write_bytes(content)


def without(path, name):
    with h5py.File(path, "r+") as file:
        del file[name]


def with_attribute(path, name, value):
    with h5py.File(path, "r+") as file:
        file.attrs[name] = value


def with_value(path, name, index, value):
    with h5py.File(path, "r+") as file:
        file[name][index] = value


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b"hello"), "is not an HDF5 file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is truncated"),
        (lambda path: path.unlink(), "no such file; make it with: aqa-extract"),
        (lambda path: (path.unlink(), path.mkdir()), "is a folder, expected a feature cache"),
        (
            lambda path: with_attribute(path, "format", "cooler"),
            "of format 'cooler', expected 'aqa-feature-cache'",
        ),
        (
            lambda path: with_attribute(path, "version", 2),
            "has format version 2, this program reads up to 1; upgrade",
        ),
        (lambda path: without(path, "samples/status"), "lacks dataset 'samples/status'"),
        (lambda path: without(path, "features"), "lacks dataset 'features'"),
        (lambda path: with_attribute(path, "backbone", "c3d"), "its attributes give"),
        (
            lambda path: with_attribute(path, "version", "one"),
            "has a format version that is no number, expected a whole number",
        ),
        (lambda path: with_attribute(path, "numerics", "{"), "does not keep to docs/schema.md"),
        (
            lambda path: with_attribute(path, "tuned", "{}"),
            "does not keep to docs/schema.md .KeyError: 'started_from'",
        ),
        (
            lambda path: with_attribute(path, "tuned", json.dumps(TUNED.record() | {"trained_on": "a"})),
            "does not keep to docs/schema.md .TypeError: tuned: trained_on is 'a', expected a list",
        ),
        (lambda path: without(path, "samples/classes/position"), "does not keep to docs/schema.md"),
        (lambda path: with_value(path, "samples/count", (0, 0), -1), "01_0001 has 0 clips and the reason ''"),
        (
            lambda path: with_value(path, "samples/split", 0, b"Train"),
            "01_0001 has split 'Train', expected train, val, test",
        ),
        (
            lambda path: with_value(path, "samples/offset", (0, 0), 90),
            "01_0001 points outside the 6 feature rows",
        ),
        (lambda path: corrupt(path, "samples/sample_id"), "dataset 'samples/sample_id' cannot be read"),
    ],
)
def test_damage_has_one_message_on_opening(path, damage, message):
    damage(path)
    with pytest.raises(CacheError, match=message):
        FeatureCache(path)


def test_failed_checksum_of_features(path):
    corrupt(path, "features")
    with (
        FeatureCache(path) as cache,
        pytest.raises(CacheError, match="dataset 'features' cannot be read .*damaged"),
    ):
        cache.features(0)


def test_features_that_are_not_there(path):
    with FeatureCache(path) as cache:
        with pytest.raises(
            CacheError, match="gone: no features in feats.h5: gone \\(gone.mp4\\): no such video"
        ):
            cache.features(2)
        with pytest.raises(CacheError, match="clip: no features in feats.h5: it has no view 'flip'"):
            cache.features(1, view=1)


def test_what_the_backbone_was_fine_tuned_on_is_kept_beside_the_fingerprint(path, tmp_path):
    # More than the 64 kB that HDF5 allows an attribute in the object's header.
    tuned = replace(TUNED, trained_on=tuple(f"dive {number:06d}" for number in range(20_000)))
    spec = replace(SPEC, tuned=tuned)
    write_cache(tmp_path / "tuned.h5", records(), spec, views=VIEWS)
    with FeatureCache(tmp_path / "tuned.h5") as cache, FeatureCache(path) as plain:
        assert cache.spec == spec and cache.spec.tuned == tuned and plain.spec.tuned is None
        assert cache.fingerprint == plain.fingerprint and not cache.spec.differences(plain.spec)
    with h5py.File(path) as file:
        assert "tuned" not in file.attrs
