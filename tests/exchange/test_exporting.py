import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from make_feature_cache_v1 import SPEC, VIEWS, records
from synthetic_cache import write_synthetic_cache

from aqa_cache.annotations import Sample, read_annotations
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.record import ClipFeatures, Record
from aqa_cache.cache_file.writer import write_cache
from aqa_cache.errors import AqaError
from aqa_cache.exchange.exporting import export_features
from aqa_cache.exchange.importing import import_features
from aqa_cli.data import data


def record(sample_id, clips=2):
    features = np.random.default_rng(len(sample_id)).normal(size=(clips, 4)).astype(np.float32)
    return Record(
        Sample(sample_id, "v.mp4", final_score=1 / 3),
        [ClipFeatures(features, np.arange(clips), np.arange(clips))],
    )


@pytest.fixture
def path(tmp_path):
    write_cache(tmp_path / "feats.h5", records(), SPEC, views=VIEWS)
    return tmp_path / "feats.h5"


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_exported_and_imported_is_the_same_to_the_bit(tmp_path, dtype):
    names = [
        "a",
        "a.b",
        "sub/a",
        "sub/sub.npy/é ü",
        "a@x",
        "-x",
        "~",
        "annotations",
        ".hidden",
        "日本",
        "a%2Fb",
        "con:1",
    ]
    write_cache(
        tmp_path / "f.h5", [record(name, 1 + place) for place, name in enumerate(names)], SPEC, dtype=dtype
    )
    done = export_features(tmp_path / "f.h5", tmp_path / "out")
    assert done.files == len(names) and done.dtype == dtype
    import_features(tmp_path / "out", tmp_path / "g.h5", tmp_path / "out" / "annotations.csv", backbone="s3d")
    with FeatureCache(tmp_path / "f.h5") as before, FeatureCache(tmp_path / "g.h5") as after:
        assert after.samples == before.samples and after.dtype == before.dtype == dtype
        for index in range(len(names)):
            assert after.features(index).tobytes() == before.features(index).tobytes()


def test_every_character_of_a_label_comes_back(tmp_path):
    def odd(index, sample):
        text = "".join(map(chr, range(1 + 200 * index, 201 + 200 * index))).strip()
        return replace(sample, group=text, fold=f"\r{text}\n".strip(), caption=text, classes={"a\rb": text})

    write_synthetic_cache(tmp_path / "f.h5", 12, 6, change=odd)
    export_features(tmp_path / "f.h5", tmp_path / "out")
    import_features(tmp_path / "out", tmp_path / "g.h5", tmp_path / "out" / "annotations.csv", backbone="c3d")
    with FeatureCache(tmp_path / "f.h5") as before, FeatureCache(tmp_path / "g.h5") as after:
        assert after.samples == before.samples


def test_a_name_that_cannot_be_a_file_is_no_matter_where_there_is_none(tmp_path):
    failed = Record(Sample("caf\\xe9", "v.mp4"), [None], reason="its name is not UTF-8")
    write_cache(tmp_path / "f.h5", [record("a"), failed], SPEC)
    done = export_features(tmp_path / "f.h5", tmp_path / "out")
    assert done.files == 1 and done.failed == ["caf\\xe9"]


def test_a_float32_cache_whose_values_nearly_fit_float16_is_not_rounded(tmp_path):
    write_cache(tmp_path / "f.h5", [record("a")], SPEC, dtype="float32")
    export_features(tmp_path / "f.h5", tmp_path / "out")
    done = import_features(
        tmp_path / "out", tmp_path / "g.h5", tmp_path / "out/annotations.csv", backbone="s3d"
    )
    assert done.dtype == "float32"


def test_views_failures_and_provenance(path, tmp_path):
    done = export_features(path, tmp_path / "out")
    found = sorted(
        file.relative_to(done.folder).as_posix() for file in done.folder.rglob("*") if file.is_file()
    )
    assert found == ["01_0001.npy", "01_0001@flip.npy", "annotations.csv", "clip.npy", "provenance.json"]
    assert done.failed == ["gone"] and done.files == 3
    assert json.loads((done.folder / "provenance.json").read_text())["fingerprint"] == SPEC.fingerprint
    table = done.folder / "annotations.csv"
    with FeatureCache(path) as before:
        assert repr(read_annotations(table)) == repr(before.samples)  # repr, since NaN marks are equal there
        import_features(
            done.folder, tmp_path / "g.h5", table, backbone="s3d", views=["flip"], allow_missing=True
        )
        with FeatureCache(tmp_path / "g.h5") as after:
            assert after.views == before.views and after.lengths.tolist() == before.lengths.tolist()
            np.testing.assert_array_equal(after.features(0, 1), before.features(0, 1))


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/../x", "a//b", "a/", "a\\b", "..\\x", "a\nb", "a\0b", "x" * 300]
)
def test_no_name_leaves_the_folder(tmp_path, name):
    if "\0" in name:
        name = name.replace("\0", "\x01")  # HDF5 ends text at a NUL
    write_cache(tmp_path / "f.h5", [record("a"), record(name)], SPEC)
    with pytest.raises(
        AqaError, match="cannot be files in a folder" if len(name) < 300 else "File name too long"
    ):
        export_features(tmp_path / "f.h5", tmp_path / "deep" / "out")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["f.h5"]
    assert not list(tmp_path.glob("deep/x*"))


def test_a_folder_that_is_not_empty(path, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "clip.npy").write_text("old")
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(
        AqaError, match=r"is not empty \(clip.npy, mine.txt\); choose another folder, or --force"
    ):
        export_features(path, folder)
    assert (folder / "clip.npy").read_text() == "old"
    export_features(path, folder, force=True)
    assert np.load(folder / "clip.npy").shape == (1, 4) and (folder / "mine.txt").read_text() == "mine"
    with pytest.raises(AqaError, match="is a file, expected a folder"):
        export_features(path, folder / "mine.txt")


def test_nothing_is_exported_through_a_link_in_the_folder(tmp_path):
    write_cache(tmp_path / "f.h5", [record("a"), record("sub/deeper/b")], SPEC)
    (tmp_path / "thesis" / "deeper").mkdir(parents=True)
    for place in ("sub", "sub/deeper"):
        folder = tmp_path / place.replace("/", "-")
        (folder / place).parent.mkdir(parents=True)
        (folder / place).symlink_to(tmp_path / "thesis")
        with pytest.raises(AqaError, match=f"{place}: is a symbolic link to .*thesis"):
            export_features(tmp_path / "f.h5", folder, force=True)
        assert not (folder / "a.npy").exists()
    assert [path.name for path in (tmp_path / "thesis").rglob("*")] == ["deeper"]
    (tmp_path / "mine.npy").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.npy").symlink_to(tmp_path / "mine.npy")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    assert export_features(tmp_path / "f.h5", tmp_path / "link", force=True).files == 2
    assert (tmp_path / "mine.npy").read_text() == "mine" and np.load(tmp_path / "out" / "a.npy").size


def test_command(path, tmp_path):
    done = CliRunner().invoke(data, ["export", str(path), str(tmp_path / "out")])
    assert (
        done.exit_code == 0
        and "3 arrays (float16)" in done.stdout
        and "1 sample(s) have no features" in done.stderr
    )
    again = CliRunner().invoke(data, ["export", str(path), str(tmp_path / "out")])
    assert again.exit_code == 2 and again.stderr.startswith("Error: ") and "is not empty" in again.stderr
