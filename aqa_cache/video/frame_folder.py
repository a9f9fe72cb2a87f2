"""Frames stored as a folder of images, one per frame."""

import itertools
import re
from pathlib import Path

import numpy as np

from ..errors import VideoError, missing

IMAGE_SUFFIXES = frozenset([".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"])


def list_images(folder: Path) -> list[Path]:
    """The images of a folder in order: by the number their names end in where they all have one, else by
    name.

    Raises:
        VideoError: no images, or numbers with a gap.
    """
    images = sorted(
        child
        for child in folder.iterdir()
        if child.suffix.lower() in IMAGE_SUFFIXES and not child.name.startswith(".")
    )
    if not images:
        known = " ".join(sorted(IMAGE_SUFFIXES))
        raise VideoError(
            str(folder), f"holds no images ({known}); expected one per frame, such as 000001.jpg"
        )
    numbers = [re.search(r"[0-9]+$", image.stem) for image in images]
    if not all(numbers):
        return images
    numbered = sorted((int(match[0]), image) for match, image in zip(numbers, images, strict=True))
    for (number, image), (following, next_image) in itertools.pairwise(numbered):
        if following != number + 1:
            raise VideoError(
                folder.name,
                f"has images that jump from {image.name} to {next_image.name}, so frames cannot be numbered;"
                " one image per frame, numbered without gaps, is expected",
            )
    return [image for _, image in numbered]


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
