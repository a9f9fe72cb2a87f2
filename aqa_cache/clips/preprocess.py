"""From decoded frames to a backbone's input: resize and crop per frame, normalise per batch.

Resize and crop run on the CPU on uint8, so that a feature does not depend on the device that computed it.
"""

import functools
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, cast

import numpy as np
import torch

from ..errors import AqaError
from ..short_repr import short_repr
from .records import check_preprocessing


@dataclass(frozen=True)
class Preprocessing:
    """What a set of weights expects of its input. It belongs to the weights, not to the backbone.

    Args:
        resize: (height, width) in pixels, whatever the aspect ratio; or one number for the shorter side,
            which keeps it.
        crop: side of the square cut from the centre, in pixels.
        mean, std: subtracted and divided by, per channel in `channel_order`, in units of `value_range`.
        value_range: what the pixel value 255 becomes before the mean is subtracted: 1 or 255.
        channel_order: `rgb` or `bgr`, the order the network wants.
        antialias: bilinear interpolation with (Pillow) or without (torchvision's video presets) a low-pass
            filter.

    Source: of each record, see `aqa_cache.backbones.key_layouts`.
    """

    resize: tuple[int, int] | int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    value_range: float = 1.0
    channel_order: str = "rgb"
    antialias: bool = False

    __repr__ = short_repr

    def at_size(self, size: int | None) -> "Preprocessing":
        """The same for another crop size; the resize scales along, so that the field of view stays.

        Raises:
            AqaError: `size` is below 32 pixels.
        """
        if size is None or size == self.crop:
            return self
        if size < 32:
            raise AqaError(f"size is {size} pixels, it must be at least 32")
        resize = (
            round(self.resize * size / self.crop)
            if isinstance(self.resize, int)
            else (round(self.resize[0] * size / self.crop), round(self.resize[1] * size / self.crop))
        )
        return replace(self, resize=resize, crop=size)

    def record(self) -> dict[str, Any]:
        """As it enters the fingerprint."""
        record = asdict(self)
        return {
            name: list(cast(tuple[Any, ...], value)) if isinstance(value, tuple) else value
            for name, value in record.items()
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Preprocessing":
        """The inverse of `record`.

        Raises:
            AqaError: keys are lacking or not known, or a value is none of its kind or range.
        """
        if record.keys() != (expected := {field.name for field in fields(cls)}):
            raise AqaError(
                f"a preprocessing has the keys {', '.join(sorted(record)) or 'none'}, expected"
                f" {', '.join(sorted(expected))}"
            )
        check_preprocessing(record)
        values: dict[str, Any] = {
            name: tuple(cast(list[Any], value)) if isinstance(value, list) else value
            for name, value in record.items()
        }
        return cls(**values)


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MTL_AQA = Preprocessing(resize=(128, 171), crop=112, mean=IMAGENET_MEAN, std=IMAGENET_STD, antialias=True)
"""Parmar & Morris 2019. Differs: they draw the interpolator at random for every frame, in testing too;
here it is bilinear.
"""


class FramePreparer:
    """Resize and centre-crop decoded frames. One per decoding thread.

    Shape:
        - Input: `(height, width, 3)` uint8 RGB, any size. Output: `(crop, crop, 3)` uint8 RGB.
    """

    def __init__(self, preprocessing: Preprocessing):
        self._preprocessing = preprocessing
        self._bilinear: dict[tuple[int, int], _Bilinear] = {}

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        if self._preprocessing.antialias:
            return self._antialiased(rgb)
        height, width = rgb.shape[:2]
        if (height, width) not in self._bilinear:
            resized = self._resized(height, width)
            self._bilinear[height, width] = _Bilinear((height, width), resized, self._preprocessing.crop)
        return self._bilinear[height, width](rgb)

    def _antialiased(self, rgb: np.ndarray) -> np.ndarray:
        from PIL import Image

        height, width = self._resized(*rgb.shape[:2])
        crop = self._preprocessing.crop
        top, left = _centre(height, crop), _centre(width, crop)
        resized = np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR))
        return resized[top : top + crop, left : left + crop]

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        resize, crop = self._preprocessing.resize, self._preprocessing.crop
        if isinstance(resize, int):
            # As torchvision: the longer side is cut down to a whole number.
            resize = (
                (resize, int(resize * width / height))
                if height <= width
                else (int(resize * height / width), resize)
            )
        assert min(resize) >= crop, (resize, crop)
        return resize


