"""The datasets of a feature cache, each read as an array or as text."""

from pathlib import Path
from typing import Any

import numpy as np

from ..disk.hdf5 import DAMAGE
from ..errors import CacheError, first_line


def read_array(path: Path, file: Any, name: str, rows: slice = slice(None)) -> np.ndarray:
    """Some rows of the dataset `name` of `file`, which was opened from `path`.

    Raises:
        CacheError: it cannot be read, or is larger than the memory.
    """
    try:
        return file[name][rows]
    except DAMAGE as error:
        raise CacheError(
            f"{path}: dataset {name!r} cannot be read ({first_line(error)}); the file is damaged, "
            "restore it from a copy or extract again"
        ) from None
    except MemoryError:  # of a file with holes
        raise CacheError(f"{path}: dataset {name!r} is larger than the memory; extract again") from None


def read_texts(path: Path, file: Any, name: str) -> list[str]:
    """The dataset `name` as text.

    Raises:
        ValueError: it holds text with a NUL, or text that is not UTF-8.
        CacheError: as `read_array`.
    """
    values = read_array(path, file, name).tolist()
    # Equal texts are one in memory: groups, classes and videos come again and again.
    known = {value: value.decode("utf-8") for value in set(values)}
    # HDF5 ends text at a NUL: written again, the rest would be lost, and two names could become one.
    if any("\0" in text for text in known.values()):
        raise ValueError(f"dataset {name!r} holds text with a NUL in it")
    return [known[value] for value in values]
