import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from aqa_cache.backbones.precision import Parity
from aqa_cache.backbones.registry import for_inference, get_backbone
from aqa_cache.backbones.time_steps import OverTime, TimeSteps
from aqa_cache.errors import AqaError

# Clip length and size, and how many time steps are left.
SHAPES = {
    "s3d": (16, 64, 2),
    "i3d": (16, 64, 2),
    "r2plus1d_18": (16, 48, 2),
    "r3d_18": (16, 48, 2),
    "mc3_18": (4, 32, 4),
    "swin3d_t": (4, 196, 2),
    "mvit_v2_s": (8, 32, 4),  # of its kind, but small: the real one takes 16 frames of 224
}


def small_mvit():
    from torchvision.models.video.mvit import MSBlockConfig, MViT

    blocks = [
        MSBlockConfig(1, 8, 16, [3] * 3, [3] * 3, [1, 1, 1], [1, 2, 2]),
        MSBlockConfig(2, 16, 16, [3] * 3, [3] * 3, [1, 2, 2], [1, 1, 1]),
    ]
    module = MViT(
        (32, 32),
        8,
        blocks,
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=True,
    )
    module.head = nn.Identity()
    return module


@pytest.fixture(scope="module", params=SHAPES)
def given(request):
    """A network with batch norms that do something, clips, its record, and the steps expected."""
    torch.manual_seed(0)
    backbone = get_backbone(request.param)
    if backbone.name == "mvit_v2_s":
        backbone = replace(backbone, build=small_mvit, dim=16)
    frames, size, steps = SHAPES[request.param]
    module = backbone.build().eval()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm3d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias)
    return backbone, module, torch.rand(1, 3, frames, size, size), steps


@torch.no_grad()
def test_time_steps_are_the_features_before_the_mean_over_time(given):
    backbone, module, clips, steps = given
    rows = OverTime(module, backbone.time)(clips)
    assert rows.shape == (1, steps, backbone.dim)
    assert steps == backbone.time.count(backbone.name, clips.shape[2])
    if backbone.name == "mvit_v2_s":  # its feature is a token of its own
        tokens = []
        hook = module.norm.register_forward_hook(lambda *args: tokens.append(args[-1]))
        module(clips)
        hook.remove()
        expected = tokens[0][:, 1:].mean(dim=1)
    else:
        expected = module(clips)
    torch.testing.assert_close(rows.mean(dim=1), expected)
    assert (rows[:, 0] - rows[:, 1]).abs().max() > 1e-4


@torch.no_grad()
def test_time_steps_stay_what_they_are_when_laid_out_for_speed(given):
    backbone, module, clips, _ = given
    expected = OverTime(module, backbone.time)(clips)
    fast = for_inference(OverTime(copy.deepcopy(module), backbone.time), torch.device("cpu"), torch.float32)
    torch.testing.assert_close(fast(clips), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize(("clip_len", "nearest"), [(20, 16), (4, 8), (15, 16)])
def test_clips_with_a_part_of_a_step_are_refused(clip_len, nearest):
    steps = TimeSteps(8, "features", lambda module, clips: clips)
    assert steps.count("s3d", 24) == 3
    with pytest.raises(AqaError, match=rf"step per 8 frames.*{clip_len}.*--clip-len {nearest}"):
        steps.count("s3d", clip_len)


def test_parity_compares_every_step():
    reference = torch.ones(2, 3, 4).numpy()
    changed = reference.copy()
    changed[1, 2] = [1, -1, 1, -1]
    assert Parity.between(reference, reference).good
    assert Parity.between(changed, reference).cosine == 0
