"""From seconds to frame numbers."""

import bisect
import math
from fractions import Fraction
from pathlib import Path

from ..errors import VideoError
from .decoding import decode
from .frame_index import Doubtful, index_frames
from .opening import opened
from .packets import read_packets


def frame_at(path: str | Path, seconds: Fraction | float, stream: int | None = None) -> int:
    """Number of the first frame that is shown at or after a moment; where the video ends before, how many it
    has.

    Args:
        seconds: since the video's first frame, as players count them.
        stream: index of the video stream; None: the best one.

    Raises:
        VideoError: a folder of images, which have no times; or a video that cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        raise VideoError(path.name, "is a folder of images, which have no times; give numbers of frames")
    with opened(path, stream) as (container, video):
        try:
            times = index_frames(read_packets(path, container, video), video).times
            return bisect.bisect_left(times, times[0] + math.ceil(Fraction(seconds) / video.time_base))
        except Doubtful:
            pass
    number, first = 0, None
    for frame in decode(path, stream):
        first = frame.pts_seconds if first is None else first
        # Times are rounded to floating point; nothing lies between two frames' times by so little.
        if frame.pts_seconds - first >= float(seconds) - 1e-6:
            break
        number += 1
    return number
