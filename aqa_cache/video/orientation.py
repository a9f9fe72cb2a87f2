"""How stored pixels are to be shown: the display matrix of a video, the EXIF orientation of an image."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways in which a camera can be held or mirrored.

    Args:
        quarter_turns: clockwise, 0 to 3, after the mirroring.
        mirrored: top and bottom change places first.
    """

    quarter_turns: int = 0
    mirrored: bool = False

    def upright(self, stored: np.ndarray) -> np.ndarray:
        """The picture as it is shown; a view.

        Shape:
            - stored: `(height, width, channels)`. Output: the same, or `(width, height, channels)` after an
              odd number of quarter turns.
        """
        if self.mirrored:
            stored = stored[::-1]
        return np.rot90(stored, -self.quarter_turns) if self.quarter_turns else stored


AS_STORED = Orientation()
EXIF = {
    1: AS_STORED,
    2: Orientation(2, mirrored=True),
    3: Orientation(2),
    4: Orientation(0, mirrored=True),
    5: Orientation(1, mirrored=True),
    6: Orientation(1),
    7: Orientation(3, mirrored=True),
    8: Orientation(3),
}
"""By the value of the EXIF tag 0x0112, as CIPA DC-008 numbers them."""


def of_display_matrix(matrix: Sequence[int] | np.ndarray) -> Orientation:
    """What a display matrix asks for. Scale and translation are left out; within one degree of a quarter turn
    is a quarter turn; a singular matrix, which shows nothing, asks for nothing.

    Args:
        matrix: nine integers a b u c d v x y w, row by row; a stored pixel (p, q), q counted downwards, is
            shown at (ap + cq + x, bp + dq + y).

    Raises:
        ValueError: no multiple of a quarter turn; the error says which angle.

    Source: ISO/IEC 14496-12, 6.2.2; the angle as `av_display_rotation_get` of libavutil computes it.
        Differs: ffmpeg rounds the angle to whole degrees before it looks, so up to half a degree.
    """
    a, b, _, c, d = (int(value) for value in matrix[:5])
    if a * d == b * c:
        return AS_STORED
    degrees = math.degrees(math.atan2(b / math.hypot(b, d), a / math.hypot(a, c)))
    turns = round(degrees / 90)
    if abs(degrees - 90 * turns) > 1:
        raise ValueError(f"is rotated by {degrees:.4g} degrees, expected a multiple of 90")
    return Orientation(turns % 4, mirrored=a * d < b * c)


def of_picture(picture) -> Orientation:
    """Of a decoded `av.VideoFrame`, by its display matrix; without one, as it is stored.

    Raises:
        ValueError: as `of_display_matrix`.
    """
    from av.sidedata.sidedata import SideDataContainer

    # Not `picture.side_data`: PyAV raises at the first kind of side data that its list lacks (EXIF in MJPEG,
    # views in MV-HEVC). What was put in before it can still be had.
    side_data = SideDataContainer.__new__(SideDataContainer)
    with contextlib.suppress(ValueError):
        side_data.__init__(picture)
    matrix = side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return Orientation(round(-picture.rotation / 90) % 4)  # not 0 where the matrix came after such a kind
    return of_display_matrix(np.frombuffer(matrix, np.int32, 9))
