"""Kinds of files that hold weights, and arrays and pickles of other programs."""

import io
import json
import pickle
import random
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from fuzzing import Kind, change_bytes, or_not
from hostile_hdf5 import ODD, change_dataset, change_values
from tiny_backbone import register_tiny, tiny, write_weights

from aqa_cache.annotations import Sample, write_annotations
from aqa_cache.clips.preprocess import MTL_AQA
from aqa_cache.clips.rule import ClipRule
from aqa_cache.datasets.mtl_aqa import convert
from aqa_cache.datasets.mtl_aqa_release import find_release
from aqa_cache.exchange.importing import import_features
from aqa_cache.weights.resolving import load_weights, resolve_weights
from aqa_cache.weights.tuned import TunedBackbone, write_tuned_backbone

ARRAY = np.arange(12, dtype=np.float32).reshape(3, 4)


def make_weights(folder: Path) -> list[Path]:
    write_weights(folder / "tiny.pth")
    torch.save(tiny().state_dict(), folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "state_dict": tiny().state_dict(), "notes": ["a", (1, 2)]}, folder / "wrapped.pt")
    return [folder / "tiny.pth", folder / "legacy.pth", folder / "wrapped.pt"]


def make_tuned(folder: Path) -> list[Path]:
    record = TunedBackbone(
        "tiny", MTL_AQA, {**ClipRule().record(), "stream": None}, "a", "ab" * 32, "b", ("s1",)
    )
    return [write_tuned_backbone(folder, tiny(), record)]


