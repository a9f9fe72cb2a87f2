"""A file opened as a feature cache: what is in it, of which types, shapes and sizes. Everything that is read
of it afterwards is known to lie in the file and to fit into memory.
"""

import math
from collections import Counter
from pathlib import Path

import h5py

from ..disk.hdf5 import DAMAGE, Member, integer_attribute, members, most_bytes, open_hdf5, text_attribute
from ..errors import CacheError, first_line, some
from .schema import (
    ATTRIBUTES,
    DATASETS,
    FEATURES,
    FIRST_FRAME,
    FORMAT,
    FRAMES,
    GROUPS,
    MOST_DIM,
    MOST_TEXT_BYTES,
    PTS_SECONDS,
    TEXT,
    VERSION,
    VIDEO_SHA256,
)

_TYPES = {
    "float16": (h5py.h5t.IEEE_F16LE, h5py.h5t.IEEE_F16BE),
    "float32": (h5py.h5t.IEEE_F32LE, h5py.h5t.IEEE_F32BE),
    "float64": (h5py.h5t.IEEE_F64LE, h5py.h5t.IEEE_F64BE),
    "int64": (h5py.h5t.STD_I64LE, h5py.h5t.STD_I64BE),
}
# Of every sample at least its place in the index is in the file.
_SAMPLE_BYTES = 8


def check_cache(path: Path) -> None:
    """Whether a file is a cache that this program can read, by its attributes and what is in it; quick for
    any size.

    Raises:
        CacheError: it is not.
    """
    open_cache(path).close()


def open_cache(path: Path) -> h5py.File:
    """Open a feature cache.

    Raises:
        CacheError: it is none, newer than this program, truncated, incomplete, damaged, or holds what no
            cache does.
        CacheBusy: another program has it open for writing.
    """
    if not path.exists():
        raise CacheError(f"{path}: no such file; make it with: aqa-extract --backbone s3d VIDEOS {path}")
    if not path.is_file():
        raise CacheError(
            f"{path}: is {'a folder' if path.is_dir() else 'no plain file'}, expected a feature cache (an"
            " HDF5 file written by aqa-extract)"
        )
    try:
        file = open_hdf5(path)
    except PermissionError as error:
        raise CacheError(f"{path}: cannot be read ({first_line(error)}); see that you may read it") from None
    except DAMAGE as error:
        reason = first_line(error)
        if "truncated" in reason:
            raise CacheError(
                f"{path}: is truncated, a copy or download stopped early ({reason}); copy it again"
            ) from None
        raise CacheError(
            f"{path}: is not an HDF5 file ({reason}); expected a feature cache written by aqa-extract"
        ) from None
    try:
        _check_format(path, file)
        _check_members(path, file)
    except DAMAGE as error:
        file.close()
        raise CacheError(
            f"{path}: cannot be read ({first_line(error)}); the file is damaged, restore it from a copy or"
            " extract again"
        ) from None
    except BaseException:
        file.close()
        raise
    return file


def broken(path: Path, what: str) -> CacheError:
    """That a file is not what docs/schema.md says, in words."""
    return CacheError(
        f"{path}: does not keep to docs/schema.md ({what}); it is damaged or was written by another program,"
        " extract again"
    )


def _check_format(path: Path, file: h5py.File) -> None:
    try:
        format_name = text_attribute(file, "format") if "format" in file.attrs else None
    except ValueError:
        format_name = "that is no text"
    if format_name != FORMAT:
        frames = (
            "; these are decoded frames of end-to-end training, which may be deleted"
            if format_name == FRAMES
            else ""
        )
        raise CacheError(
            f"{path}: is an HDF5 file of format {f'{format_name!r:.60}'}, expected {FORMAT!r} (see"
            f" docs/schema.md){frames}"
        )
    try:
        version = integer_attribute(file, "version") if "version" in file.attrs else 0
    except ValueError:
        raise CacheError(
            f"{path}: has a format version that is no number, expected a whole number; extract again"
        ) from None
    if version > VERSION:
        raise CacheError(
            f"{path}: has format version {version}, this program reads up to {VERSION}; upgrade aqa-cache"
        )
    if version < 1:
        raise CacheError(f"{path}: has format version {version}, expected 1 to {VERSION}; extract again")


