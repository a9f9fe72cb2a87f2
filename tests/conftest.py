"""Shared test material: videos whose frames carry their own number, small caches, the places of data."""

import os
import sys
import textwrap
from importlib.util import find_spec

from numbered_video import write_numbered_video
from places import MTL_AQA

# One thread: these networks are small, and threads that wait for each other on a busy machine cost more than
# they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest


@pytest.fixture
def said():
    """The lines that the packages log from INFO on, and that no command prints."""
    from aqa_cache.logs import handled

    lines: list[str] = []
    with handled(lambda record: lines.append(record.getMessage())):
        yield lines


@pytest.fixture(scope="session")
def numbered_video(tmp_path_factory) -> Path:
    """300 frames at 25 fps, with B-frames."""
    return write_numbered_video(tmp_path_factory.mktemp("numbered") / "numbered.mp4", 300)


@pytest.fixture(scope="session")
def random_s3d(tmp_path_factory) -> Path:
    """Random S3D weights, made once for all tests."""
    from aqa_cache.backbones.registry import get_backbone
    from aqa_cache.weights.random_weights import make_random_weights

    path = tmp_path_factory.mktemp("weights") / "s3d.safetensors"
    make_random_weights(get_backbone("s3d"), path)
    return path


@pytest.fixture
def small():
    """Models are built with narrow inner layers, see `synthetic_cache.small_models`."""
    from synthetic_cache import small_models

    with small_models():
        yield


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Four videos of different lengths, eleven samples."""
    from aqa_cache.annotations import Sample, write_annotations

    folder, samples = tmp_path_factory.mktemp("videos"), []
    for number, frames in enumerate((40, 120, 60, 80)):
        write_numbered_video(folder / f"{number}.mp4", frames)
        samples += [
            Sample(f"{number}-{first}", f"{number}.mp4", first, first + 20)
            for first in range(0, frames - 19, 25)
        ]
    write_annotations(folder / "annotations.csv", samples)
    return folder


@pytest.fixture
def output(tmp_path, random_s3d):
    """A place for a cache with the random weights already beside it, so that they are made once for all
    tests.
    """
    from aqa_cache.weights.random_weights import random_weights_path

    random_weights_path(tmp_path / "feats.h5", "s3d").symlink_to(random_s3d)
    return tmp_path / "feats.h5"


@pytest.fixture
def server(tmp_path):
    """The address of a file server on this machine, and the folder it serves."""
    from file_server import serving

    folder = tmp_path / "served"
    folder.mkdir()
    with serving(folder) as url:
        yield url, folder


@pytest.fixture
def default_weights(server, random_s3d, monkeypatch, tmp_path):
    """The default weights on a server of this machine, as torchvision's file has them."""
    from dataclasses import replace

    import torch
    from safetensors.torch import load_file

    from aqa_cache.disk.tensor_file import sha256_of
    from aqa_cache.weights.published import WEIGHTS

    url, folder = server
    head = {"classifier.1.weight": torch.zeros(400, 1024, 1, 1, 1), "classifier.1.bias": torch.zeros(400)}
    torch.save(load_file(random_s3d) | head, folder / "s3d.pth")
    record = replace(
        WEIGHTS["s3d-kinetics400"], url=f"{url}/s3d.pth", sha256=sha256_of(folder / "s3d.pth")[:8]
    )
    monkeypatch.setitem(WEIGHTS, record.name, record)
    monkeypatch.setenv("AQA_WEIGHTS", str(tmp_path / "weights"))
    return record


@pytest.fixture
def own_code(tmp_path, monkeypatch):
    """A folder of somebody's own modules, in which the test runs, and how to write one; all that they made
    known is forgotten afterwards.
    """
    from aqa_cache.backbones.key_layouts import LAYOUTS
    from aqa_cache.backbones.registry import BACKBONES, KNOWN_BACKBONES
    from aqa_cache.datasets.importers import KNOWN_IMPORTERS
    from aqa_heads.settings.experiments import KNOWN_ENCODERS, KNOWN_LOSSES, KNOWN_SCORE_HEADS

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    extensions = (KNOWN_BACKBONES, KNOWN_IMPORTERS, KNOWN_ENCODERS, KNOWN_LOSSES, KNOWN_SCORE_HEADS)
    changed = (BACKBONES, LAYOUTS, *(known.registered for known in extensions))
    before, modules = [dict(known) for known in changed], set(sys.modules)

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))

    yield write
    for known, names in zip(changed, before, strict=True):
        known.clear()
        known.update(names)
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """`--engine auto` is torch, which starts at once, but for tests of the mark `extra` and in processes of
    their own. It is said before the first fixture of a test, which may be one of its module.
    """
    if find_spec("openvino"):
        from aqa_cache.backbones import openvino_engine, ready

        by_itself = item.get_closest_marker("extra") is None
        ready.openvino_version = (lambda: None) if by_itself else openvino_engine.openvino_version


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
