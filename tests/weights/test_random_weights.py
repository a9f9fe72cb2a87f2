import pytest
import torch
from torch import nn

from aqa_cache.backbones.registry import BACKBONES, Backbone, get_backbone
from aqa_cache.disk.tensor_file import read_tensors, sha256_of
from aqa_cache.weights.random_weights import make_random_weights
from aqa_cache.weights.resolving import load_weights, resolve_weights

# The smallest clips that each network takes, or nearly.
SHAPES = {
    "c3d": (16, 112),
    "s3d": (16, 112),
    "i3d": (9, 64),
    "i3d-core": (9, 64),
    "r3d_18": (8, 64),
    "mc3_18": (8, 64),
    "mvit_v1_b": (16, 224),
    "swin3d_s": (4, 196),
    "swin3d_b": (4, 196),
    "r2plus1d_18": (16, 64),
    "mvit_v2_s": (16, 224),
    "swin3d_t": (4, 196),
}


# Networks of the same make as one of the others.
LIKE_ANOTHER = {"i3d-core", "r3d_18", "mc3_18", "mvit_v1_b", "swin3d_s", "swin3d_b"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.long if n in LIKE_ANOTHER else ()) for n in BACKBONES]
)
def test_random_weights_carry_signal(tmp_path, random_s3d, name):
    path = random_s3d if name == "s3d" else tmp_path / "random.safetensors"
    weights = resolve_weights(name, "random", random_path=path)
    assert weights.name == "random (seed 0)" and weights.path == path
    module = get_backbone(name).build().eval()
    load_weights(module, name, weights)
    frames, size = SHAPES[name]
    coarse = torch.rand(2, 3, 4, 7, 7, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features = module(nn.functional.interpolate(coarse, (frames, size, size), mode="trilinear") * 2 - 1)
    assert features.std() > 0.1 and features.abs().max() < 1e3
    assert (features[0] - features[1]).norm() > 0.05 * features.norm()
    torch.testing.assert_close(features.half().float(), features, rtol=1e-3, atol=1e-4)


def test_random_weights_are_the_same_always(tmp_path, random_s3d):
    make_random_weights(get_backbone("s3d"), tmp_path / "s3d.safetensors")
    assert sha256_of(tmp_path / "s3d.safetensors") == sha256_of(random_s3d)


class Small(nn.Module):
    """Something of everything: a parameter that only the constructor draws, dropout before a batch norm, and
    a buffer.
    """

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(3, 1, 1, 1))
        self.dropout = nn.Dropout(0.5)
        self.convolution = nn.Conv3d(3, 4, 1)
        self.norm = nn.BatchNorm3d(4)
        self.register_buffer("index", torch.arange(4))

    def forward(self, clips):
        assert clips.shape[2:] == (20, 70, 70)
        return self.norm(self.dropout(self.convolution(clips + self.token))).mean(dim=(2, 3, 4))


@pytest.mark.parametrize("limits", [{"clip_len": 20, "size": 70}, {"min_clip_len": 20, "min_size": 70}])
def test_random_weights_of_a_new_network(tmp_path, limits):
    backbone = Backbone("small", Small, "mean", 4, **limits)
    for seed, global_seed in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(global_seed)
        expected = torch.rand(3)
        torch.manual_seed(global_seed)
        make_random_weights(backbone, tmp_path / f"{seed}-{global_seed}.safetensors", seed)
        assert torch.equal(torch.rand(3), expected)  # the global generator is left alone
    one, two, three = (sha256_of(tmp_path / f"{name}.safetensors") for name in ("0-1", "0-2", "1-1"))
    assert one == two != three
    tensors = read_tensors(tmp_path / "0-1.safetensors")
    assert tensors["index"].tolist() == [0, 1, 2, 3]
    assert not tensors["convolution.bias"].any()
    # Without dropout, the mean of a 1x1x1 convolution of noise of mean 0 is that of the token.
    expected = tensors["convolution.weight"].flatten(1) @ tensors["token"].flatten()
    spread = tensors["norm.running_var"].sqrt()
    torch.testing.assert_close(tensors["norm.running_mean"] / spread, expected / spread, rtol=0, atol=0.3)
