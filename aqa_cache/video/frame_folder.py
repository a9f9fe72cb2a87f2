"""Frames stored as a folder of images, one per frame."""

import collections
import itertools
import re
from pathlib import Path

import numpy as np

from ..errors import VideoError, first_line, missing, some
from .orientation import AS_STORED, EXIF, Orientation

IMAGE_SUFFIXES = frozenset([".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"])
# Pillow goes by content, not by name, and starts other programs for some formats (Ghostscript for EPS).
_FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
_ORIENTATION, _BITS_PER_SAMPLE, _PHOTOMETRIC = 0x0112, 0x0102, 0x0106  # tags of EXIF and TIFF
_NUMBER = re.compile("[0-9]+")
_BETTER_NAMES = "such as 000001.jpg, 000002.jpg, ..."


def list_images(folder: Path) -> list[Path]:
    """The images of a folder in order: by the one number in which their names differ, or by the number that
    they all end in; where neither is there, by name.

    Raises:
        VideoError: no images; names that leave the order open, since they do not follow one pattern or their
            numbers cannot be told apart; two images of one number, or numbers at the end with a gap.
    """
    try:
        images = sorted(
            child
            for child in folder.iterdir()
            if child.suffix.lower() in IMAGE_SUFFIXES and not child.name.startswith(".")
        )
    except OSError as error:
        raise VideoError(str(folder), f"cannot be read ({error.strerror})") from None
    if not images:
        known = " ".join(sorted(IMAGE_SUFFIXES))
        raise VideoError(
            str(folder), f"holds no images ({known}); expected one per frame, such as 000001.jpg"
        )
    numbers = [[int(number) for number in _NUMBER.findall(image.stem)] for image in images]
    if not any(numbers):
        return images
    _check_pattern(folder, images)
    differing = [place for place, values in enumerate(zip(*numbers, strict=True)) if len(set(values)) > 1]
    at_end = images[0].stem[-1] in "0123456789"
    if not at_end and len(differing) > 1:
        in_order = [image for _, image in sorted(zip(numbers, images, strict=True))]
        if in_order != images:
            raise VideoError(
                folder.name,
                f"has images that differ in more than one number ({images[0].name}, {images[1].name}), so"
                f" their order is not known; name them by their frames' numbers, {_BETTER_NAMES}",
            )
        return images
    place = differing[0] if len(differing) == 1 else -1
    ordered = sorted((number[place], image) for number, image in zip(numbers, images, strict=True))
    for (number, image), (following, next_image) in itertools.pairwise(ordered):
        if number == following:
            raise VideoError(
                folder.name,
                f"has two images of number {number}, {image.name} and {next_image.name}; one image per frame"
                " is expected, move out what is no frame",
            )
        if at_end and following != number + 1:
            raise VideoError(
                folder.name,
                f"has images that jump from {image.name} to {next_image.name}, so frames cannot be numbered;"
                " one image per frame, numbered without gaps, is expected",
            )
    return [image for _, image in ordered]


def _check_pattern(folder: Path, images: list[Path]) -> None:
    """Refuse images whose names differ in more than their numbers: a poster, a copy, a second series.

    They could be told from the frames only by guessing, and one picture too many shifts every frame after it.
    """
    patterns = [_NUMBER.sub("#", image.stem).casefold() for image in images]
    usual = collections.Counter(pattern for pattern in patterns if "#" in pattern).most_common(1)[0][0]
    strays = [image.name for image, pattern in zip(images, patterns, strict=True) if pattern != usual]
    if strays:
        like = images[patterns.index(usual)].name
        raise VideoError(
            folder.name,
            f"has {some(strays, 3)} beside {len(images) - len(strays)} images named like {like}, so the order"
            " of its frames is not known; move out what is no frame, and name frames by number,"
            f" {_BETTER_NAMES}",
        )


def read_image(path: Path) -> np.ndarray:
    """`(height, width, 3)` uint8 RGB, upright (EXIF orientation applied); of 16 bits the upper eight.
    Transparency is left out.

    Raises:
        VideoError: not an image, a damaged one, or one of values whose white is not known (floating point,
            32 bits, signed).
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except Exception as error:
        raise missing("pillow", "reading frames stored as images", error) from None
    try:
        # Not by its path: Pillow 13.0 then maps uncompressed TIFF into memory, and scrambles what it turns.
        with path.open("rb") as file, Image.open(file, formats=_FORMATS) as image:
            image.load()
            return _orientation(image).upright(_eight_bit_rgb(path, image))
    except VideoError:
        raise
    except UnidentifiedImageError:
        why = f"is none of {', '.join(_FORMATS)}"
    except OSError as error:
        why = error.strerror or first_line(error)
    except Exception as error:  # of damaged content Pillow raises nearly anything
        why = first_line(error)
    raise VideoError(path.parent.name, f"has an image that cannot be read, {path.name} ({why}); get it again")


def _eight_bit_rgb(path: Path, image) -> np.ndarray:
    if image.mode == "F" or image.mode.startswith("I"):
        tags = getattr(image, "tag_v2", {})
        # Older versions of Pillow give 16-bit PNG as "I".
        sixteen = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")
        if not sixteen or tags.get(_BITS_PER_SAMPLE, (16,)) != (16,) or tags.get(_PHOTOMETRIC, 1) != 1:
            raise VideoError(
                path.parent.name,
                f"has an image of mode {image.mode}, {path.name}; expected 8 or 16 bits per channel,"
                " unsigned, with white at the largest value; convert its images",
            )
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    image.info.pop("transparency", None)  # Pillow warns of some kinds, and leaves them out all the same
    return np.asarray(image.convert("RGB"))


def _orientation(image) -> Orientation:
    if image.format == "TIFF":
        return AS_STORED  # Pillow has turned it while loading
    try:
        return EXIF.get(image.getexif().get(_ORIENTATION), AS_STORED)
    except Exception:  # damaged EXIF does not damage the picture
        return AS_STORED
