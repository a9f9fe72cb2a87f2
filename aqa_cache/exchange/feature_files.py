"""Features that other programs left: one array per sample, as files of a folder, or all in one `.npz` or HDF5
file.

Nothing in them is ever run: numpy loads without pickle, torch with `weights_only`.
"""

import contextlib
import io
import math
import os
import pickle
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import h5py
import numpy as np

from ..annotations import Sample
from ..cache_file.schema import FORMAT, PLAIN_VIEW
from ..disk.hdf5 import DAMAGE, Member, members, open_hdf5, text_attribute
from ..disk.plain_pickle import Refused
from ..disk.saved_tensors import check_saved
from ..errors import AqaError, first_line, some

SUFFIXES = (".npy", ".npz", ".pt")

_HEADER_BYTES = 1 << 16
# As in `disk.hdf5`: what is compressed may be larger than its file, but not by any factor.
_MOST_GAIN, _ALWAYS_ALLOWED = 100, 1 << 28
_NPY, _ZIP, _EMPTY_ZIP = b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06"


@dataclass(frozen=True)
class FeatureFile:
    """One array that lies in a source.

    Args:
        where: the file or dataset, as a message names it.
        read: reads the array, of any shape and dtype; raises AqaError, whose text is the reason alone.
    """

    where: str
    read: Callable[[], np.ndarray]


@contextlib.contextmanager
def open_features(source: str | Path) -> Iterator[dict[str, list[FeatureFile]]]:
    """Every array of a source by its name; more than one where a folder holds `x.npy` and `x.npz`.

    Args:
        source: a folder with `.npy`, `.npz` (of one array) or `.pt` files (a tensor, or a dict with one
            tensor), at any depth, named after their path without suffix; or one `.npz` with an array per
            sample; or an HDF5 file, whose datasets are named after their path. Other files are not looked at.

    Raises:
        AqaError: the source is neither, or is a feature cache already.
    """
    source = Path(source)
    if source.is_dir():
        yield _files_below(source)
        return
    if not source.exists():
        raise AqaError(
            f"{source}: no such folder or file; expected a folder with one {_known()} file per sample"
        )
    if source.is_file() and source.suffix.lower() == ".npz":
        with _archive(source) as archive:
            yield _arrays_within(archive)
        return
    if not source.is_file() or not h5py.is_hdf5(source):
        raise AqaError(
            f"{source}: is neither a folder nor an HDF5 file, and no .npz; expected a folder with one"
            f" {_known()} file per sample, or one .npz or HDF5 file with an array per sample. A pickle is not"
            " opened, as it can run code: load it yourself and write numpy.savez('features.npz', **arrays)"
        )
    with _opened(source) as file:
        if _format_of(file) == FORMAT:
            raise AqaError(f"{source}: is a feature cache already; give it to aqa-train --features as it is")
        try:
            found = {
                member.name: [FeatureFile(member.name, lambda member=member: _read_dataset(member))]
                for member in members(file)
            }
        except DAMAGE as error:
            raise AqaError(
                f"{source}: cannot be read ({first_line(error)}); it is damaged, copy it again"
            ) from None
        yield found


def array_names(samples: Sequence[Sample], views: Sequence[str]) -> dict[tuple[str, str], str]:
    """The name of every sample's array in every view, by sample_id and view."""
    names = {
        (sample.sample_id, view): sample.sample_id if view == PLAIN_VIEW else f"{sample.sample_id}@{view}"
        for sample in samples
        for view in views
    }
    if shared := [name for name, count in Counter(names.values()).items() if count > 1]:
        raise AqaError(
            f"{len(shared)} name(s) stand for a sample and for the view of another: {some(shared)}; change"
            " one sample_id of each"
        )
    return names


def _files_below(folder: Path) -> dict[str, list[FeatureFile]]:
    found: dict[str, list[FeatureFile]] = {}
    for path in sorted(folder.rglob("*")):
        suffix = path.suffix.lower()
        if suffix in SUFFIXES and path.is_file():
            read = _read_tensor if suffix == ".pt" else _read_numpy
            where = path.relative_to(folder).as_posix()
            found.setdefault(where[: -len(suffix)], []).append(
                FeatureFile(where, lambda p=path, read=read: read(p))
            )
    return found