def normalise(
    clips: torch.Tensor,
    preprocessing: Preprocessing,
    dtype: torch.dtype = torch.float32,
    *,
    channels_last: bool = True,
    memory: torch.Tensor | None = None,
) -> torch.Tensor:
    """Turn prepared frames into a backbone's input.

    Args:
        channels_last: how it lies in memory: in the format channels_last_3d, else contiguous; the values are
            the same.
        memory: float32, as many values as `clips`, where they are made; None: new.

    Shape:
        - clips: `(batch, clip_len, size, size, 3)` uint8 RGB.
        - Output: `(batch, 3, clip_len, size, size)` of `dtype`.
    """
    if preprocessing.channel_order == "bgr":
        clips = clips.flip(-1)
    scale, shift = _scale_and_shift(preprocessing, clips.device)
    if channels_last:  # a row of pixels is one run of values: three at a time take as long again
        pixels, width = clips.flatten(3), clips.shape[3]
        scale, shift = scale.repeat(width), shift.repeat(width)
    else:
        pixels = clips.permute(0, 4, 1, 2, 3)
        scale, shift = scale[:, None, None, None], shift[:, None, None, None]
    memory = torch.empty(clips.numel(), device=clips.device) if memory is None else memory
    inputs = memory.view(pixels.shape)
    # On a CPU a clip at a time, which stays in the cache.
    for some, made in zip(pixels, inputs, strict=True) if clips.device.type == "cpu" else [(pixels, inputs)]:
        made.copy_(some).mul_(scale).add_(shift)
    inputs = inputs.to(dtype)
    return inputs.view(clips.shape).permute(0, 4, 1, 2, 3) if channels_last else inputs


@functools.lru_cache
def _scale_and_shift(preprocessing: Preprocessing, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    # Kept on the device: a copy from the host for every batch would make the host wait.
    mean = torch.tensor(preprocessing.mean, dtype=torch.float64)
    std = torch.tensor(preprocessing.std, dtype=torch.float64)
    scale = (preprocessing.value_range / 255 / std).to(device, torch.float32)
    return scale, (-mean / std).to(device, torch.float32)


class _Bilinear:
    """Bilinear resizing of frames of one shape, without a filter, and the centre crop; computes no pixel
    outside it.

    Both rows and both columns of every output pixel are gathered at once, and a row is one run of bytes:
    whole pixels at a time, each mixed by itself, take two to four times as long. What lies between is kept
    from frame to frame: threads that give large arrays back to the system and fetch new ones all the time
    wait for each other.

    Args:
        shape: of the frames; resized: to what; crop: side of the centre; all in pixels.
    """

    def __init__(self, shape: tuple[int, int], resized: tuple[int, int], crop: int):
        height, width = shape
        top, bottom, down = _taps(height, resized[0], crop)
        left, right, along = _taps(width, resized[1], crop)
        self._rows = np.concatenate([top, bottom])
        self._values = (np.concatenate([left, right])[:, None] * 3 + np.arange(3)).ravel()
        self._down, self._along = down[:, None], np.repeat(along, 3)
        self._taken_rows = np.empty((2 * crop, width * 3), np.uint8)
        self._taken = np.empty((2 * crop, 2 * crop * 3), np.uint8)
        self._wide, self._wide_share = (np.empty((2 * crop, crop * 3), np.float32) for _ in range(2))
        self._mixed, self._share = (np.empty((crop, crop * 3), np.float32) for _ in range(2))

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        # The mode only says that numbers need no check, which a given output would otherwise cost a copy for.
        np.take(rgb.reshape(len(rgb), -1), self._rows, axis=0, out=self._taken_rows, mode="clip")
        np.take(self._taken_rows, self._values, axis=1, out=self._taken, mode="clip")
        left, right = np.split(self._taken, 2, axis=1)
        _mix(left, right, self._along, self._wide, self._wide_share)
        top, bottom = np.split(self._wide, 2)
        _mix(top, bottom, self._down, self._mixed, self._share)
        np.rint(self._mixed, out=self._mixed)
        return self._mixed.astype(np.uint8).reshape(len(self._mixed), -1, 3)


def _mix(
    first: np.ndarray, second: np.ndarray, share: np.ndarray, out: np.ndarray, scratch: np.ndarray
) -> None:
    np.multiply(first, np.float32(1) - share, out=out)
    np.multiply(second, share, out=scratch)
    out += scratch


def _taps(size: int, resized: int, crop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two source pixels of every output pixel inside the crop, and the second one's share
    (align_corners=False).
    """
    scale = np.float32(size) / np.float32(resized)
    output = np.arange(crop, dtype=np.float32) + np.float32(_centre(resized, crop))
    source = np.maximum(scale * (output + np.float32(0.5)) - np.float32(0.5), np.float32(0))
    first = np.minimum(source.astype(np.int64), size - 1)
    second = np.minimum(first + 1, size - 1)
    return first, second, (source - first).astype(np.float32)


def _centre(size: int, crop: int) -> int:
    return int(round((size - crop) / 2.0))
