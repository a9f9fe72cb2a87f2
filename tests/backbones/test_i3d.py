"""I3D as TensorFlow computes it, from either layout of its weights."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from aqa_cache.backbones.i3d import I3D, SamePadding
from aqa_cache.backbones.registry import get_backbone
from aqa_cache.weights.resolving import load_weights, resolve_weights

CLIP = torch.rand(1, 3, 9, 40, 40, generator=torch.Generator().manual_seed(0))


def random_i3d(norm_eps=1e-3):
    torch.manual_seed(0)
    module = I3D(norm_eps).eval()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm3d):
            nn.init.uniform_(layer.running_var, 1e-4, 2e-3)  # where eps matters
    return module


def as_piergiaj(key):
    """A key of ours as the other conversion has it, written down from its list of end points."""
    unit, *rest = key.split(".")
    rest = ["bn" if part == "batch3d" else part for part in rest]
    if not unit.startswith("mixed_"):
        return ".".join([unit.capitalize(), *rest])
    branches = {
        ("branch_0", None): "b0",
        ("branch_1", "0"): "b1a",
        ("branch_1", "1"): "b1b",
        ("branch_2", "0"): "b2a",
        ("branch_2", "1"): "b2b",
        ("branch_3", "1"): "b3b",
    }
    inner = None if rest[0] == "branch_0" else rest.pop(1)
    return ".".join([unit.capitalize(), branches[rest[0], inner], *rest[1:]])


def loaded(backbone, path):
    module = get_backbone(backbone).build().eval()
    weights = resolve_weights(backbone, str(path))
    load_weights(module, backbone, weights)
    return module, weights


def test_both_layouts_of_the_same_numbers_give_equal_features(tmp_path):
    module = random_i3d()
    ours = module.state_dict()
    save_file(
        {**ours, "conv3d_0c_1x1.conv3d.weight": torch.zeros(400, 1024, 1, 1, 1)}, tmp_path / "rgb.safetensors"
    )
    theirs = {as_piergiaj(key): value for key, value in ours.items()}
    assert {"Conv3d_1a_7x7.bn.running_mean", "Mixed_4f.b2b.conv3d.weight", "Mixed_3b.b0.bn.weight"} <= set(
        theirs
    )
    torch.save({**theirs, "logits.conv3d.bias": torch.zeros(157)}, tmp_path / "rgb.pt")
    with torch.no_grad():
        expected = module(CLIP)
        for name in ("rgb.safetensors", "rgb.pt"):
            assert torch.equal(loaded("i3d", tmp_path / name)[0](CLIP), expected)


def test_the_core_familys_is_another_network_on_another_input(tmp_path):
    save_file(random_i3d().state_dict(), tmp_path / "rgb.safetensors")
    (native, weights), (core, core_weights) = (
        loaded(name, tmp_path / "rgb.safetensors") for name in ("i3d", "i3d-core")
    )
    assert weights.sha256 == core_weights.sha256
    assert weights.preprocessing.mean == (0.5, 0.5, 0.5)
    assert core_weights.preprocessing.mean == (0.485, 0.456, 0.406)
    assert get_backbone("i3d").layer != get_backbone("i3d-core").layer
    with torch.no_grad():
        assert torch.equal(core(CLIP), random_i3d(1e-5)(CLIP))
        assert not torch.allclose(native(CLIP), core(CLIP), rtol=1e-3)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "behind"),
    [
        (224, 7, 2, 2, 3),
        (225, 7, 2, 3, 3),
        (7, 3, 2, 1, 1),
        (8, 3, 2, 0, 1),
        (9, 2, 2, 0, 1),
        (8, 2, 2, 0, 0),
    ],
)
def test_same_padding_worked_by_hand(size, kernel, stride, before, behind):
    line = torch.arange(1.0, size + 1).view(1, 1, 1, 1, size)
    padded = SamePadding((1, 1, kernel), (1, 1, stride))(line).flatten()
    assert padded.tolist() == [0.0] * before + line.flatten().tolist() + [0.0] * behind
    assert (len(padded) - kernel) // stride + 1 == -(-size // stride)


def test_the_first_layer_sees_one_more_pixel_behind_than_before():
    """Of 8 pixels and stride 2, place 0 reads pixels -2 to 4: with the padding of PyTorch it were -3 to 3."""
    module = I3D().eval()
    nn.init.zeros_(module.conv3d_1a_7x7.conv3d.weight)
    with torch.no_grad():
        module.conv3d_1a_7x7.conv3d.weight[0, 0, 2, 2, 6] = 1
        clip = torch.zeros(1, 3, 8, 8, 8)
        clip[0, 0, 0, 0] = torch.arange(8.0)
        first = module.conv3d_1a_7x7(clip)[0, 0, 0, 0] * (1 + 1e-3) ** 0.5
    torch.testing.assert_close(first, torch.tensor([4.0, 6.0, 0.0, 0.0]))


def test_shapes_along_the_network():
    module, shapes = I3D().eval().to("meta"), {}

    def note(name):
        return lambda _module, _inputs, out: shapes.update({name: tuple(out.shape[1:])})

    for name, layer in module.named_children():
        layer.register_forward_hook(note(name))
    assert module(torch.zeros(2, 3, 16, 224, 224, device="meta")).shape == (2, 1024)
    assert sum(parameter.numel() for parameter in module.parameters()) == 12_287_264
    assert shapes["conv3d_1a_7x7"] == (64, 8, 112, 112)
    assert shapes["mixed_3c"] == (480, 8, 28, 28)
    assert shapes["mixed_4f"] == (832, 4, 14, 14)
    assert shapes["mixed_5c"] == (1024, 2, 7, 7)
