"""Shared test material: videos whose frames carry their own number, small caches, the places of data."""

import os

# One thread: these networks are small, and threads that wait for each other on a busy machine cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
DATA = Path(__file__).parent / "data"
MEDIA = DATA / "media"
MTL_AQA = Path(os.environ.get("AQA_MTL_AQA", ROOT.parent / "shared" / "mtl_aqa"))

_BITS, _CELL = 12, 16


def number_image(number: int) -> np.ndarray:
    """A 64x64 RGB picture of a frame number: twelve cells of 16 pixels, white for a one bit; lossy coding cannot hurt it."""
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


def write_numbered_video(path: Path, frames: int, *, rate: int = 25, codec: str = "libx264", **options: str) -> Path:
    """Write a 64x64 video whose frame n shows `number_image(n)`; B-frames unless the options say otherwise."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"preset": "ultrafast", "bf": "3", **options})
        stream.width = stream.height = 4 * _CELL
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(number_image(number), format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def numbered_video(tmp_path_factory) -> Path:
    """300 frames at 25 fps, with B-frames."""
    return write_numbered_video(tmp_path_factory.mktemp("numbered") / "numbered.mp4", 300)


@pytest.fixture(scope="session")
def random_s3d(tmp_path_factory) -> Path:
    """Random S3D weights, made once for all tests."""
    from aqa_cache.backbones import get_backbone
    from aqa_cache.weights import make_random_weights

    path = tmp_path_factory.mktemp("weights") / "s3d.safetensors"
    make_random_weights(get_backbone("s3d"), path)
    return path


@pytest.fixture
def mtl_aqa() -> Path:
    """The real MTL-AQA release, which has no licence and so is not in the repository."""
    if not MTL_AQA.is_dir():
        pytest.skip(f"MTL-AQA is not at {MTL_AQA}; set AQA_MTL_AQA to its folder")
    return MTL_AQA
