"""Records of a preprocessing and of a clip rule, as files have them: every value by its type and range."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import AqaError

MOST_PIXELS = 8192  # of a side
MOST_FRAMES = 1 << 20  # of a clip, from clip to clip, in a window

_Rule = tuple[Callable[[Any], bool], str]


def check_preprocessing(record: Mapping[str, Any]) -> None:
    """Whether a record's values are those of a preprocessing; it may lack some, and have others.

    Raises:
        AqaError: one is not.
    """
    _check("preprocessing", record, _PREPROCESSING)
    resize, crop = record.get("resize"), record.get("crop", 1)
    if resize is not None and (min(resize) if isinstance(resize, list) else resize) < crop:
        raise AqaError(f"preprocessing: crop is {crop}, expected no more than resize, which is {resize}")


def check_clip_rule(record: Mapping[str, Any]) -> None:
    """As `check_preprocessing`, of a clip rule."""
    _check("clip_rule", record, _CLIP_RULE)


def _check(what: str, record: Mapping[str, Any], rules: Mapping[str, _Rule]) -> None:
    for name, (admits, expected) in rules.items():
        if name in record and not admits(record[name]):
            raise AqaError(f"{what}: {name} is {f'{record[name]!r:.100}'}, expected {expected}")


def _whole(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _number(value: Any, above: float = -math.inf) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value > above


def _three(value: Any, above: float = -math.inf) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_number(each, above) for each in value)


def _or_null(admits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or admits(value)


def _starts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_whole(0, MOST_FRAMES), value))


_pixels = _whole(1, MOST_PIXELS)
_frames = _whole(1, MOST_FRAMES)
_PREPROCESSING: dict[str, _Rule] = {
    "resize": (
        lambda value: (
            _pixels(value) or (isinstance(value, list) and len(value) == 2 and all(map(_pixels, value)))
        ),
        f"1 to {MOST_PIXELS} pixels, or a list of two such numbers",
    ),
    "crop": (_pixels, f"1 to {MOST_PIXELS} pixels"),
    "mean": (_three, "a list of three finite numbers"),
    "std": (lambda value: _three(value, 0), "a list of three finite numbers above 0"),
    "value_range": (lambda value: _number(value, 0), "a number above 0"),
    "channel_order": (lambda value: value in ("rgb", "bgr"), "rgb or bgr"),
    "antialias": (lambda value: type(value) is bool, "true or false"),
}
_CLIP_RULE: dict[str, _Rule] = {
    "clip_len": (_frames, f"1 to {MOST_FRAMES} frames"),
    "clip_stride": (_or_null(_frames), f"1 to {MOST_FRAMES} frames, or null"),
    "frame_step": (_frames, f"1 to {MOST_FRAMES} frames"),
    "window": (_or_null(_frames), f"1 to {MOST_FRAMES} frames, or null"),
    "clip_starts": (_or_null(_starts), "a list of frame numbers, or null"),
    "last_clip": (lambda value: value in ("drop", "from-end"), "drop or from-end"),
    "stream": (_or_null(_whole(0, 2**31)), "the number of a stream, or null"),
}
