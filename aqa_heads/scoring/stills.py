"""A few moments of samples, as small pictures."""

import io
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from aqa_cache.errors import AqaError, some

_log = logging.getLogger(__name__)

MOMENTS, _HEIGHT, _QUALITY = 3, 108, 80  # pictures of a sample; pixels; of JPEG


def sample_stills(names: Sequence[str], caches: Sequence[str], videos: Path) -> Mapping[str, Sequence[bytes]]:
    """Pictures of samples from their videos.

    Args:
        names: sample_ids.
        caches: the feature caches that say which frames of which video a sample is.
        videos: the folder that the videos lie in; nothing outside is opened.

    Returns:
        JPEG files by sample_id, in the order of time.
    """
    found, failed = {}, {}
    for name, (video, first, end) in _frames_of(names, caches).items():
        try:
            found[name] = _moments(_inside(videos, video), first, end)
        except AqaError as error:
            failed[name] = str(error)
    if failed:
        _log.info(f"No pictures of {len(failed)} sample(s): {some(list(failed.values()), 2)}")
    return found


def _frames_of(names: Sequence[str], caches: Sequence[str]) -> dict[str, tuple[str, int, int | None]]:
    """Video, first frame and end of the samples that a cache has."""
    from aqa_cache.cache_file.reader import FeatureCache

    found: dict[str, tuple[str, int, int | None]] = {}
    for path in caches:
        try:
            with FeatureCache(path) as cache:
                known = {sample.sample_id: sample for sample in cache.samples}
        except AqaError as error:
            _log.info(f"No pictures of samples of {path}: {error}")
            continue
        for name in names:
            if (sample := known.get(name)) is not None:
                found.setdefault(name, (sample.video, sample.start_frame or 0, sample.end_frame))
    return found


def _inside(videos: Path, video: str) -> Path:
    path = Path(os.path.normpath(videos / video))
    if not path.is_relative_to(os.path.normpath(videos)):
        raise AqaError(f"{video}: lies outside {videos}, where nothing is opened")
    return path


def _moments(path: Path, first: int, end: int | None) -> list[bytes]:
    from aqa_cache.video.probing import expected_frames

    last = (expected_frames(path) if end is None else end) - 1
    frames = [int(place) for place in np.linspace(first, max(first, last), MOMENTS + 2)[1:-1]]
    return list(pictures(path, frames, _small, _QUALITY).values())


def _small(width: int, height: int) -> tuple[int, int]:
    return max(1, round(width * _HEIGHT / height)), _HEIGHT


def pictures(
    path: Path,
    frames: Iterable[int],
    size: Callable[[int, int], tuple[int, int]],
    quality: int,
    stream: int | None = None,
) -> dict[int, bytes]:
    """Frames of a video as JPEG files, by their numbers in the order of time; those that it does not have are
    left out.

    Args:
        size: of a picture, from the width and height of the frame, in pixels.

    Raises:
        AqaError: the video cannot be read.
    """
    from PIL import Image

    from aqa_cache.video.decoding import decode

    found: dict[int, bytes] = {}
    if not (wanted := sorted(set(frames))):
        return found
    for frame in decode(path, stream, wanted=[(one, one + 1) for one in wanted]):
        if frame.index in wanted:
            image, content = Image.fromarray(frame.rgb()), io.BytesIO()
            image.resize(size(image.width, image.height)).save(content, "JPEG", quality=quality)
            found[frame.index] = content.getvalue()
    return found
