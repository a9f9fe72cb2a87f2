"""Keypoints as arrays of numpy's."""

from pathlib import Path

import numpy as np

from ..errors import AqaError
from ..exchange.feature_files import read_arrays
from .track import CONFIDENCE, Track

KEYPOINTS, JOINTS = "keypoints", "joints"

_EXPECTED = "expected (frames, joints, 2 or 3), or (frames, people, joints, 2 or 3)"


def read_array_file(path: Path, third: str | None = None) -> Track:
    """Keypoints of a `.npy`, or of a `.npz` with an array `keypoints`, if need be `confidence`
    `(frames, joints)`, and `joints`, their names.

    Args:
        third: what the third number of each joint is, `confidence` or `depth`; None: there must be none.

    Raises:
        AqaError: anything else, whose text is the reason alone.
    """
    arrays = read_arrays(path, 3)
    if len(arrays) > 1 and (unknown := arrays.keys() - {KEYPOINTS, CONFIDENCE, JOINTS}):
        raise AqaError(
            f"holds {', '.join(sorted(unknown))}, expected {KEYPOINTS}, and {CONFIDENCE} and {JOINTS} if need"
            " be"
        )
    joints = _names(arrays.pop(JOINTS, None))
    confidence = arrays.pop(CONFIDENCE, None)
    if len(arrays) != 1:
        raise AqaError(f"holds no {KEYPOINTS}, {_EXPECTED}")
    (positions,) = arrays.values()
    if positions.dtype.kind not in "fiu":
        raise AqaError(f"holds {positions.dtype}, expected numbers")
    if positions.ndim not in (3, 4) or positions.shape[-1] not in (2, 3) or not positions.size:
        raise AqaError(f"has the shape {positions.shape}, {_EXPECTED}")
    positions = positions.astype(np.float64)
    if confidence is not None and (
        confidence.dtype.kind not in "fiu" or confidence.ndim != positions.ndim - 1
    ):
        raise AqaError(
            f"its confidence is {confidence.dtype} of shape {confidence.shape}, expected a number for each"
            " joint"
        )
    if positions.ndim == 3:
        positions = positions[:, None]
        confidence = None if confidence is None else confidence[:, None]
    if positions.shape[-1] == 3 and third is None:
        raise AqaError("has three numbers a joint; say what the third is with --third confidence or depth")
    if positions.shape[-1] == 3 and third == CONFIDENCE:
        if confidence is not None:
            raise AqaError("has a confidence of its own and three numbers a joint; give --third depth")
        positions, confidence = positions[..., :2], positions[..., 2]
    if confidence is not None and confidence.shape != positions.shape[:3]:
        raise AqaError(
            f"its confidence is of {len(confidence)} frames and {confidence.shape[2]} joints, its keypoints"
            f" of {len(positions)} and {positions.shape[2]}"
        )
    if joints and len(joints) != positions.shape[2]:
        raise AqaError(f"names {len(joints)} joints and has {positions.shape[2]}")
    return Track(positions, joints, confidence)


def _names(array: np.ndarray | None) -> tuple[str, ...]:
    if array is None:
        return ()
    if array.dtype.kind not in "US" or array.ndim != 1:
        raise AqaError(f"its {JOINTS} are {array.dtype} of shape {array.shape}, expected a list of names")
    names = tuple(str(name) for name in array.astype(str))
    if len(set(names)) < len(names) or not all(name.strip() for name in names):
        raise AqaError(f"its {JOINTS} are {', '.join(names)}, expected different names")
    return names
