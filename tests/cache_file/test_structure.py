"""Strangers' caches: what is read lies in the file, is of its type, fits into memory, and says one thing."""

import json
import os
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hostile_hdf5 import sign
from make_feature_cache_v1 import SPEC, VIEWS, records
from places import DATA

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.feature_spec import Learned
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.record import Record
from aqa_cache.cache_file.structure import open_cache
from aqa_cache.cache_file.verification import verify
from aqa_cache.cache_file.writer import write_cache
from aqa_cache.errors import CacheError

TUNED = replace(SPEC, tuned=Learned("a", "b", trained_on=("01_0001",)))


@pytest.fixture
def path(tmp_path):
    write_cache(tmp_path / "feats.h5", records(), TUNED, views=VIEWS, numerics={"device": "cpu"})
    return tmp_path / "feats.h5"


def replaced(path, name, make):
    """In the place of a dataset lies what `make(file, name, values)` puts there."""
    with h5py.File(path, "r+") as file:
        values = file[name][()]
        del file[name]
        make(file, name, values)


def put(link):
    return lambda file, name, values: file.__setitem__(name, link)


def created(*arguments, **options):
    return lambda file, name, values: file.create_dataset(name, *arguments, **options)


def virtual(file, name, values):
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[...] = h5py.VirtualSource("nothing.h5", "x", values.shape, values.dtype)
    file.create_virtual_dataset(name, layout)


ELSEWHERE = [
    ("features", put(h5py.ExternalLink("other.h5", "/features")), "'features' is a link"),
    ("samples/final_score", put(h5py.SoftLink("/samples/difficulty")), "'samples/final_score' is a link"),
    ("features", virtual, "'features' is put together from other datasets"),
    (
        "samples/caption",
        created((3,), "S100", external=[("/etc/passwd", 0, 300)]),
        "'samples/caption' keeps its values in other files",
    ),
    (
        "clips/pts_seconds",
        created((6,), "f8", external=[("/dev/zero", 0, 48)]),
        "'clips/pts_seconds' keeps its values in other files",
    ),
]
SIZES = [
    ("samples/sample_id", created((10**12,), "S7"), "declares 7,000,000,000,000 bytes .* and holds none"),
    ("samples/caption", created((3,), "S1000000000", chunks=(1,)), "declares 3,000,000,000 bytes"),
    (
        "samples/caption",
        created((3,), "S9000000", chunks=(1,), compression="gzip"),
        "texts of 9,000,000 bytes",
    ),
    ("features", created((6, 10**9), "f4", chunks=(1, 10**6)), "declares 24,000,000,000 bytes"),
    (
        "features",
        created((10**8, 4), "f2", chunks=(10**5, 4), compression="gzip"),
        "declares 800,000,000 bytes",
    ),
    ("clips/first_frame", created((10**8,), "i8", chunks=(1,)), "declares 800,000,000 bytes"),
]
TYPES = [
    ("samples/offset", created(data=np.zeros((3, 2))), "'samples/offset' is float64, expected int64"),
    ("features", created((6, 4), [("a", "f4")], chunks=True), "is .*, expected float16 or float32"),
    (
        "samples/judges",
        created((3, 1), h5py.vlen_dtype("f8"), chunks=True),
        "'samples/judges' is object, expected",
    ),
    (
        "samples/sample_id",
        created((3,), h5py.string_dtype(), chunks=True),
        "'samples/sample_id' is no text of fixed length",
    ),
    (
        "samples/sample_id",
        created((3,), h5py.ref_dtype, chunks=True),
        "'samples/sample_id' is no text of fixed length",
    ),
    ("samples/judges", created(data=np.zeros(3)), "'samples/judges' has shape .3,., expected"),
    ("samples/count", created(data=np.ones((3, 3), "i8")), "offset and count have shapes"),
    ("samples/status", created(data=np.array([b"ok"] * 4)), "'samples/status' has shape .4,., expected .3,."),
    ("samples/video", created(data=h5py.Empty("S3")), "'samples/video' has shape None"),
]


@pytest.mark.parametrize(("name", "make", "message"), [*ELSEWHERE, *SIZES, *TYPES])
def test_only_plain_datasets_of_the_right_type_and_size_are_read(path, name, make, message):
    replaced(path, name, make)
    with pytest.raises(CacheError, match=message):
        open_cache(path)
    assert len(verify(path).problems) == 1


def test_groups_and_other_datasets_are_looked_at_too(path):
    with h5py.File(path, "r+") as file:
        file["samples/again"] = file["samples"]
    with pytest.raises(CacheError, match="'samples/again' is a group that is entered already"):
        FeatureCache(path)
    with h5py.File(path, "r+") as file:
        del file["samples/again"]
        file["notes"] = h5py.ExternalLink("other.h5", "/")
    with pytest.raises(CacheError, match="'notes' is a link"):
        FeatureCache(path)


def test_a_chunk_without_bytes_is_damage(path):
    """HDF5 ends the process where it reads one."""
    with h5py.File(path) as file:
        info = file["samples/caption"].id.get_chunk_info(0)
    content = path.read_bytes()
    key = info.size.to_bytes(4, "little") + bytes(4)  # of version 1 of the index: size, mask, then places
    place = content.rindex(key, 0, content.index(info.byte_offset.to_bytes(8, "little")))
    path.write_bytes(content[:place] + bytes(4) + content[place + 4 :])
    with pytest.raises(CacheError, match="'samples/caption' has chunks that are not in the file"):
        open_cache(path)


