"""A model that scores and three short videos, for all tests of the app that need one."""

import os

import pytest
from app_server import App
from numbered_video import write_numbered_video


@pytest.fixture(scope="session")
def trained(tmp_path_factory, random_s3d):
    """A folder with a run of real features, `runs/ridge`, and the weights beside it."""
    from aqa_cache.clips.rule import ClipRule
    from aqa_cache.datasets.synthetic_dives import render_broadcasts
    from aqa_cache.extraction.run import ExtractionConfig, extract
    from aqa_cache.weights.random_weights import random_weights_path
    from aqa_heads import TrainingConfig, train

    folder = tmp_path_factory.mktemp("trained")
    dives = {"train_dives": 8, "test_dives": 4, "events": 4}
    render_broadcasts(folder / "videos", **dives, seed=0, size=(96, 64), workers=1)
    feats = folder / "feats.h5"
    os.symlink(random_s3d, random_weights_path(feats, "s3d"))
    rule = ClipRule(clip_len=14, clip_stride=14, window=28)
    extract(folder / "videos", feats, ExtractionConfig("s3d", weights="random", size=32, clip_rule=rule))
    train(TrainingConfig(feats, "ridge", out=folder / "runs", device="cpu", meteor=False, threads=1))
    return folder


@pytest.fixture(scope="session")
def three(tmp_path_factory):
    """Three videos of 40 frames and more."""
    folder, frames = tmp_path_factory.mktemp("three"), {"one": 40, "two": 50, "three": 60}
    return [write_numbered_video(folder / f"{name}.mp4", count) for name, count in frames.items()]


@pytest.fixture
def start(tmp_path):
    """Starts servers that are ended with the test."""
    started = []

    def go(*words, runs=tmp_path, folder=tmp_path / "app", **options):
        started.append(App(runs, folder, *words, **options))
        return started[-1]

    yield go
    for one in started:
        assert "Traceback" not in one.end()
