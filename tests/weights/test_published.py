import re

import numpy as np
import pytest
import torch

from aqa_cache.backbones.key_layouts import LAYOUTS
from aqa_cache.backbones.registry import BACKBONES
from aqa_cache.clips.preprocess import FramePreparer, normalise
from aqa_cache.weights.published import WEIGHTS

TORCHVISION = {
    "s3d-kinetics400": "S3D_Weights",
    "r2plus1d_18-kinetics400": "R2Plus1D_18_Weights",
    "mvit_v2_s-kinetics400": "MViT_V2_S_Weights",
    "swin3d_t-kinetics400": "Swin3D_T_Weights",
    "r3d_18-kinetics400": "R3D_18_Weights",
    "mc3_18-kinetics400": "MC3_18_Weights",
    "mvit_v1_b-kinetics400": "MViT_V1_B_Weights",
    "swin3d_s-kinetics400": "Swin3D_S_Weights",
    "swin3d_b-kinetics400": "Swin3D_B_Weights",
    "swin3d_b-kinetics400-imagenet22k": "Swin3D_B_Weights",
}


def test_records_name_known_things():
    for record in WEIGHTS.values():
        assert record.backbone in BACKBONES
        assert LAYOUTS[record.layout].backbone == record.backbone
        if record.sha256:
            assert f"-{record.sha256}." in record.file_name  # the publisher's own hash, never one of ours
    for backbone in BACKBONES.values():
        assert backbone.name.startswith("i3d") or WEIGHTS[backbone.weights].backbone == backbone.name


def torchvisions(name):
    from torchvision.models import video

    which = "KINETICS400_IMAGENET22K_V1" if name.endswith("imagenet22k") else "KINETICS400_V1"
    return getattr(getattr(video, TORCHVISION[name]), which)


def test_all_of_torchvisions_are_compared():
    assert set(TORCHVISION) == {name for name, record in WEIGHTS.items() if "torchvision" in record.note}


@pytest.mark.parametrize("name", TORCHVISION)
def test_records_equal_torchvisions(name):
    from torchvision.transforms import InterpolationMode

    record, theirs = WEIGHTS[name], torchvisions(name)
    assert record.url == theirs.url
    assert record.sha256 == re.search(r"-([0-9a-f]{8})\.pth$", theirs.url)[1]
    described = dict(re.findall(r"`(frame_rate|clip_len)=([\d.]+)`", theirs.meta["_docs"]))
    assert f"clips of {described['clip_len']} frames at {described['frame_rate']} fps" in record.note

    preprocessing, transforms = LAYOUTS[record.layout].preprocessing, theirs.transforms()
    resize = preprocessing.resize
    assert ([resize] if isinstance(resize, int) else list(resize)) == transforms.resize_size
    assert [preprocessing.crop] * 2 == transforms.crop_size
    assert list(preprocessing.mean) == transforms.mean and list(preprocessing.std) == transforms.std
    assert transforms.interpolation == InterpolationMode.BILINEAR and not preprocessing.antialias

    backbone = BACKBONES[record.backbone]
    assert (backbone.clip_len or backbone.min_clip_len) == theirs.meta.get("min_temporal_size", 1)
    assert backbone.size in (None, theirs.meta["min_size"][0])
    backbone.check_input(int(described["clip_len"]), preprocessing.crop)


@pytest.mark.parametrize("size", [(270, 480), (480, 270), (100, 90)])
@pytest.mark.parametrize("name", TORCHVISION)
def test_input_equals_torchvisions_own_transform(name, size):
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    preprocessing = LAYOUTS[WEIGHTS[name].layout].preprocessing
    ours = normalise(torch.from_numpy(FramePreparer(preprocessing)(frame))[None, None], preprocessing)
    theirs = torchvisions(name).transforms()(torch.from_numpy(frame).permute(2, 0, 1)[None])
    # A value halfway between two of the 256 levels may be rounded either way.
    levels = (ours[0] - theirs).abs() * torch.tensor(preprocessing.std)[:, None, None, None] * 255
    assert levels.max() < 1.01 and (levels > 1e-3).float().mean() < 1e-4
