import pickle

import h5py
import numpy as np
import pytest
import torch

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.feature_spec import FeatureSpec
from aqa_cache.cache_file.writer import write_cache
from aqa_cache.errors import AqaError
from aqa_cache.exchange.feature_files import array_names, open_features

FEATURES = np.arange(6, dtype=np.float32).reshape(2, 3)


def read(source, name):
    with open_features(source) as arrays:
        (one,) = arrays[name]
        return one.read()


def test_every_format_gives_the_same_array(tmp_path):
    (tmp_path / "sub").mkdir()
    np.save(tmp_path / "a.b.npy", FEATURES)
    np.savez(tmp_path / "sub" / "c.npz", features=FEATURES)
    torch.save(torch.tensor(FEATURES, requires_grad=True), tmp_path / "d.pt")
    torch.save(
        {"features": torch.tensor(FEATURES, dtype=torch.bfloat16), "fps": 25.0}, tmp_path / "sub" / "é.pt"
    )
    (tmp_path / "notes.txt").write_text("not looked at")
    with h5py.File(tmp_path / "all.h5", "w") as file:
        for name in ("a.b", "sub/c", "d", "sub/é"):
            file[name] = FEATURES
    np.savez(tmp_path.parent / "all.npz", **dict.fromkeys(("a.b", "sub/c", "d", "sub/é"), FEATURES))
    for source in (tmp_path, tmp_path / "all.h5", tmp_path.parent / "all.npz"):
        with open_features(source) as arrays:
            assert sorted(arrays) == ["a.b", "d", "sub/c", "sub/é"]
        for name in ("a.b", "d", "sub/c", "sub/é"):
            np.testing.assert_array_equal(read(source, name), FEATURES)


def test_two_files_of_one_name_are_both_there(tmp_path):
    np.save(tmp_path / "x.npy", FEATURES)
    np.savez(tmp_path / "x.npz", FEATURES)
    with open_features(tmp_path) as arrays:
        assert [file.where for file in arrays["x"]] == ["x.npy", "x.npz"]


class Harmful:
    def __reduce__(self):
        return pytest.fail, ("a foreign pickle was run",)


def declaring(length):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({length},), }}".encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + FEATURES.tobytes()


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("x.npy", lambda p: np.save(p, np.array([Harmful()], object)), "holds Python objects"),
        ("x.npz", lambda p: np.savez(p, np.array([Harmful()], object)), "holds Python objects"),
        ("x.npy", lambda p: p.write_bytes(pickle.dumps(Harmful())), "is not a file of numpy's"),
        ("x.npy", lambda p: p.write_bytes(b""), "is not a file of numpy's"),
        ("x.npy", lambda p: (np.save(p, FEATURES), p.write_bytes(p.read_bytes()[:-4])), "cannot be read"),
        ("x.npz", lambda p: (np.savez(p, FEATURES), p.write_bytes(p.read_bytes()[:-40])), "cannot be read"),
        ("x.npz", lambda p: np.savez(p, a=FEATURES, b=FEATURES), "holds 2 arrays, expected one"),
        ("x.pt", lambda p: torch.save(Harmful(), p), "holds more than tensors"),
        (
            "x.pt",
            lambda p: torch.save({"a": torch.zeros(2), "b": torch.zeros(2)}, p),
            "a dict with 2 tensors",
        ),
        ("x.pt", lambda p: torch.save([torch.zeros(2)], p), "a list with 0 tensors, expected one"),
        ("x.pt", lambda p: p.write_bytes(b"PK\x03\x04 and no more"), "cannot be read"),
        ("x.pt", lambda p: torch.save(torch.ones(1).expand(10**6, 10**6), p), "declares tensors of"),
        ("x.pt", lambda p: torch.save(torch.ones(2).to_sparse(), p), "holds more than tensors"),
        (
            "x.npz",
            lambda p: np.savez_compressed(p, np.zeros(10**8, np.float32)),
            "declares 400,000,128 bytes",
        ),
        ("x.npy", lambda p: p.write_bytes(declaring(10**12)), "declares shape .1000000000000,."),
        ("x.npy", lambda p: p.write_bytes(declaring(-1)), "declares shape .-1,."),
    ],
)
def test_what_cannot_be_read_says_why_and_is_not_run(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(AqaError, match=message):
        read(tmp_path, "x")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "no such folder or file"),
        (lambda p: p.write_bytes(b"\x93NUMPY"), "is neither a folder nor an HDF5 file"),
        (lambda p: p.write_bytes(pickle.dumps({"a": FEATURES})), "A pickle is not opened, .* numpy.savez"),
        (
            lambda p: write_cache(p, [], FeatureSpec("s3d", "", 4, "", "", {}, {})),
            "is a feature cache already",
        ),
    ],
)
def test_what_is_no_source(tmp_path, make, message):
    make(tmp_path / "source")
    with pytest.raises(AqaError, match=message), open_features(tmp_path / "source"):
        pass


def test_one_npz_of_all_samples_is_read_array_by_array(tmp_path):
    source = tmp_path / "all.npz"
    np.savez_compressed(
        source, good=FEATURES, huge=np.zeros(10**8, np.float32), objects=np.array([Harmful()], object)
    )
    np.testing.assert_array_equal(read(source, "good"), FEATURES)
    with pytest.raises(AqaError, match="declares 400,000,128 bytes"):
        read(source, "huge")
    with pytest.raises(AqaError, match="holds Python objects"):
        read(source, "objects")
    source.write_bytes(source.read_bytes()[:-40])
    with pytest.raises(AqaError, match=r"all.npz: cannot be read .*copy it again"):
        read(source, "good")


def test_names_of_arrays():
    samples = [Sample("a/b", "v"), Sample("c", "v")]
    assert list(array_names(samples, ["plain", "flip"]).values()) == ["a/b", "a/b@flip", "c", "c@flip"]
    with pytest.raises(AqaError, match="1 name.s. stand for a sample and for the view of another: c@flip"):
        array_names([*samples, Sample("c@flip", "v")], ["plain", "flip"])


def test_an_hdf5_file_gives_only_what_lies_in_it(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["good"] = FEATURES
        file["link"] = h5py.ExternalLink("other.h5", "/x")
        file.create_dataset("outside", (9,), "f4", external=[("/etc/passwd", 0, 36)])
        file.create_dataset("huge", (10**12,), "f4")
        file.create_dataset("lists", (3,), h5py.vlen_dtype("f4"))
    with open_features(tmp_path / "x.h5") as arrays:
        assert sorted(arrays) == ["good", "huge", "link", "lists", "outside"]
    np.testing.assert_array_equal(read(tmp_path / "x.h5", "good"), FEATURES)
    for name, message in (("link", "is a link"), ("outside", "keeps its values in other files")):
        with pytest.raises(AqaError, match=message):
            read(tmp_path / "x.h5", name)
    for name in ("huge", "lists"):
        with pytest.raises(AqaError, match="holds none"):
            read(tmp_path / "x.h5", name)
