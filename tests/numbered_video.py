"""Videos whose frames carry their own number."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

_BITS, _CELL = 12, 16


def number_image(number: int) -> np.ndarray:
    """A 64x64 RGB picture of a frame number: twelve cells of 16 pixels, white for a one bit; lossy coding
    cannot hurt it.
    """
    image = np.zeros((4 * _CELL, 4 * _CELL, 3), np.uint8)
    for bit in range(_BITS):
        if number >> bit & 1:
            row, column = divmod(bit, 4)
            image[row * _CELL : (row + 1) * _CELL, column * _CELL : (column + 1) * _CELL] = 255
    return image


def image_number(image: np.ndarray) -> int:
    """The inverse of `number_image`, for a 64x64 picture."""
    cells = image.reshape(4, _CELL, 4, _CELL, -1).mean(axis=(1, 3, 4)).ravel()
    return sum(1 << bit for bit in range(_BITS) if cells[bit] > 127)


def write_numbered_video(
    path: Path,
    frames: int,
    *,
    rate: int = 25,
    codec: str = "libx264",
    container: dict[str, str] | None = None,
    times_ms: Sequence[int] | None = None,
    grain: int = 0,
    **options: str,
) -> Path:
    """Write a 64x64 video whose frame n shows `number_image(n)`; B-frames unless the options say otherwise.

    Args:
        container: options of the container format, which the name's suffix decides.
        times_ms: presentation times of the frames; None: by the frame rate.
        grain: amplitude of noise, so that no two pictures are coded alike.
        options: of the codec.
    """
    import av

    rng = np.random.default_rng(0)
    if codec == "libx264":
        options = {"preset": "ultrafast", "bf": "3", **options}
    with av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream(codec, rate=rate, options=options)
        stream.width = stream.height = 4 * _CELL
        stream.pix_fmt = "yuv420p"
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(frames):
            image = number_image(number)
            if grain:
                noise = rng.integers(-grain, grain + 1, image.shape)
                image = np.clip(image + noise, 0, 255).astype(np.uint8)
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times_ms is not None:
                picture.pts, picture.time_base = times_ms[number], Fraction(1, 1000)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path
