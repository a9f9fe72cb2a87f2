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
    """Number of the first frame that is shown at or after a moment; at the end of the video, how many it has.

    Args:
        seconds: since the video's first frame, as players count them.
        stream: index of the video stream; None: the best one.

    Raises:
        VideoError: the moment is behind the end of the video; a folder of images, which have no times; or a
            video that cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        raise VideoError(path.name, "is a folder of images, which have no times; give numbers of frames")
    with opened(path, stream) as (container, video):
        try:
            times = index_frames(read_packets(path, container, video), video).times
            unit = video.time_base
            since = [
                float((time - times[0]) * unit) for time in (times[-2:] if len(times) > 1 else times * 2)
            ]
            _check_within(path, seconds, *since)
            return bisect.bisect_left(times, times[0] + math.ceil(Fraction(seconds) / unit))
        except Doubtful:
            pass
    number, first, last_two = 0, None, (0.0, 0.0)
    for frame in decode(path, stream):
        first = frame.pts_seconds if first is None else first
        last_two = last_two[1], frame.pts_seconds - first
        # Times are rounded to floating point; nothing lies between two frames' times by so little.
        if last_two[1] >= float(seconds) - 1e-6:
            return number
        number += 1
    _check_within(path, seconds, *last_two)
    return number


def _check_within(path: Path, seconds: Fraction | float, last_but_one: float, last: float) -> None:
    """Whether a moment lies in a video whose last two frames are shown at these, or up to a frame behind."""
    lasts = last + (last - last_but_one)
    if float(seconds) > lasts + max(last - last_but_one, 1e-6):
        raise VideoError(path.name, f"lasts {lasts:.3f} s, and {float(seconds):g} s is behind its end")