def _check_members(path: Path, file: h5py.File) -> None:
    """Names, links, storage, types, shapes and sizes of everything in it."""
    found = {member.name: member for member in members(file)}
    if bad := next((member for member in found.values() if member.wrong), None):
        raise broken(path, f"{bad.name!r} {bad.wrong}")
    lacking = [f"attribute {name!r}" for name in ATTRIBUTES if name not in file.attrs]
    lacking += [f"dataset {name!r}" for name in DATASETS if name not in found]
    lacking += [f"group {name!r}" for name in GROUPS if not isinstance(file.get(name), h5py.Group)]
    if lacking:
        raise CacheError(f"{path}: lacks {some(lacking, 3)}; it is incomplete, extract again")
    columns = {name: TEXT for name in found if name.startswith(tuple(f"{group}/" for group in GROUPS))}
    ours = DATASETS | columns | ({VIDEO_SHA256: TEXT} if VIDEO_SHA256 in found else {})
    for name, dtypes in ours.items():
        _check_type(path, name, found[name].dataset, dtypes)
    _check_shapes(path, {name: found[name].dataset.shape for name in ours}, file.id.get_filesize())
    _check_sizes(path, [found[name] for name in ours if name != FEATURES], most_bytes(file))


def _check_type(path: Path, name: str, dataset: h5py.Dataset, dtypes: tuple[str, ...]) -> None:
    kind = dataset.id.get_type()
    if dtypes != TEXT:
        if not any(kind.equal(known) for dtype in dtypes for known in _TYPES[dtype]):
            raise broken(path, f"dataset {name!r} is {dataset.dtype.name}, expected {' or '.join(dtypes)}")
    elif not isinstance(kind, h5py.h5t.TypeStringID) or kind.is_variable_str():
        raise broken(path, f"dataset {name!r} is no text of fixed length")
    elif kind.get_size() > MOST_TEXT_BYTES:
        raise broken(
            path,
            f"dataset {name!r} has texts of {kind.get_size():,} bytes, expected up to {MOST_TEXT_BYTES:,}",
        )


def _check_shapes(path: Path, shapes: dict[str, tuple[int, ...] | None], file_bytes: int) -> None:
    """All samples are in every column, all rows in every column of clips."""
    samples, features = shapes["samples/sample_id"], shapes[FEATURES]
    if samples is None or len(samples) != 1 or samples[0] * _SAMPLE_BYTES > file_bytes:
        raise broken(path, f"{samples} samples in a file of {file_bytes:,} bytes")
    if features is None or len(features) != 2 or not 1 <= features[1] <= MOST_DIM:
        raise broken(path, f"features have shape {features}, expected (clips, dim)")
    for name, shape in shapes.items():
        rows = features[:1] if name in (FIRST_FRAME, PTS_SECONDS) else samples
        columns = 1 if name in ("samples/judges", "samples/offset", "samples/count") else 0
        if name != FEATURES and (shape is None or shape[:1] != rows or len(shape) != 1 + columns):
            raise broken(path, f"dataset {name!r} has shape {shape}, expected {rows}")
    if shapes["samples/offset"] != shapes["samples/count"]:
        raise broken(
            path, f"offset and count have shapes {shapes['samples/offset']}, {shapes['samples/count']}"
        )


def _check_sizes(path: Path, read_at_once: list[Member], most: int) -> None:
    total = sum(member.bytes for member in read_at_once)
    if total > most:
        raise broken(path, f"its index takes {total:,} bytes, expected up to {most:,} of a file of this size")
    for member in read_at_once:
        if lost := lost_blocks(member.dataset):
            raise CacheError(
                f"{path}: dataset {member.name!r} cannot be read ({len(lost)} of its chunks cannot be found);"
                " the file is damaged, restore it from a copy or extract again"
            )


def lost_blocks(dataset: h5py.Dataset) -> set[int]:
    """First rows of the blocks of a dataset of which a chunk is not in the index of chunks, or is there
    without its checksum.

    HDF5 reads zeros or empty text there and reports nothing.
    """
    if not dataset.chunks:
        return set()
    creation = dataset.id.get_create_plist()
    filters = [creation.get_filter(number)[0] for number in range(creation.get_nfilters())]
    checksum = 1 << filters.index(h5py.h5z.FILTER_FLETCHER32) if h5py.h5z.FILTER_FLETCHER32 in filters else 0
    found: Counter[int] = Counter()

    def count(chunk) -> None:
        if not chunk.filter_mask & checksum:
            found[chunk.chunk_offset[0]] += 1

    dataset.id.chunk_iter(count)
    across = math.prod(
        math.ceil(size / chunk) for size, chunk in zip(dataset.shape[1:], dataset.chunks[1:], strict=True)
    )
    return {start for start in range(0, len(dataset), dataset.chunks[0]) if found[start] != across}
