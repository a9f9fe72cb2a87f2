"""Keypoints of animal trackers that people use for people: DeepLabCut's CSV files, SLEAP's analysis files."""

import math
from pathlib import Path

import numpy as np

from ..disk.csv_file import read_rows
from ..disk.hdf5 import DAMAGE, members, open_hdf5, read_values
from ..errors import AqaError, first_line
from .track import Track, check_size

_MOST_BYTES = 1 << 29
_DEEPLABCUT = "expected the header rows scorer, bodyparts and coords of DeepLabCut"


def read_deeplabcut(path: Path) -> Track:
    """A CSV of DeepLabCut, of one or several individuals: x, y and likelihood of every body part.

    Raises:
        AqaError: whose text is the reason alone.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"is larger than {_MOST_BYTES:,} bytes")
        rows = [cells for _, cells in read_rows(path)]
    except (OSError, ValueError) as error:
        raise AqaError(f"cannot be read ({first_line(error)})") from None
    header = {}
    while rows and rows[0][0] in ("scorer", "individuals", "bodyparts", "coords"):
        name, *cells = rows.pop(0)
        header[name] = cells
    if not {"bodyparts", "coords"} <= header.keys() or not rows:
        raise AqaError(f"has no such rows or no frames, {_DEEPLABCUT}")
    parts, axes = header["bodyparts"], header["coords"]
    individuals = header.get("individuals", ["one"] * len(parts))
    joints, people = list(dict.fromkeys(parts)), list(dict.fromkeys(individuals))
    if any(len(row) != len(parts) + 1 for row in rows) or not len(parts) == len(axes) == len(individuals):
        raise AqaError(f"its rows do not have {len(parts) + 1} cells each, {_DEEPLABCUT}")
    check_size(len(rows), len(people), len(joints))
    values = np.full((len(rows), len(people), len(joints), 3), np.nan)
    for column, (who, part, axis) in enumerate(zip(individuals, parts, axes, strict=True), 1):
        if axis not in ("x", "y", "likelihood"):
            raise AqaError(f"has the coordinate {axis!r}, expected x, y and likelihood")
        place = ("x", "y", "likelihood").index(axis)
        cells = [_number(row[column], number) for number, row in enumerate(rows)]
        values[:, people.index(who), joints.index(part), place] = cells
    return Track(values[..., :2], tuple(joints), values[..., 2])


def _number(cell: str, frame: int) -> float:
    try:
        value = float(cell or "nan")
    except ValueError:
        raise AqaError(f"frame {frame} has {cell!r}, expected a number") from None
    if math.isinf(value):
        raise AqaError(f"frame {frame} has {cell!r}, expected a finite number")
    return value


def read_sleap(path: Path) -> Track:
    """An analysis file of SLEAP (`File > Export Analysis HDF5`): `tracks`, `node_names`, `point_scores`.

    Raises:
        AqaError: whose text is the reason alone.
    """
    try:
        with open_hdf5(path) as file:
            found = {member.name: member for member in members(file)}
            if not {"tracks", "node_names"} <= found.keys():
                raise AqaError(
                    "has no tracks and node_names, expected SLEAP's analysis file; of DeepLabCut give the"
                    " .csv, whose .h5 holds Python objects"
                )
            wanted = [name for name in ("tracks", "node_names", "point_scores") if name in found]
            if wrong := next((name for name in wanted if found[name].dataset is None), None):
                raise AqaError(f"{wrong} {found[wrong].wrong}")
            if found["node_names"].dataset.dtype.kind != "S" or found["node_names"].dataset.ndim != 1:
                raise AqaError("its node_names are no list of texts of fixed length, as SLEAP writes them")
            tracks, names, scores = (
                read_values(found[name].dataset) if name in found else None
                for name in ("tracks", "node_names", "point_scores")
            )
    except DAMAGE as error:
        raise AqaError(f"cannot be read ({first_line(error)})") from None
    joints = tuple(name.decode("utf-8", "replace") for name in names.tolist())
    if tracks.dtype.kind != "f" or tracks.ndim != 4:
        raise AqaError(
            f"its tracks are {tracks.dtype} of shape {tracks.shape}, expected four axes of numbers"
        )
    if tracks.shape[1:3] == (2, len(joints)):
        positions, order = tracks.transpose(3, 0, 2, 1), (2, 0, 1)
    elif tracks.shape[2:] == (len(joints), 2):
        positions, order = tracks, (0, 1, 2)
    else:
        raise AqaError(
            f"its tracks have the shape {tracks.shape}, expected (tracks, 2, {len(joints)}, frames) or"
            f" (frames, tracks, {len(joints)}, 2)"
        )
    if scores is not None and (scores.ndim != 3 or scores.transpose(order).shape != positions.shape[:3]):
        raise AqaError(f"its point_scores have the shape {scores.shape}, which is not that of its tracks")
    return Track(positions, joints, None if scores is None else scores.transpose(order))
