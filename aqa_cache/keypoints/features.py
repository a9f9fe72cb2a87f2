"""Features of joints over time: rows for clips, and one row for a whole sample."""

import numpy as np

from ..errors import AqaError
from .skeletons import Anchors

COEFFICIENTS = 50
CLIPS, DCT, DCT_TORSO = FORMS = "clips", "dct", "dct-torso"


def torso_length(positions: np.ndarray, anchors: Anchors) -> float:
    """The median distance between shoulders and hips, in the unit of the positions.

    Raises:
        AqaError: it is 0.
    """
    shoulders = positions[:, list(anchors.shoulders)].mean(axis=1)
    hips = positions[:, list(anchors.hips)].mean(axis=1)
    length = float(np.median(np.linalg.norm(shoulders - hips, axis=1)))
    if not length > 0:
        raise AqaError("its torso is 0 long in most frames: shoulders and hips lie in one point")
    return length


def clip_row(positions: np.ndarray, anchors: Anchors, torso: float) -> np.ndarray:
    """What the joints do in one clip: mean and standard deviation, over its frames, of where they are about
    the hips, of their velocities there, and of the hips' own velocity, in torso lengths and per frame.

    Shape:
        - positions: `(frames, joints, axes)`, at least two frames.
        - Output: `(2 * axes * (2 * joints + 1),)` float32: means, then standard deviations; of each the
          positions joint by joint, the velocities joint by joint, the hips' velocity.
    """
    hips = positions[:, list(anchors.hips)].mean(axis=1, keepdims=True) / torso
    about = positions / torso - hips
    parts = [about, np.diff(about, axis=0), np.diff(hips, axis=0)]
    means = [part.mean(axis=0).ravel() for part in parts]
    spreads = [part.std(axis=0).ravel() for part in parts]
    return np.concatenate([*means, *spreads]).astype(np.float32)


def dct_row(positions: np.ndarray, anchors: Anchors, pieces: int = 1) -> np.ndarray:
    """The magnitudes of the first 50 coefficients of each joint's series about the head.

    The head's own series are zeros and stay in. A piece with fewer than 50 frames has as many coefficients,
    the others are zeros.

    Args:
        pieces: equal parts of the sample, each transformed for itself.

    Shape:
        - positions: `(frames, joints, axes)`.
        - Output: `(pieces * joints * axes * 50,)` float32; piece, joint, axis, coefficient.

    Raises:
        AqaError: fewer frames than pieces.

    Source: Pirsiavash, Vondrick & Torralba, ECCV 2014: DCT-II, orthonormal, of 26 parts of a box each, their
    centres relative to the head; one piece in diving, ten in figure skating; no scaling of any kind.
    """
    from scipy.fft import dct

    if len(positions) < pieces:
        raise AqaError(f"has {len(positions)} frames, too few for {pieces} pieces; give a smaller --pieces")
    about = positions - positions[:, anchors.head : anchors.head + 1]
    rows = []
    for piece in np.array_split(about, pieces):
        series = np.abs(dct(piece, type=2, norm="ortho", axis=0)[:COEFFICIENTS])
        padded = np.zeros((COEFFICIENTS, *series.shape[1:]))
        padded[: len(series)] = series
        rows.append(np.moveaxis(padded, 0, -1).ravel())
    return np.concatenate(rows).astype(np.float32)
