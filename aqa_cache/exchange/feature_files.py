"""Features that other programs left: one array per sample, as files of a folder or as datasets of an HDF5
file.

Nothing in them is ever run: numpy loads without pickle, torch with `weights_only`.
"""

import contextlib
import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from ..annotations import Sample
from ..cache_file.schema import FORMAT, PLAIN_VIEW
from ..disk.hdf5 import open_hdf5
from ..errors import AqaError, first_line, some

SUFFIXES = (".npy", ".npz", ".pt")

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
            tensor), at any depth, named after their path without suffix; or an HDF5 file, whose datasets are
            named after their path. Other files are not looked at.

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
    if not h5py.is_hdf5(source):
        raise AqaError(
            f"{source}: is neither a folder nor an HDF5 file; expected a folder with one {_known()} file per"
            " sample, or an HDF5 file with one dataset per sample"
        )
    with open_hdf5(source) as file:
        if file.attrs.get("format") == FORMAT:
            raise AqaError(f"{source}: is a feature cache already; give it to aqa-train --features as it is")
        found: dict[str, list[FeatureFile]] = {}

        def visit(name: str, item) -> None:
            if isinstance(item, h5py.Dataset):
                found[name] = [FeatureFile(name, lambda: _read_dataset(item))]

        try:
            file.visititems(visit)
        except (OSError, RuntimeError, KeyError, ValueError) as error:
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


def _read_dataset(dataset: h5py.Dataset) -> np.ndarray:
    try:
        return np.asarray(dataset[()])
    except (OSError, TypeError, ValueError) as error:
        raise AqaError(f"cannot be read ({first_line(error)})") from None


def _read_numpy(path: Path) -> np.ndarray:
    try:
        with open(path, "rb") as file:
            # Of anything else numpy says that it is a pickle and how to load it unsafely.
            if not file.read(len(_NPY)).startswith((_NPY, _ZIP, _EMPTY_ZIP)):
                raise AqaError("is not a file of numpy's, or is damaged")
            file.seek(0)
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            if len(loaded.files) != 1:
                raise AqaError(f"holds {len(loaded.files)} arrays, expected one")
            return loaded[loaded.files[0]]
    except AqaError:
        raise
    except Exception as error:  # a damaged file can raise anything at all
        if "allow_pickle" in str(error):
            raise AqaError("holds Python objects, not numbers; stack them to one float array first") from None
        raise AqaError(f"cannot be read ({first_line(error)})") from None


def _read_tensor(path: Path) -> np.ndarray:
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        tensors = [content] if isinstance(content, torch.Tensor) else []
        if isinstance(content, dict):
            tensors = [value for value in content.values() if isinstance(value, torch.Tensor)]
        if len(tensors) != 1:
            raise AqaError(
                f"holds a {type(content).__name__} with {len(tensors)} tensors, expected one tensor"
            )
        tensor = tensors[0].detach()
        if tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float64):
            tensor = tensor.float()  # numpy has no bfloat16
        return tensor.numpy()
    except AqaError:
        raise
    except pickle.UnpicklingError:
        raise AqaError(
            "holds more than tensors, or is damaged; save it with torch.save(tensor, path)"
        ) from None
    except Exception as error:  # torch raises whatever its unpickler meets
        raise AqaError(f"cannot be read ({first_line(error)})") from None


def _known() -> str:
    return f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
