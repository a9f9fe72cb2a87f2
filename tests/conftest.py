"""Shared test material: videos whose frames carry their own number, small caches, the places of data."""

import os

# One thread: these networks are small, and threads that wait for each other on a busy machine cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Sequence
from fractions import Fraction
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


@pytest.fixture(scope="session")
def numbered_video(tmp_path_factory) -> Path:
    """300 frames at 25 fps, with B-frames."""
    return write_numbered_video(tmp_path_factory.mktemp("numbered") / "numbered.mp4", 300)


@pytest.fixture(scope="session")
def random_s3d(tmp_path_factory) -> Path:
    """Random S3D weights, made once for all tests."""
    from aqa_cache.backbones import get_backbone
    from aqa_cache.random_weights import make_random_weights

    path = tmp_path_factory.mktemp("weights") / "s3d.safetensors"
    make_random_weights(get_backbone("s3d"), path)
    return path


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Four videos of different lengths, eleven samples."""
    from aqa_cache.annotations import Sample, write_annotations

    folder, samples = tmp_path_factory.mktemp("videos"), []
    for number, frames in enumerate((40, 120, 60, 80)):
        write_numbered_video(folder / f"{number}.mp4", frames)
        samples += [
            Sample(f"{number}-{first}", f"{number}.mp4", first, first + 20) for first in range(0, frames - 19, 25)
        ]
    write_annotations(folder / "annotations.csv", samples)
    return folder


@pytest.fixture
def output(tmp_path, random_s3d):
    """A place for a cache with the random weights already beside it, so that they are made once for all tests."""
    from aqa_cache.loading import random_weights_path

    random_weights_path(tmp_path / "feats.h5", "s3d").symlink_to(random_s3d)
    return tmp_path / "feats.h5"


@pytest.fixture
def cuda():
    """A GPU; skipped without one, a failure where `FAIL_WITHOUT_CUDA` is set."""
    import torch

    if not torch.cuda.is_available():
        if os.environ.get("FAIL_WITHOUT_CUDA"):
            pytest.fail("FAIL_WITHOUT_CUDA is set and there is no CUDA device")
        pytest.skip("no CUDA device")
    return torch.device("cuda")


@pytest.fixture
def mtl_aqa() -> Path:
    """The real MTL-AQA release, which has no licence and so is not in the repository."""
    if not MTL_AQA.is_dir():
        pytest.skip(f"MTL-AQA is not at {MTL_AQA}; set AQA_MTL_AQA to its folder")
    return MTL_AQA
