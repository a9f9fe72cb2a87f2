"""A feature cache out to plain files, one array per sample."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from ..annotations import FILE_NAME, write_annotations
from ..cache_file.contents import provenance
from ..cache_file.reader import FeatureCache
from ..disk.atomic import replacing
from ..disk.links import refuse_link
from ..errors import AqaError, first_line, some
from ..short_repr import short_repr
from .feature_files import array_names

PROVENANCE_NAME = "provenance.json"


@dataclass(frozen=True)
class Export:
    """What an export did: `files` arrays in `folder`, the sample_ids without features, and the arrays'
    dtype.
    """

    folder: Path
    files: int
    failed: list[str]
    dtype: str

    __repr__ = short_repr


def export_features(path: str | Path, folder: str | Path, *, force: bool = False) -> Export:
    """Write a feature cache as plain files that `import_features` reads back: the same values to the bit, the
    same annotations.

    `folder` gets one array per sample and view, `SAMPLE_ID.npy` and `SAMPLE_ID@VIEW.npy`, `(clips, dim)` in
    the cache's dtype, then `provenance.json`, what the features are, and last `annotations.csv`. First frames
    and times of clips stay behind.

    Args:
        force: write into a folder that is not empty; files of the same names are replaced, others stay.

    Raises:
        AqaError: the folder is not empty, a sample_id cannot be a file name, a folder in it is a link, or
            writing fails.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise AqaError(f"{folder}: is a file, expected a folder to write to; choose another name")
    with FeatureCache(path) as cache:
        names = _names(cache, folder)
        try:
            _prepare(folder, names.values(), force)
            for (index, number), name in names.items():
                _write(folder / f"{name}.npy", cache.features(index, number).astype(cache.dtype))
        except OSError as error:
            raise AqaError(
                f"{folder}: writing failed ({first_line(error)}); the export is not complete"
            ) from None
        with replacing(folder / PROVENANCE_NAME) as temporary:
            temporary.write_text(
                json.dumps(provenance(cache), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
            )
        with replacing(folder / FILE_NAME) as temporary:
            write_annotations(temporary, cache.samples)
        failed = [
            sample.sample_id for index, sample in enumerate(cache.samples) if not cache.has_features(index)
        ]
        return Export(folder, len(names), failed, str(cache.dtype))


def _names(cache: FeatureCache, folder: Path) -> dict[tuple[int, int], str]:
    """Names of all arrays, by index of sample and view."""
    names = array_names(cache.samples, cache.views)
    there = {
        (index, number): names[sample.sample_id, view]
        for index, sample in enumerate(cache.samples)
        for number, view in enumerate(cache.views)
        if cache.has_features(index, number)
    }
    if bad := [name for name in sorted({*there.values()}) if not _is_file_name(folder, name)]:
        raise AqaError(
            f"{cache.path}: {len(bad)} name(s) cannot be files in a folder:"
            f" {some([repr(name) for name in bad])}; expected a relative path with / and without '.',"
            " '..', backslashes and control characters. Change sample_id in the annotations, or read the"
            " features from the file itself (docs/schema.md)"
        )
    return there


def _prepare(folder: Path, names: Iterable[str], force: bool) -> None:
    """Make the folder; see that it may be written to, and that no folder in it is a link."""
    inside = sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []
    if inside and not force:
        raise AqaError(
            f"{folder}: is not empty ({some(inside, 3)}); choose another folder, or --force writes"
            " into it, replacing files of the same names and leaving others"
        )
    for inner in sorted({parent for name in names for parent in PurePath(name).parents}):
        if inner.name:  # the folder itself may be reached as its user likes
            refuse_link(folder / inner, "a folder of the export")
    folder.mkdir(parents=True, exist_ok=True)


def _write(path: Path, features: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, features, allow_pickle=False)


def _is_file_name(folder: Path, name: str) -> bool:
    plain = "\\" not in name and all(ord(letter) >= 32 for letter in name)
    inside = not {"", ".", ".."} & set(name.split("/"))
    return (
        plain and inside and os.path.splitdrive(name)[0] == "" and Path(folder, name).is_relative_to(folder)
    )
