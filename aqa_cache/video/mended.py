"""Videos whose frames earlier versions of this program gave wrongly, known by a look at header or folder.

Decoding has a version, which the cache file keeps; docs/schema.md says what changed, and which of it can be
found by a look and which only by decoding.
"""

import functools
import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import VideoError
from .containers import promised_bytes, video_tracks
from .demuxers import OPTIONS
from .frame_folder import list_images

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

# Transport and program streams may begin anywhere.
_BEGIN_ANYWHERE = frozenset(["mpegts", "mpeg"])
# Profiles of H.264 whose sequence parameters say more of colour.
_HIGH_PROFILES = frozenset([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135])
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
            if any(_is_interlaced(one.name, bytes(one.extradata or b"")) for one in contexts if one):
                return _FIELDS
            first = next((packet for packet in container.demux(video=0) if packet.size), None)
            begins_anywhere = container.format.name in _BEGIN_ANYWHERE
            return _NO_KEYFRAME if first and not (first.is_keyframe or begins_anywhere) else None
    except (av.FFmpegError, IndexError):
        return None  # it cannot be decoded either


def _is_interlaced(codec: str, extradata: bytes) -> bool:
    """Whether a stream's parameters admit pictures that are fields.

    They do not say whether there are any, in which only its packets agree.
    """
    if codec == "h264":
        return any(not _only_frames(parameters) for parameters in _sequence_parameters(extradata))
    if codec == "mpeg2video":
        # The extension with number 1: four bits of number, eight of profile, one that says progressive.
        extensions = re.finditer(rb"\x00\x00\x01\xb5([\x10-\x1f])(.)", extradata, re.DOTALL)
        return any(not extension[2][0] & 0x08 for extension in extensions)
    return False


def _sequence_parameters(extradata: bytes) -> Iterator[bytes]:
    """Sequence parameter sets of H.264, from MP4's form of them or between start codes."""
    if extradata[:1] == b"\x01":
        place = 6
        for _ in range(extradata[5] & 31 if len(extradata) > 5 else 0):
            length = int.from_bytes(extradata[place : place + 2], "big")
            yield extradata[place + 2 : place + 2 + length]
            place += 2 + length
    else:
        yield from (unit for unit in extradata.split(b"\0\0\1") if unit and unit[0] & 31 == 7)


class _Bits:
    """Reads the bits of a parameter set; zeros behind its end."""

    def __init__(self, content: bytes):
        content = content.replace(b"\0\0\3", b"\0\0")  # bytes that keep start codes out
        self._value, self._left = int.from_bytes(content, "big"), 8 * len(content)

    def bits(self, count: int) -> int:
        self._left -= count
        return (self._value >> self._left if self._left >= 0 else 0) & ((1 << count) - 1)

    def number(self) -> int:
        """An Exp-Golomb code."""
        zeros = 0
        while not self.bits(1) and self._left > 0:
            zeros += 1
        return (1 << zeros) - 1 + self.bits(zeros)


def _only_frames(parameters: bytes) -> bool:
    """`frame_mbs_only_flag` of a sequence parameter set (ITU-T H.264, 7.3.2.1.1)."""
    read = _Bits(parameters[1:])
    profile = read.bits(8)
    read.bits(16)
    read.number()
    if profile in _HIGH_PROFILES:
        chroma = read.number()
        if chroma == 3:
            read.bits(1)
        read.number(), read.number(), read.bits(1)
        if read.bits(1):
            for place in range(8 if chroma != 3 else 12):
                if read.bits(1):
                    _skip_scaling_list(read, 16 if place < 6 else 64)
    read.number()
    order = read.number()
    if order == 0:
        read.number()
    elif order == 1:
        read.bits(1), read.number(), read.number()
        for _ in range(min(read.number(), 255)):
            read.number()
    read.number(), read.bits(1), read.number(), read.number()
    return bool(read.bits(1))


def _skip_scaling_list(read: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            code = read.number()
            following = (last + (-1 if code % 2 == 0 else 1) * ((code + 1) // 2)) % 256
        last = following or last


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
