import numpy as np
import pytest
import torch
from conftest import DATA

from aqa_cache.backbones import BACKBONES, for_inference, get_backbone
from aqa_cache.c3d import C3D
from aqa_cache.errors import AqaError
from aqa_cache.s3d import S3D


def test_s3d_equals_torchvisions_stored_output():
    from torchvision.models.video import s3d

    torch.manual_seed(0)
    published = s3d(num_classes=50).eval()
    clip = torch.rand(1, 3, 16, 224, 224)
    ours = S3D().eval()
    ours.load_state_dict({key: value for key, value in published.state_dict().items() if key.startswith("features.")})
    with torch.no_grad():
        logits = published.classifier(ours(clip)[:, :, None, None, None]).flatten(1)
    stored = np.load(DATA / "oracles" / "s3d_seed0_50class_logits.npy")
    torch.testing.assert_close(logits, torch.from_numpy(stored), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("frames", "size"), [(16, 224), (40, 64), (14, 50)])
def test_s3d_pools_as_the_published_head_does(frames, size):
    torch.manual_seed(0)
    module = S3D().eval()
    clip = torch.rand(1, 3, frames, size, size)
    with torch.no_grad():
        maps = module.features(clip)
        expected = torch.nn.functional.avg_pool3d(maps, (2, *maps.shape[3:]), stride=1).mean(dim=(2, 3, 4))
        torch.testing.assert_close(module(clip), expected)


def test_c3d_layers():
    module = C3D()
    assert sum(parameter.numel() for parameter in module.parameters()) == 27_655_936
    shapes = {}
    for name in ("pool1", "pool", "pool5"):
        getattr(module, name).register_forward_hook(
            lambda _m, _i, out, name=name: shapes.setdefault(name, []).append(tuple(out.shape[1:]))
        )
    with torch.no_grad():
        assert module(torch.zeros(2, 3, 16, 112, 112)).shape == (2, 8192)
    assert shapes == {
        "pool1": [(64, 16, 56, 56)],
        "pool": [(128, 8, 28, 28), (256, 4, 14, 14), (512, 2, 7, 7)],
        "pool5": [(512, 1, 4, 4)],
    }


def test_c3d_first_layer_worked_by_hand():
    module = C3D()
    torch.nn.init.zeros_(module.conv1.weight)
    torch.nn.init.zeros_(module.conv1.bias)
    with torch.no_grad():
        module.conv1.weight[0, :, 1, 1, 1] = torch.tensor([1.0, 10.0, 100.0])  # the centre tap: the pixel itself
        module.conv1.weight[1, 0, 0, 1, 1] = 1.0  # red of the frame before
        module.conv1.weight[2, 0, 1, 1, 2] = -1.0  # minus red of the pixel to the right
        module.conv1.bias[2] = 2.0
        clip = torch.zeros(1, 3, 16, 112, 112)
        clip[0, :, 5, 7, 9] = torch.tensor([1.0, 2.0, 3.0])
        out = module.pool1(module.relu(module.conv1(clip)))[0]
    assert out[0, 5, 3, 4] == 1 + 20 + 300
    assert out[0].sum() == 321
    assert out[1, 6, 3, 4] == 1 and out[1].sum() == 1
    assert out[2, 5, 3, 4] == 2  # the pool takes the larger of 2 and relu(2 - 1)


@pytest.mark.parametrize("name", BACKBONES)
def test_folded_channels_last_equals_plain(name):
    torch.manual_seed(0)
    backbone = BACKBONES[name]
    module = backbone.build().eval()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.normal_(layer.bias)
            torch.nn.init.normal_(layer.running_mean)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
    clip = torch.rand(2, 3, 16, 112, 112)
    with torch.no_grad():
        plain = module(clip)
        fast = for_inference(module, torch.device("cpu"), torch.float32)(
            clip.contiguous(memory_format=torch.channels_last_3d)
        )
    assert plain.shape == (2, backbone.dim)
    assert not any(isinstance(layer, torch.nn.BatchNorm3d) for layer in module.modules())
    torch.testing.assert_close(fast, plain, rtol=1e-3, atol=1e-4 * plain.abs().max().item())


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(AqaError, match="c3d takes clips of 16 frames, got 32"):
        get_backbone("c3d").check_input(32, 112)
    with pytest.raises(AqaError, match="c3d takes frames of 112x112 pixels, got 180"):
        get_backbone("c3d").check_input(16, 180)
    with pytest.raises(AqaError, match="s3d needs clips of at least 14 frames, got 8"):
        get_backbone("s3d").check_input(8, 112)
    with pytest.raises(AqaError, match="unknown backbone 'i3d'; choose one of c3d, s3d"):
        get_backbone("i3d")
