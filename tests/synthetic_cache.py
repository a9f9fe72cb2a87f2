"""A small feature cache whose labels can be learnt from its features, and small models to learn them."""

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.feature_spec import FeatureSpec, Learned
from aqa_cache.cache_file.record import ClipFeatures, Record
from aqa_cache.cache_file.writer import write_cache
from aqa_heads.captions.captioner import Captioner

POSITIONS = ("free", "pike", "tuck")
SMALL_ENCODERS = {"lstm": (16, 2), "gru": (16, 2), "attention": (8, 1), "transformer": (16, 2)}


def write_synthetic_cache(
    path: Path,
    train: int = 12,
    test: int = 6,
    *,
    dim: int = 8,
    backbone: str = "c3d",
    weights: str = "sports1m",
    clips: Callable[[int], int] = lambda index: 2 + index % 3,
    change: Callable[[int, Sample], Sample] = lambda index, sample: sample,
    failed: tuple[int, ...] = (),
    views: Mapping[str, Callable[[int, np.ndarray], np.ndarray | None]] = {},
    seed: int = 0,
    tuned: Learned | None = None,
    hashes: Callable[[int], str] = lambda index: "",
) -> Path:
    """Write a cache of `train` training samples followed by `test` test samples, of four groups in turn.

    Args:
        clips: number of clips of a sample, by its index.
        change: the sample to write in place of the given one, by its index.
        failed: indices of samples without features.
        tuned: what the backbone was fine-tuned on, see `tuned_on`.
        hashes: SHA-256 of a sample's video, by its index.
        views: beside the plain one, by name: a sample's features from its index and its plain features, or
            None.
    """
    generator = np.random.default_rng(seed)
    direction = generator.normal(size=dim)
    records = []
    for index in range(train + test):
        features = generator.normal(size=(clips(index), dim)).astype(np.float32)
        score = float(60 + 15 * features.mean(0) @ direction)
        position = int(abs(score)) % 3
        sample = Sample(
            sample_id=f"s{index:02d}",
            video=f"v{index % 2}.mp4",
            start_frame=200 * index,
            end_frame=200 * index + 100,
            split="train" if index < train else "test",
            group=f"g{index % 4}",
            final_score=score,
            difficulty=2.0 + index % 4 / 2,
            classes={"position": POSITIONS[position], "twists": str(index % 2 * 10)},
            caption=" ".join(["a", POSITIONS[position], "dive", "very", "nice"][: 3 + index % 3]),
        )
        if index in failed:
            records.append(
                Record(change(index, sample), [None] * (1 + len(views)), reason="video is truncated")
            )
        else:
            times = np.arange(clips(index))
            shown = [features, *(made(index, features) for made in views.values())]
            records.append(
                Record(
                    change(index, sample),
                    [None if view is None else ClipFeatures(view, times * 16, times / 2) for view in shown],
                    video_sha256=hashes(index),
                )
            )
    spec = FeatureSpec(backbone, "pool5", dim, weights, "", {}, {}, tuned)
    write_cache(path, records, spec, views=["plain", *views], dtype="float32")
    return path


def tuned_on(*trained: int, chosen: tuple[int, ...] = (), origin: str = "sports1m") -> Learned:
    """What is known of a backbone that was fine-tuned on samples of this cache, by their indices."""
    trained_on, chosen_on = (tuple(f"s{index:02d}" for index in indices) for indices in (trained, chosen))
    return Learned(origin, origin, trained_on, chosen_on)


def without(*names: str, splits: tuple[str, ...] = ("train", "test")) -> Callable[[int, Sample], Sample]:
    """A `change` that takes labels away from the samples of `splits`."""
    empty = {name: {} if name == "classes" else None for name in names}
    return lambda index, sample: replace(sample, **empty) if sample.split in splits else sample


@contextmanager
def small_models():
    """In the block, models are built with narrow inner layers: the laws are the same, the time is not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aqa_heads.networks.heads.FC6_DIM", 256)
        patch.setattr("aqa_heads.settings.resolved.ENCODER_SIZES", SMALL_ENCODERS)
        patch.setattr("aqa_heads.settings.resolved.LITERAL_HIDDEN", 24)
        patch.setattr("aqa_heads.networks.model.Captioner", partial(Captioner, hidden=32, word_dim=16))
        yield
