"""A backbone of a few thousand weights, so that whole runs take a second, and dives to train it on."""

import pytest
import torch
from torch import nn

from aqa_cache.annotations import read_annotations, write_annotations
from aqa_cache.backbones.key_layouts import LAYOUTS
from aqa_cache.backbones.names import KNOWN_BACKBONES
from aqa_cache.backbones.registry import BACKBONES, Backbone, register
from aqa_cache.clips.preprocess import Preprocessing
from aqa_cache.clips.rule import ClipRule
from aqa_cache.extraction.run import ExtractionConfig, extract

DIM = 12


def tiny(drop: float = 0.0) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(3, 8, 3, stride=(2, 4, 4)),
        nn.BatchNorm3d(8),
        nn.ReLU(),
        nn.Dropout(drop),
        nn.Conv3d(8, DIM, 3, stride=2),
        nn.BatchNorm3d(DIM),
        nn.ReLU(),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
    )


def register_tiny(patch: pytest.MonkeyPatch) -> None:
    """Make `tiny` and, with dropout, `tiny-drop` known, as long as `patch` lasts."""
    for name, drop in (("tiny", 0.0), ("tiny-drop", 0.5)):
        patch.setitem(BACKBONES, name, None)  # taken out again when `patch` ends
        patch.setitem(LAYOUTS, name, None)
        patch.setitem(KNOWN_BACKBONES.registered, name, None)
        register(
            Backbone(name, lambda drop=drop: tiny(drop), "mean over time, height and width", DIM),
            Preprocessing(resize=(36, 48), crop=32, mean=(0.45,) * 3, std=(0.25,) * 3),
        )


def write_weights(path, seed: int = 0):
    torch.manual_seed(seed)
    torch.save(tiny().state_dict(), path)
    return path


def extract_tiny(folder, videos, name: str = "feats.h5", backbone: str = "tiny", **options):
    """A cache of `videos` in float32, made with `tiny` and the weights `tiny.pth` of `folder`."""
    options = {"clip_rule": ClipRule(window=48), "dtype": "float32"} | options
    extract(videos, folder / name, ExtractionConfig(backbone, weights=str(folder / "tiny.pth"), **options))
    return folder / name


def change_annotations(folder, change) -> None:
    """Rewrite the table of a folder of videos with `change(index, sample)` of every sample."""
    path = folder / "annotations.csv"
    write_annotations(path, [change(index, sample) for index, sample in enumerate(read_annotations(path))])
