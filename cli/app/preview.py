"""What the browser plays of a video, whatever it is: H.264 of the same frames at the same times, upright, and
these times, so that a frame's number on the page is that of the annotations.
"""

import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from aqa_cache.disk.atomic import replacing
from aqa_cache.errors import AqaError
from aqa_cache.video.decoding import decode
from aqa_cache.video.probing import expected_frames

_LARGEST_SIDE = 960  # pixels
_BASE = Fraction(1, 90_000)
_STEP = Fraction(1, 25)  # seconds between frames where the source has no times
MOST_FRAMES = 1_000_000


def write_preview(video: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    """Write `TARGET.mp4`, and `TARGET.json`: `times` of the frames, in seconds from the first, and the size.

    Args:
        progress: told how many frames are done, and how many there may be, 0 if that is not known.

    Raises:
        AqaError: the video cannot be decoded, has too many frames, or nothing can be written.
    """
    import av

    total = expected_frames(video)
    times: list[float] = []
    with (
        replacing(target.with_suffix(".mp4")) as temporary,
        av.open(str(temporary), "w", format="mp4") as out,
    ):
        stream = None
        for frame in decode(video, threads=1):
            if frame.index >= MOST_FRAMES:
                raise AqaError(f"{video.name}: has more than {MOST_FRAMES:,} frames; cut it into parts")
            picture = av.VideoFrame.from_ndarray(frame.rgb(), "rgb24")
            if stream is None:
                width, height = _size(picture.width, picture.height)
                # A keyframe every 12 frames and none that waits for later ones: stepping is quick.
                stream = out.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "23"})
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.codec_context.gop_size, stream.codec_context.max_b_frames = 12, 0
                stream.codec_context.thread_count = 1
                stream.time_base = stream.codec_context.time_base = _BASE
                first = frame.pts_seconds
            seconds = frame.pts_seconds - first
            if not math.isfinite(seconds):
                seconds = float(frame.index * _STEP)
            if times and seconds <= times[-1]:
                seconds = times[-1] + float(_BASE)
            times.append(seconds)
            picture = picture.reformat(width, height, "yuv420p")
            picture.pts, picture.time_base = round(Fraction(seconds) / _BASE), _BASE
            out.mux(stream.encode(picture))
            progress(len(times), total)
        assert stream is not None  # a video without a frame is a VideoError
        out.mux(stream.encode(None))
    with replacing(target.with_suffix(".json")) as temporary:
        said = {"times": [round(time, 6) for time in times], "width": width, "height": height}
        temporary.write_text(json.dumps(said))


def _size(width: int, height: int) -> tuple[int, int]:
    """Even numbers, as H.264 wants them."""
    scale = min(1.0, _LARGEST_SIDE / max(width, height))
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))
