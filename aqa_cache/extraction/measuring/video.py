"""A video that is made to be measured on."""

from pathlib import Path

import numpy as np

from ...errors import missing

# A whole number of clips of 16 frames, about as long as a dive: few videos make whole batches, also of a slow
# backbone.
VIDEO_SIZE, VIDEO_RATE, VIDEO_FRAMES = (640, 360), 25, 96


def write_video(path: Path, frames: int = VIDEO_FRAMES, size: tuple[int, int] = VIDEO_SIZE) -> None:
    """An H.264 video at 25 fps of moving stripes, discs and grain: work for a decoder as real footage is.

    Args:
        size: width and height in pixels.
    """
    try:
        import av
    except Exception as error:
        raise missing("av", "measuring decoding", error) from None
    width, height = size
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=VIDEO_RATE, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            x, y = width * (0.5 + 0.4 * np.sin(number / 20)), height * (0.5 + 0.33 * np.cos(number / 15))
            stripes = 100 + 50 * np.sin((columns + 2 * number) / 25 + rows / 40)
            disc = ((columns - x) ** 2 + (rows - y) ** 2 < (height / 7) ** 2) * 80
            grain = rng.integers(0, 12, (height, width))
            grey = (stripes + disc + grain).astype(np.uint8)
            picture = np.stack([grey, np.roll(grey, 40, axis=1), 255 - grey], axis=-1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