def read_weights(path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        register_tiny(patch)
        load_weights(tiny(), "tiny", resolve_weights("tiny", str(path)))


def change_saved(path: Path, rng: random.Random) -> None:
    """Other objects than plain tensors by name, saved as torch does."""
    values = tiny().state_dict()
    name, other = rng.choice(list(values)), torch.ones(3, 4)
    odd = (
        other.to_sparse(),
        torch.empty(3, 4, device="meta"),
        torch.ones(1).expand(10**6, 10**6),
        torch.empty(0, 2**40),
        other.to(torch.complex64),
        other.to(torch.int64),
        torch.quantize_per_tensor(other, 0.1, 0, torch.qint8),
        torch.nn.Parameter(other),
        np.float64(3),
        10**5000,
        "text",
        {"a": {"b": other}},
        {3: other},
        float("nan"),
        None,
        _shared(40),
    )
    if rng.random() < 0.3:
        values = {3: values[name], **values}
    else:
        values = {**values, name: rng.choice(odd)}
    torch.save(values, path, _use_new_zipfile_serialization=rng.random() < 0.6)


def change_archive(path: Path, rng: random.Random) -> None:
    """One member of an archive becomes another, with a right checksum: changed, doubled, gone, compressed."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = rng.choice([*members, *(name for name in members if name.endswith((".pkl", ".npy")))])
    what, packed = rng.randrange(5), rng.random() < 0.2
    if what == 0:
        members[name] = bytes(2 * 10**7)
        packed = True
    elif what == 1:
        del members[name]
    elif what == 2:
        members["again/" + name.split("/")[-1]] = members[name]
    else:
        changed = path.with_name("member")
        changed.write_bytes(members[name])
        change_bytes(changed, rng)
        members[name] = changed.read_bytes()
        changed.unlink()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)


def change_record(path: Path, rng: random.Random) -> None:
    """A field of what a tuned backbone says of itself."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    record = json.loads(header["__metadata__"]["tuned_backbone"])
    place = rng.choice((record, record["preprocessing"], record["clip_rule"]))
    place[rng.choice([*place, "other"])] = rng.choice(ODD)
    text = rng.choice((json.dumps(record), json.dumps(record), "[" * 10**5, "3", json.dumps([record])))
    header["__metadata__"]["tuned_backbone"] = text
    new = json.dumps(header).encode()
    path.write_bytes(len(new).to_bytes(8, "little") + new + content[8 + length :])


def make_arrays(folder: Path) -> list[Path]:
    np.save(folder / "a.npy", ARRAY)
    np.savez(folder / "b.npz", ARRAY)
    np.savez_compressed(folder / "c.npz", ARRAY)
    torch.save(torch.tensor(ARRAY), folder / "d.pt")
    torch.save({"features": torch.tensor(ARRAY), "fps": 25.0}, folder / "e.pt")
    return [folder / name for name in ("a.npy", "b.npz", "c.npz", "d.pt", "e.pt")]


def change_array(path: Path, rng: random.Random) -> None:
    """An array that no features are, or a header that declares one."""
    odd = (
        np.zeros((3, 4), [("a", "f4")]),
        np.array(["a"]),
        np.array([{}], object),
        np.zeros((0, 2**40), "f4"),
        np.zeros((2,) * 20, "f2"),
        np.full((3, 4), 1e300),
    )
    file = io.BytesIO()
    np.save(file, rng.choice(odd), allow_pickle=True)
    content = file.getvalue()
    if rng.random() < 0.5:
        shape = rng.choice(("(1000000000000,)", "(-1, 4)", f"({10**20},)", "(" * 500, "(1.5,)", "None"))
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
        content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + ARRAY.tobytes()
    if path.suffix == ".npz":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("arr_0.npy", content)
    elif path.suffix == ".npy":
        path.write_bytes(content)


def make_hdf5(folder: Path) -> list[Path]:
    with h5py.File(folder / "source.h5", "w") as file:
        file["a"], file["b"] = ARRAY, ARRAY
        file.create_dataset("c", data=ARRAY, chunks=(1, 4), compression="gzip", fletcher32=True)
    return [folder / "source.h5"]


def read_arrays(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "annotations.csv"
        names = "abc" if path.suffix == ".h5" else path.stem
        write_annotations(table, [Sample(name, "v.mp4") for name in names])
        source = path if path.suffix == ".h5" else path.parent
        import_features(source, Path(folder) / "feats.h5", table, backbone="i3d", ignore_surplus=True)


def make_release(folder: Path) -> list[Path]:
    inner = folder / "MTL-AQA_split_0_data"
    inner.mkdir()
    fields = {"position": 1, "armstand": 0, "rotation_type": 2, "ss_no": 3, "tw_no": 1}
    fields |= {"start_frame": 11, "end_frame": 90, "difficulty": np.float64(3.2), "final_score": 80.5}
    dives = [(1, number) for number in range(4)]
    contents = {
        "final_annotations_dict": {dive: dict(fields) for dive in dives},
        "final_captions_dict": {dive: ["<sos>", "a", "dive", "<eos>"] for dive in dives},
        "train_split_0": dives[:3],
        "test_split_0": dives[3:],
    }
    for number, (name, content) in enumerate(contents.items()):
        (inner / f"{name}.pkl").write_bytes(pickle.dumps(content, 3 + number % 3))
    return [inner]


def read_release(path: Path) -> None:
    converted = convert(find_release(path))
    write_annotations(path / "annotations.csv", converted.samples)


def change_release(path: Path, rng: random.Random) -> None:
    """A file of the release has other bytes, or other objects."""
    file = rng.choice(sorted(path.glob("*.pkl")))
    if rng.random() < 0.6:
        return change_bytes(file, rng)
    odd = (
        *ODD,
        _shared(40),
        _shared(3),
        10**5000,
        float("inf"),
        b"x",
        ("<sos>", "\ud800"),
        ["<sos>", 3],
    )
    content = pickle.loads(file.read_bytes())
    value = rng.choice(odd)
    if isinstance(content, list):
        content[rng.randrange(len(content))] = value
    else:
        key = rng.choice(list(content))
        inner = content[key]
        if rng.random() < 0.3:
            content[key] = value
        elif isinstance(inner, dict):
            inner[rng.choice(list(inner))] = value
        else:
            inner[rng.randrange(len(inner))] = value
    file.write_bytes(pickle.dumps(content, rng.randrange(3, 6)))


def _shared(levels: int) -> list:
    value: list = []
    for _ in range(levels):
        value = [value, value]
    return value


KINDS = {
    "weights": Kind(make_weights, read_weights, (or_not(change_saved), or_not(change_archive))),
    "tuned backbone": Kind(make_tuned, read_weights, (or_not(change_record),)),
    "array files": Kind(make_arrays, read_arrays, (or_not(change_array), or_not(change_archive))),
    "HDF5 of other programs": Kind(make_hdf5, read_arrays, (or_not(change_dataset), or_not(change_values))),
    "MTL-AQA pickles": Kind(make_release, read_release, (or_not(change_release),)),
}
