"""Where an action starts or ends, as a person says it."""

import re
from fractions import Fraction
from pathlib import Path

from aqa_cache.errors import AqaError

_SECONDS = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,9})?)\s*s")


def frame_of(path: Path, moment: int | str | None, stream: int | None = None) -> int | None:
    """The frame that a moment means; None where none is given.

    Args:
        path: of the video.
        moment: a number of a frame, or seconds since the first, such as `12.4s`: the first frame that is
            shown from then on.

    Raises:
        AqaError: it is neither, or the video has no times.
    """
    if moment is None:
        return None
    text = str(moment).strip()
    if text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    if (found := _SECONDS.fullmatch(text)) is None:
        raise AqaError(f"{text!r} is neither a number of frames from 0 up nor seconds such as 12.4s")
    from aqa_cache.video.moments import frame_at

    return frame_at(path, Fraction(found[1]), stream)