def _archive(source: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(source)
    except Exception as error:  # a damaged archive can raise anything at all
        raise AqaError(
            f"{source}: cannot be read ({first_line(error)}); it is damaged, copy it again"
        ) from None


def _arrays_within(archive: zipfile.ZipFile) -> dict[str, list[FeatureFile]]:
    """The arrays of one `.npz`, each read when it is asked for."""
    found: dict[str, list[FeatureFile]] = {}
    for one in archive.infolist():
        name = one.filename.removesuffix(".npy")
        found.setdefault(name, []).append(FeatureFile(name, lambda one=one: _read_within(archive, one)))
    return found


def _read_within(archive: zipfile.ZipFile, one: zipfile.ZipInfo) -> np.ndarray:
    with _reasons():
        _check_gain(one.file_size, one.compress_size)
        with archive.open(one) as file:
            return _read_array(file, one.file_size)


def _opened(source: Path) -> h5py.File:
    try:
        return open_hdf5(source)
    except DAMAGE as error:
        raise AqaError(
            f"{source}: cannot be read ({first_line(error)}); it is damaged, copy it again"
        ) from None


def _format_of(file: h5py.File) -> str | None:
    try:
        return text_attribute(file, "format") if "format" in file.attrs else None
    except DAMAGE:
        return None  # of a kind that none of ours is


def _read_dataset(member: Member) -> np.ndarray:
    if member.dataset is None:
        raise AqaError(member.wrong)
    try:
        dtype = member.dataset.dtype
        # What is no array of numbers is not read: texts and lists of any length lie outside the dataset.
        return np.asarray(member.dataset[()]) if dtype.kind == "f" else np.empty(0, dtype)
    except DAMAGE as error:
        raise AqaError(f"cannot be read ({first_line(error)})") from None
    except MemoryError:  # of a file with holes
        raise AqaError(f"takes {member.bytes:,} bytes, more than this machine has free") from None


def _read_numpy(path: Path) -> np.ndarray:
    (array,) = read_arrays(path).values()
    return array


def read_arrays(path: Path, most: int = 1) -> dict[str, np.ndarray]:
    """The arrays of a file of numpy's, by name; that of a `.npy` has none.

    Args:
        most: how many a `.npz` may hold.

    Raises:
        AqaError: it cannot be read, whose text is the reason alone.
    """
    with _reasons():
        with open(path, "rb") as file:
            # Of anything else numpy says that it is a pickle and how to load it unsafely.
            if not file.read(len(_NPY)).startswith((_NPY, _ZIP, _EMPTY_ZIP)):
                raise AqaError("is not a file of numpy's, or is damaged")
            file.seek(0)
            length = os.fstat(file.fileno()).st_size
            if file.read(len(_NPY)) == _NPY:
                file.seek(0)
                return {"": _read_array(file, length)}
        with zipfile.ZipFile(path) as archive:
            inside = archive.infolist()
            if not 1 <= len(inside) <= most:
                expected = "one" if most == 1 else f"1 to {most}"
                raise AqaError(f"holds {len(inside)} arrays, expected {expected}")
            _check_gain(sum(one.file_size for one in inside), length)
            arrays = {}
            for one in inside:
                with archive.open(one) as file:
                    arrays[one.filename.removesuffix(".npy")] = _read_array(file, one.file_size)
            return arrays


def _check_gain(size: int, length: int) -> None:
    """Refuse what unpacks to more than a file of its length can hold."""
    if size > max(_ALWAYS_ALLOWED, _MOST_GAIN * length):
        raise AqaError(f"declares {size:,} bytes in a file of {length:,} bytes, which is too much")


@contextlib.contextmanager
def _reasons() -> Iterator[None]:
    """Whatever numpy and zipfile raise becomes an AqaError whose text is the reason alone."""
    try:
        yield
    except AqaError:
        raise
    except Exception as error:  # a damaged file can raise anything at all
        if "allow_pickle" in str(error):
            raise AqaError("holds Python objects, not numbers; stack them to one float array first") from None
        raise AqaError(f"cannot be read ({first_line(error)})") from None


def _read_array(file: IO[bytes], length: int) -> np.ndarray:
    """An array in numpy's format, if its header declares no more than there is.

    Args:
        length: bytes that there are, with the header.
    """
    header = io.BytesIO(file.read(_HEADER_BYTES))
    version = np.lib.format.read_magic(header)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(header)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(header)
    else:
        raise AqaError(f"is of version {version} of numpy's format, expected (1, 0) or (2, 0)")
    if dtype.hasobject:
        raise AqaError("holds Python objects, not numbers; stack them to one float array first")
    if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize > length:
        raise AqaError(f"cannot be read: declares shape {shape} of {dtype}, which it does not hold")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _read_tensor(path: Path) -> np.ndarray:
    import torch

    try:
        check_saved(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        tensors = [content] if isinstance(content, torch.Tensor) else []
        if isinstance(content, dict):
            tensors = [value for value in content.values() if isinstance(value, torch.Tensor)]
        if len(tensors) != 1:
            raise AqaError(
                f"holds a {type(content).__name__} with {len(tensors)} tensors, expected one tensor"
            )
        tensor = tensors[0].detach()
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise AqaError(f"holds a tensor of layout {tensor.layout}, expected a plain one")
        if tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float64):
            tensor = tensor.float()  # numpy has no bfloat16
        return tensor.numpy()
    except AqaError:
        raise
    except Refused as error:
        raise AqaError(f"{error}; save it with torch.save(tensor, path)") from None
    except pickle.UnpicklingError:
        raise AqaError(
            "holds more than tensors, or is damaged; save it with torch.save(tensor, path)"
        ) from None
    except Exception as error:  # torch raises whatever its unpickler meets
        raise AqaError(f"cannot be read ({first_line(error)})") from None


def _known() -> str:
    return f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
