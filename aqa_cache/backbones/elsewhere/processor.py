"""What a model's processor JSON says of its input, as our preprocessing."""

from collections.abc import Mapping
from typing import Any

from ...clips.preprocess import Preprocessing
from ...clips.records import check_preprocessing
from ...errors import AqaError


def preprocessing_of(processor: Mapping[str, Any], where: str) -> Preprocessing:
    """The preprocessing that a processor's record describes.

    Args:
        processor: keys `size`, `crop_size`, `do_center_crop`, `do_rescale`, `rescale_factor`, `do_normalize`,
            `image_mean`, `image_std`, read as transformers' processors, which are not used, read them.
        where: what it is of, for messages.

    Returns:
        Resized with a low-pass filter, as the processors do; always bilinear, also where they are bicubic.
        Without a crop of their own the middle of the resized frame is cut out.

    Raises:
        AqaError: something is lacking, or is of no use here.
    """
    try:
        resize, crop = _sizes(processor)
        scale = processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 1
        normal = processor.get("do_normalize", True)
        record = {
            "resize": resize,
            "crop": crop,
            "mean": processor["image_mean"] if normal else [0.0, 0.0, 0.0],
            "std": processor["image_std"] if normal else [1.0, 1.0, 1.0],
            # to the last digit, where it is 1/255 as JSON has it
            "value_range": round(255 * scale, 9),
            "channel_order": "rgb",
            "antialias": True,
        }
        check_preprocessing(record)
    except (AqaError, KeyError, TypeError, ValueError, OverflowError) as error:
        said = f"{error} is lacking" if isinstance(error, KeyError) else str(error)
        raise AqaError(
            f"{where}: what it says of its input cannot be used ({said}); expected size, crop_size,"
            " image_mean and image_std, as transformers writes them"
        ) from None
    return Preprocessing.from_record(record)


def _sizes(processor: Mapping[str, Any]) -> tuple[int | list[int], int]:
    """What frames are resized to, and the side of the square that is cut out."""
    size = processor["size"]
    if isinstance(size, int):
        size = {"shortest_edge": size}
    if "shortest_edge" in size:
        resize, least = size["shortest_edge"], size["shortest_edge"]
    else:
        resize = [size["height"], size["width"]]
        least = min(resize)
    if not processor.get("do_center_crop", "crop_size" in processor):
        return resize, least
    crop = processor["crop_size"]
    if not isinstance(crop, int):
        if crop["height"] != crop["width"]:
            raise ValueError(f"crop_size is {crop['height']}x{crop['width']}, expected a square")
        crop = crop["height"]
    return resize, crop
