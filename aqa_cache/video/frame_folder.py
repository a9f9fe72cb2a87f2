"""Frames stored as a folder of images, one per frame."""

import collections
import itertools
import re
from pathlib import Path

import numpy as np

from ..errors import VideoError, missing, some

IMAGE_SUFFIXES = frozenset([".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"])
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
    """`(height, width, 3)` uint8 RGB.

    Raises:
        VideoError: not an image, or a damaged one.
    """
    try:
        from PIL import Image
    except Exception as error:
        raise missing("pillow", "reading frames stored as images", error) from None
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise VideoError(f"{path.parent.name}/{path.name}", f"cannot be read as an image ({error})") from None
