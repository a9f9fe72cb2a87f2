import shutil
import tracemalloc

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from make_feature_cache_v1 import SPEC, VIEWS, records
from places import DATA

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.contents import contents
from aqa_cache.cache_file.feature_spec import FeatureSpec
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.record import ClipFeatures, Record
from aqa_cache.cache_file.verification import verify
from aqa_cache.cache_file.writer import write_cache
from aqa_cache.errors import CacheError
from aqa_cli.data import data


@pytest.fixture
def path(tmp_path):
    write_cache(tmp_path / "feats.h5", records(), SPEC, views=VIEWS, numerics={"device": "cpu"})
    return tmp_path / "feats.h5"


@pytest.fixture
def long_path(tmp_path):
    """Three samples of 50 clips: their 150 rows lie in three chunks of 64, with borders at 64 and 128."""
    clips = ClipFeatures(np.ones((50, 4), np.float32), np.arange(50), np.arange(50.0))
    write_cache(tmp_path / "long.h5", [Record(Sample(name, "v"), [clips]) for name in "abc"], SPEC)
    return tmp_path / "long.h5"


def flip_byte(path, dataset, chunk=0):
    with h5py.File(path) as file:
        offset = file[dataset].id.get_chunk_info(chunk).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 5] ^= 0xFF
    path.write_bytes(content)


def set_value(path, name, place, value):
    with h5py.File(path, "r+") as file:
        file[name][place] = value


def set_attribute(path, name, value):
    with h5py.File(path, "r+") as file:
        file.attrs[name] = value


def add_rows(path):
    with h5py.File(path, "r+") as file:
        for name in ("features", "clips/first_frame", "clips/pts_seconds"):
            values, options = file[name][:], {"chunks": True, "fletcher32": True}
            del file[name]
            file.create_dataset(name, data=np.concatenate([values, values[:2]]), **options)


def unsigned(path):
    with h5py.File(path, "r+") as file:
        values = file["samples/end_frame"][:].astype(np.uint64)
        del file["samples/end_frame"]
        file.create_dataset("samples/end_frame", data=values, chunks=values.shape, fletcher32=True)


def without_checksum(path):
    with h5py.File(path, "r+") as file:
        values = file["features"][:]
        del file["features"]
        file["features"] = values


@pytest.mark.parametrize("name", ["written now", "version 1", "empty"])
def test_a_whole_cache_has_no_problems(path, tmp_path, name):
    if name == "version 1":
        shutil.copy(DATA / "feature_cache_v1.h5", path)
    elif name == "empty":
        write_cache(path, [], SPEC)
    found = verify(path)
    assert found.problems == []
    assert (found.samples, found.clips, found.dim) == ((0, 0, 4) if name == "empty" else (3, 6, 4))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda p: flip_byte(p, "clips/pts_seconds"), "dataset 'clips/pts_seconds' cannot be read"),
        (lambda p: flip_byte(p, "samples/status"), "dataset 'samples/status' cannot be read"),
        (lambda p: flip_byte(p, "samples/caption"), "dataset 'samples/caption' cannot be read"),
        (lambda p: flip_byte(p, "samples/offset"), "dataset 'samples/offset' cannot be read"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "is truncated"),
        (lambda p: p.write_bytes(b"hello"), "is not an HDF5 file"),
        (lambda p: set_attribute(p, "backbone", "c3d"), "its attributes give"),
        (lambda p: set_attribute(p, "fingerprint", "0" * 64), "its fingerprint is 000000000000"),
        (lambda p: set_attribute(p, "dim", 5), "its attributes give"),
        (
            lambda p: set_value(p, "features", (4, 2), np.nan),
            (
                "01_0001 (view flip): the features of 1 of 2 clips are not finite (NaN or infinite), the"
                " first is clip 1"
            ),
        ),
        (
            lambda p: set_value(p, "features", (0, 0), np.inf),
            "01_0001: the features of 1 of 3 clips are not finite (NaN or infinite), the first is clip 0",
        ),
        (
            lambda p: set_value(p, "samples/offset", (1, 0), 4),
            "clip: shares 1 of its 1 feature rows with 01_0001",
        ),
        (
            lambda p: set_value(p, "samples/count", (0, 1), 3),
            "clip: shares 1 of its 1 feature rows with 01_0001",
        ),
        (
            lambda p: set_value(p, "samples/count", (0, 0), 2),
            "1 feature row(s) belong to no sample, the first is row 2",
        ),
        (
            lambda p: (set_value(p, "samples/offset", (1, 1), 6), set_value(p, "samples/count", (1, 1), 0)),
            "clip (view flip): points to 0 clips at row 6",
        ),
        (
            lambda p: set_value(p, "samples/offset", (1, 1), 0),
            "clip (view flip): points to -1 clips at row 0",
        ),
        (
            lambda p: set_value(p, "samples/offset", (0,), [2, 0]),
            "01_0001 (view flip): its feature rows come before those",
        ),
        (
            lambda p: set_attribute(p, "views", '["flip", "plain"]'),
            "the first view is ['flip'], expected 'plain'",
        ),
        (add_rows, "2 feature row(s) belong to no sample, the first is row 6"),
        (unsigned, "dataset 'samples/end_frame' is uint64, expected int64"),
        (without_checksum, "dataset 'features' has no Fletcher-32 checksum"),
        (
            lambda p: set_value(p, "samples/sample_id", 2, b"clip"),
            "clip: samples 2 and 3 both have this sample_id",
        ),
        (lambda p: set_value(p, "samples/sample_id", 1, b""), "sample 2: annotation: sample_id is empty"),
        (lambda p: set_value(p, "samples/status", 1, b"failed"), "clip: status is 'failed', expected 'ok'"),
        (
            lambda p: set_value(p, "samples/end_frame", 0, 50),
            "01_0001: annotation: end_frame 50 must be greater",
        ),
        (lambda p: set_value(p, "samples/final_score", 1, np.inf), "clip: annotation: final_score is 'inf'"),
        (
            lambda p: set_value(p, "clips/first_frame", 1, 50),
            "01_0001: the first frames of its clips are 100, 50, 132",
        ),
        (lambda p: set_value(p, "clips/pts_seconds", 5, np.inf), "clip: the times of its clips are inf"),
    ],
)
def test_every_damage_is_one_line_and_exit_code_1(path, damage, problem):
    damage(path)
    result = CliRunner().invoke(data, ["verify", str(path)])
    assert result.exit_code == 1, result.output
    assert any(problem in line for line in result.stdout.splitlines()), result.stdout
    assert result.stderr.startswith(f"{path}: ") and "problem(s)" in result.stderr


