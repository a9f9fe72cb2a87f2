"""Videos whose frames earlier versions of this program gave wrongly, known by a look at header or folder.

Decoding has a version, which the cache file keeps; docs/schema.md says what changed, and which of it can be
found by a look and which only by decoding.
"""

import functools
import re
from pathlib import Path

from ..errors import VideoError
from .demuxers import BEGIN_ANYWHERE, OPTIONS
from .fields import admits_fields
from .frame_folder import list_images
from .layout.mp4 import video_tracks
from .layout.promised import promised_bytes

DECODING = 2  # of this program's frames; caches that do not say have those of 1

_FIELDS = "is interlaced, and if it is coded by fields its frames were counted wrongly"
_MIRRORED = "is shown mirrored, and its frames were not"
_NO_KEYFRAME = "does not begin with a keyframe, and its frames were numbered without those that are lost"
_CUT = "is shorter than its header says, which was not noticed"
_AVI = "is AVI, whose clip times came late"
_OPEN = "has images whose names leave their order open (a stray image, or two series), and it was guessed"
_ORDER = "has numbers in the middle of its images' names, which were not their order"
_DEEP = "has images of 16 bits or floating point, which came out white or black"
_EXIF = "has images with an EXIF orientation, which was not applied"

_EXIF_ORIENTATION = 0x0112


def why_mended(path: Path) -> str | None:
    """Why features that were made of a video with decoding version 1 may be wrong, to follow its name; None
    where they are right, or nothing can be seen.

    Looks at headers, the first packet, or the names and headers of a folder's images, and decodes nothing. A
    video is looked at once while its size and time stay.
    """
    try:
        stat = path.stat()
        return _look(path, stat.st_size, stat.st_mtime_ns)
    except OSError:
        return None


@functools.cache
def _look(path: Path, _size: int, _changed: int) -> str | None:
    return _look_at_folder(path) if path.is_dir() else _look_at_file(path)


def _look_at_file(path: Path) -> str | None:
    promised = promised_bytes(path)
    if promised is not None and promised > path.stat().st_size:
        return _CUT
    if any(a * d - b * c < 0 for a, b, c, d in (track.matrix for track in video_tracks(path))):
        return _MIRRORED
    import av

    try:
        with av.open(f"file:{path}", metadata_errors="replace", container_options=OPTIONS) as container:
            if container.format.name == "avi":
                return _AVI
            contexts = [video.codec_context for video in container.streams.video]
            if any(admits_fields(one.name, one.extradata) for one in contexts if one):
                return _FIELDS
            first = next((packet for packet in container.demux(video=0) if packet.size), None)
            begins_anywhere = container.format.name in BEGIN_ANYWHERE
            return _NO_KEYFRAME if first and not (first.is_keyframe or begins_anywhere) else None
    except (av.FFmpegError, IndexError):
        return None  # it cannot be decoded either


def _look_at_folder(folder: Path) -> str | None:
    try:
        images = list_images(folder)
    except VideoError:
        return _OPEN
    if images != _as_in_version_1(images):
        return _ORDER
    return next((why for image in images if (why := _look_at_image(image))), None)


def _as_in_version_1(images: list[Path]) -> list[Path]:
    """In the order of the number that all names end in; else by name."""
    by_name = sorted(images)
    numbers = [re.search("[0-9]+$", image.stem) for image in by_name]
    if not all(numbers):
        return by_name
    return [image for _, image in sorted((int(number[0]), image) for number, image in zip(numbers, by_name))]


def _look_at_image(path: Path) -> str | None:
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode == "F" or image.mode.startswith("I"):
                return _DEEP
            turned = image.format != "TIFF" and image.getexif().get(_EXIF_ORIENTATION, 1) != 1
            return _EXIF if turned else None
    except Exception:  # of damaged content Pillow raises nearly anything; decoding will say it
        return None