def test_a_fifo_is_not_waited_for(path):
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CacheError, match="is no plain file"):
        FeatureCache(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("dim", 4.0, "'dim' is no whole number"),
        ("dim", 0, "'dim' is 0, expected 1 to"),
        ("layer", 3, "'layer' is no text"),
        ("layer", ["a", "b"], "'layer' is no text"),
        ("views", "[]", "the first view is"),
        ("views", '["plain", "plain"]', "no different names"),
        ("views", '["plain", "\\ud800"]', "'views' cannot be read as JSON"),
        ("numerics", "[" * 100_000, "'numerics' cannot be read as JSON: is nested too deep"),
        ("numerics", '{"a":' * 100 + "1" + "}" * 100, "nested deeper than"),
        ("numerics", '{"a": ' + "9" * 5000 + "}", "'numerics' cannot be read as JSON"),
        ("numerics", '{"mixed_with": 3}', "mixed_with is no list"),
        ("numerics", '{"decoding": "x"}', "decoding is 'x'"),
        ("clip_rule", '{"clip_len": "16"}', "clip_rule: clip_len is '16', expected 1 to"),
        ("preprocessing", '{"resize": 100, "crop": 112}', "crop is 112, expected no more than resize"),
        ("tuned", '{"started_from": "", "origin": "", "trained_on": [3], "chosen_on": []}', "no text"),
    ],
)
def test_attributes_have_their_types_and_ranges(path, name, value, message):
    with h5py.File(path, "r+") as file:
        file.attrs[name] = value
        sign(file)
    with pytest.raises(CacheError, match=message):
        FeatureCache(path)


def test_every_attribute_is_under_a_checksum(path):
    whole = path.read_bytes()
    with h5py.File(path) as file:
        said = {name: file.attrs[name] for name in file.attrs if name not in ("format", "version")}
        orders = {name: file[name].attrs["order"] for name in ("samples/classes", "samples/extra")}
    assert "tuned" in said
    for name, value in said.items():
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            # Valid, but for the letter.
            file.attrs[name] = (
                value + 1 if name == "dim" else str(value).replace("0", "1").replace("a", "c") + " "
            )
        assert verify(path).problems, name
    for name, value in orders.items():
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            file[name].attrs["order"] = json.dumps(json.loads(value)[::-1])
        with pytest.raises(CacheError, match="the checksum of its attributes fails"):
            FeatureCache(path)
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        del file.attrs["tuned"]
    with pytest.raises(CacheError, match="the checksum of its attributes fails"):
        FeatureCache(path)


def test_a_file_from_before_the_checksum_is_read(path):
    shutil.copy(DATA / "feature_cache_v1.h5", path)
    with h5py.File(path, "r+") as file:
        assert "attributes_sha256" not in file.attrs
        file.attrs["weights"] = "others"
    with FeatureCache(path) as cache:
        assert cache.spec.weights == "others" and not verify(path).problems


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("samples/sample_id", 1, b".", "[.]: annotation: sample_id is '.'"),
        ("samples/sample_id", 1, b"a\0b", "'samples/sample_id' holds text with a NUL"),
        ("samples/sample_id", 1, b"\xff", "codec can't decode"),
        ("samples/sample_id", 1, b"01_0001", "samples 1 and 2 both have this sample_id"),
        ("samples/status", 0, b"failed", "status is 'failed', expected 'ok'"),
        ("samples/final_score", 0, np.inf, "final_score is 'inf', expected a finite number"),
        ("samples/judges", (0, 1), -np.inf, "judge_2 is '-inf'"),
        ("samples/difficulty", 0, -1, "difficulty is -1.0"),
        ("samples/start_frame", 0, -7, "holds numbers below -1"),
        ("samples/video_size", 0, -7, "video_size holds negative numbers"),
        ("samples/offset", (0, 0), 2**63 - 1, "01_0001 points outside the 6 feature rows"),
        ("samples/offset", (1, 0), 4, "clip: shares 1 of its 1 feature rows with 01_0001"),
        ("samples/count", (0, 0), 2, "1 feature row.s. belong to no sample"),
    ],
)
def test_what_verify_finds_in_index_and_annotations_is_refused_on_opening(path, name, place, value, message):
    with h5py.File(path, "r+") as file:
        file[name][place] = value
    with pytest.raises(CacheError, match=message):
        FeatureCache(path)
    assert verify(path).problems


def test_times_and_first_frames_are_held_against_their_range(path):
    for name, value in (
        ("clips/first_frame", 2**63 - 1),
        ("clips/first_frame", -2),
        ("clips/pts_seconds", np.inf),
    ):
        with h5py.File(path, "r+") as file:
            before, file[name][0] = file[name][0], value
        with FeatureCache(path) as cache, pytest.raises(CacheError, match=f"'{name}' holds"):
            cache.clips(0)
        with h5py.File(path, "r+") as file:
            file[name][0] = before


@pytest.mark.parametrize("text", ["a\0b", "a\0", "\ud800", "x" * (2**20 + 1)])
def test_text_that_could_not_be_read_back_is_not_written(tmp_path, text):
    with pytest.raises(CacheError, match="samples/sample_id: .*; change it"):
        write_cache(tmp_path / "f.h5", [Record(Sample(text, "v"), [None], "failed")], SPEC)
    assert not list(tmp_path.iterdir())