def test_damaged_features_name_the_samples_that_are_hit(long_path):
    flip_byte(long_path, "features", chunk=1)  # rows 64 to 127: clips 14 to 49 of b, 0 to 27 of c
    set_value(long_path, "features", (10, 0), np.nan)
    assert verify(long_path).problems == [
        "a: the features of 1 of 50 clips are not finite (NaN or infinite), the first is clip 10",
        (
            "b: the features of 36 of 50 clips cannot be read, as a checksum fails or a chunk is lost, the"
            " first is clip 14"
        ),
        (
            "c: the features of 28 of 50 clips cannot be read, as a checksum fails or a chunk is lost, the"
            " first is clip 0"
        ),
    ]


def lose_chunk(path, dataset):
    """Damage the one entry of a dataset's index of chunks, a version 1 B-tree, which has no checksum."""
    with h5py.File(path) as file:
        address = file[dataset].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    tree = next(
        start
        for start in range(len(content))
        if content[start : start + 5] == b"TREE\x01"
        and address.to_bytes(8, "little") in content[start : start + 200]
    )
    content[tree + 6] = 0  # entries in use
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("dataset", "problem"),
    [
        (
            "features",
            "01_0001: the features of 3 of 3 clips cannot be read, as a checksum fails or a chunk is lost",
        ),
        ("samples/caption", "dataset 'samples/caption' cannot be read (1 of its chunks cannot be found)"),
    ],
)
def test_a_lost_chunk_is_not_taken_for_zeros(path, dataset, problem):
    lose_chunk(path, dataset)
    with h5py.File(path) as file:
        # HDF5 says nothing and gives its fill value.
        assert np.isnan(file[dataset][0]).all() if dataset == "features" else file[dataset][0] == b""
    assert any(problem in line for line in verify(path).problems)


def test_any_byte_of_any_chunk_is_guarded(path):
    whole = path.read_bytes()
    with h5py.File(path) as file:
        chunks = []
        file.visititems(
            lambda name, item: (
                chunks.append(item.id.get_chunk_info(0))
                if isinstance(item, h5py.Dataset) and item.size
                else None
            )
        )
    assert len(chunks) > 15
    generator = np.random.default_rng(0)
    for chunk in chunks:
        content = bytearray(whole)
        content[chunk.byte_offset + generator.integers(chunk.size)] ^= 1 << generator.integers(8)
        path.write_bytes(content)
        assert verify(path).problems


def test_memory_stays_flat(tmp_path):
    dim, clips = 2048, 64
    features = np.ones((clips, dim), np.float32)
    view = ClipFeatures(features, np.zeros(clips, np.int64), np.zeros(clips))
    spec = FeatureSpec("s3d", "", dim, "", "", {}, {})
    write_cache(
        tmp_path / "big.h5",
        [Record(Sample(f"{i}", "v"), [view]) for i in range(64)],
        spec,
        dtype="float32",
    )
    seen = []
    tracemalloc.start()
    assert verify(tmp_path / "big.h5", lambda done, total: seen.append((done, total))).problems == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 32 MiB of features, read in chunks of half a MiB.
    assert peak < 6 * features.nbytes and seen[-1] == (64 * 64, 64 * 64) and len(seen) == 64


def test_no_file_is_wrong_usage(tmp_path):
    with pytest.raises(CacheError, match="no such file"):
        verify(tmp_path / "no.h5")
    assert CliRunner().invoke(data, ["verify", str(tmp_path)]).exit_code == 2


def test_command_on_a_whole_cache(path):
    result = CliRunner().invoke(data, ["verify", str(path)])
    assert result.exit_code == 0 and result.stderr == ""
    assert result.stdout.splitlines() == [
        f"{path} is whole: 3 samples, 6 clips of 4 values; checksums, fingerprint, index, annotations and"
        " finiteness are right."
    ]


def test_a_cache_that_is_published_anew_meanwhile_is_read_from_one_file(path, long_path, monkeypatch):
    before, opened = verify(path), []
    really = FeatureCache.__init__

    def publishing_anew(self, source, **options):
        really(self, source, **options)
        opened.append(source)
        shutil.copy(long_path, path.with_name("new"))
        path.with_name("new").replace(path)

    monkeypatch.setattr(FeatureCache, "__init__", publishing_anew)
    looked_at = []
    found = verify(path, whole=lambda cache: looked_at.append(cache.record(0).sample.sample_id))
    assert found == before and not found.problems and opened == [path]
    assert looked_at == [records()[0].sample.sample_id]
    monkeypatch.undo()
    assert verify(path).samples == 3


def test_what_is_shown_of_a_cache_is_of_the_file_that_was_opened(path, long_path):
    size = path.stat().st_size
    with FeatureCache(path) as cache:
        long_path.replace(path)
        assert contents(cache)["bytes"] == size != path.stat().st_size
