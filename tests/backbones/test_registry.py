import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from places import DATA
from torch import nn

from aqa_cache.backbones.c3d import C3D
from aqa_cache.backbones.key_layouts import LAYOUTS
from aqa_cache.backbones.names import BACKBONE_NAMES, KNOWN_BACKBONES
from aqa_cache.backbones.registry import BACKBONES, Backbone, for_inference, get_backbone, register
from aqa_cache.backbones.s3d import S3D
from aqa_cache.clips.preprocess import Preprocessing
from aqa_cache.errors import AqaError

# The smallest clips that each network takes, or nearly.
SHAPES = {
    "c3d": (16, 112),
    "s3d": (16, 112),
    "i3d": (9, 64),
    "i3d-core": (9, 64),
    "r2plus1d_18": (8, 64),
    "r3d_18": (8, 64),
    "mc3_18": (8, 64),
    "mvit_v1_b": (16, 224),
    "mvit_v2_s": (16, 224),
    "swin3d_t": (4, 196),
    "swin3d_s": (2, 196),
    "swin3d_b": (2, 196),
}
CPU = torch.device("cpu")


@pytest.fixture
def registry():
    """Backbones registered in a test are known to that test alone."""
    everything = BACKBONES, LAYOUTS, KNOWN_BACKBONES.registered
    before = [dict(known) for known in everything]
    yield
    for known, names in zip(everything, before):
        known.clear()
        known.update(names)


def with_random_norms(module):
    """Batch norms that do something: as constructed, they are almost the identity."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm3d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias)
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return module


def clips(name, count=1):
    frames, size = SHAPES[name]
    return torch.rand(count, 3, frames, size, size)


def test_s3d_equals_torchvisions_stored_output():
    from torchvision.models.video import s3d

    torch.manual_seed(0)
    published = s3d(num_classes=50).eval()
    clip = torch.rand(1, 3, 16, 224, 224)
    ours = S3D().eval()
    ours.load_state_dict(
        {key: value for key, value in published.state_dict().items() if key.startswith("features.")}
    )
    with torch.no_grad():
        logits = published.classifier(ours(clip)[:, :, None, None, None]).flatten(1)
    stored = np.load(DATA / "oracles" / "s3d_seed0_50class_logits.npy")
    torch.testing.assert_close(logits, torch.from_numpy(stored), rtol=0, atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_s3d_is_torchvisions_network_to_the_bit(training):
    from torchvision.models.video import s3d

    # Drawn from one seed: the random weights of earlier caches are made again as they were.
    torch.manual_seed(0)
    published = s3d()
    torch.manual_seed(0)
    ours = S3D()
    theirs = {
        key: value for key, value in published.state_dict().items() if not key.startswith("classifier.")
    }
    assert list(ours.state_dict()) == list(theirs)
    assert all(torch.equal(value, theirs[key]) for key, value in ours.state_dict().items())
    clip = clips("s3d")
    with torch.no_grad():
        maps = [module.features.train(training)(clip) for module in (ours, published)]
    assert torch.equal(*maps)


@pytest.mark.parametrize("name", ["c3d", "s3d"])
def test_what_takes_long_to_import_is_not_needed(name):
    code = f"""
import sys, torch
from aqa_cache.backbones.ready import ready_model
from aqa_cache.backbones.registry import get_backbone
from aqa_cache.clips.preprocess import MTL_AQA
ready_model(get_backbone({name!r}).build(), torch.device("cpu"), "fp32", MTL_AQA, 1, 16)
print([name for name in ("torchvision", "torch._dynamo", "sympy", "scipy") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr


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
        # the centre tap: the pixel itself
        module.conv1.weight[0, :, 1, 1, 1] = torch.tensor([1.0, 10.0, 100.0])
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


@pytest.mark.parametrize(
    ("name", "classifier", "parameters"),
    [
        ("r2plus1d_18", "fc", 31_300_125),
        ("r3d_18", "fc", 33_166_272),
        ("mc3_18", "fc", 11_490_240),
        ("mvit_v1_b", "head", 36_303_072),
        ("mvit_v2_s", "head", 34_230_144),
        ("swin3d_t", "head", 27_850_470),
        ("swin3d_s", "head", 49_509_078),
        ("swin3d_b", "head", 87_638_984),
    ],
)
def test_features_are_what_torchvisions_classifier_reads(name, classifier, parameters):
    from torchvision.models import video

    torch.manual_seed(0)
    published = with_random_norms(getattr(video, name)()).eval()
    module = BACKBONES[name].build().eval()
    module.load_state_dict(
        {key: value for key, value in published.state_dict().items() if not key.startswith(f"{classifier}.")}
    )
    assert sum(parameter.numel() for parameter in module.parameters()) == parameters
    clip = clips(name)
    with torch.no_grad():
        features = module(clip)
        assert features.shape == (1, BACKBONES[name].dim)
        torch.testing.assert_close(
            getattr(published, classifier)(features), published(clip), rtol=0, atol=1e-6
        )


# What these have, smaller ones have too.
LARGE = {"mvit_v1_b", "swin3d_s", "swin3d_b"}


@pytest.mark.parametrize("name", [name for name in BACKBONES if name not in LARGE])
def test_folded_channels_last_equals_plain(name):
    torch.manual_seed(0)
    module = with_random_norms(BACKBONES[name].build()).eval()
    clip = clips(name, 1 if name.startswith(("mvit", "swin3d")) else 2)
    with torch.no_grad():
        plain = module(clip)
        # From training mode: dropout and stochastic depth must be off afterwards.
        fast = for_inference(module.train(), CPU, torch.float32)(
            clip.contiguous(memory_format=torch.channels_last_3d)
        )
    assert plain.shape == (len(clip), BACKBONES[name].dim)
    assert not any(isinstance(layer, nn.BatchNorm3d) for layer in module.modules())
    assert not any(parameter.requires_grad for parameter in module.parameters())
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-4 * plain.abs().max().item())


class Backwards(nn.Sequential):
    """Runs its layers from the last to the first: neighbours in the list are not neighbours in the
    arithmetic.
    """

    def forward(self, x):
        for layer in reversed(self):
            x = layer(x)
        return x


def convolution(inputs=4, outputs=4):
    return nn.Conv3d(inputs, outputs, 1)


def shared_convolution():
    layer = convolution()
    return nn.Sequential(layer, layer, nn.BatchNorm3d(4))


def shared_block():
    block = nn.Sequential(convolution(), nn.BatchNorm3d(4), nn.ReLU(), convolution())
    return nn.Sequential(block, nn.BatchNorm3d(4), block, nn.BatchNorm3d(4), block)


@pytest.mark.parametrize(
    ("build", "norms_left"),
    [
        (lambda: nn.Sequential(nn.Sequential(nn.ReLU(), nn.Sequential(convolution())), nn.BatchNorm3d(4)), 0),
        (shared_convolution, 0),
        (shared_block, 0),
        (lambda: nn.Sequential(convolution(), nn.ReLU(), nn.BatchNorm3d(4)), 1),
        (lambda: nn.Sequential(nn.Sequential(convolution(), nn.ReLU()), nn.BatchNorm3d(4)), 1),
        (lambda: nn.Sequential(nn.Sequential(), nn.BatchNorm3d(4)), 1),
        (lambda: Backwards(convolution(), nn.BatchNorm3d(4), nn.ReLU()), 1),
        (lambda: nn.Sequential(Backwards(nn.BatchNorm3d(4), convolution()), nn.BatchNorm3d(4)), 2),
    ],
)
def test_folding_never_changes_the_function(build, norms_left):
    torch.manual_seed(0)
    module = with_random_norms(build()).eval()
    clip = torch.rand(2, 4, 3, 5, 5)
    with torch.no_grad():
        plain = module(clip)
        fast = for_inference(copy.deepcopy(module), CPU, torch.float32)
        torch.testing.assert_close(fast(clip), plain, rtol=1e-5, atol=1e-5)
    assert sum(isinstance(layer, nn.BatchNorm3d) for layer in fast.modules()) == norms_left


def test_a_network_of_single_frames_can_be_laid_out():
    torch.manual_seed(0)
    module = nn.Conv2d(3, 4, 3)
    frames = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        plain = module(frames)
        assert torch.equal(for_inference(module, CPU, torch.float32)(frames), plain)


@pytest.mark.parametrize(
    ("size", "whole"), [(BACKBONES["swin3d_t"].min_size, True), (BACKBONES["swin3d_t"].min_size - 1, False)]
)
def test_windows_of_swin3d_are_whole_from_its_smallest_size(size, whole):
    module = BACKBONES["swin3d_t"].build().eval()
    sides = []
    for layer in module.modules():
        if type(layer).__name__ == "ShiftedWindowAttention3d":
            assert layer.window_size[1:] == [7, 7]
            layer.register_forward_pre_hook(lambda _, inputs: sides.append(min(inputs[0].shape[2:4])))
    with torch.no_grad():
        module(torch.zeros(1, 3, 2, size, size))
    assert len(sides) == 12 and (min(sides) >= 7) == whole


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(AqaError, match="c3d takes clips of 16 frames, got 32; give --clip-len 16"):
        get_backbone("c3d").check_input(32, 112)
    with pytest.raises(AqaError, match="c3d takes frames of 112x112 pixels, got 180; give --size 112"):
        get_backbone("c3d").check_input(16, 180)
    with pytest.raises(
        AqaError, match="s3d needs clips of at least 14 frames, got 8; give a larger --clip-len"
    ):
        get_backbone("s3d").check_input(8, 112)
    with pytest.raises(AqaError, match="mvit_v2_s takes clips of 16 frames, got 32; give --clip-len 16"):
        get_backbone("mvit_v2_s").check_input(32, 224)
    with pytest.raises(AqaError, match="mvit_v2_s takes frames of 224x224 pixels, got 112; give --size 224"):
        get_backbone("mvit_v2_s").check_input(16, 112)
    with pytest.raises(
        AqaError, match="swin3d_t needs frames of at least 193x193 pixels, got 112; give a larger --size"
    ):
        get_backbone("swin3d_t").check_input(16, 112)
    with pytest.raises(
        AqaError, match="backbone 'x3d' is not known here, only c3d, s3d, i3d, i3d-core, r2plus1d_18, r3d_18"
    ):
        get_backbone("x3d")


def test_names_and_records_agree_and_names_need_no_torch():
    assert tuple(BACKBONES) == BACKBONE_NAMES
    code = "import sys, aqa_cache.backbones.names; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


OF_TORCHVISION = [name for name in BACKBONES if name not in ("c3d", "s3d", "i3d", "i3d-core")]


@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_without_torchvision_there_is_one_message(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(AqaError, match="^torchvision is needed for the .* backbone, but importing it failed"):
        BACKBONES[name].build()


def test_names_of_this_program_cannot_be_taken(registry):
    preprocessing = Preprocessing(resize=128, crop=112, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    with pytest.raises(AqaError, match="'s3d' is the name of a backbone that comes with this program"):
        register(Backbone("s3d", C3D, "pool5", 8192), preprocessing)
    register(Backbone("mine", C3D, "pool5", 8192), preprocessing)
    register(Backbone("mine", C3D, "pool5, again", 8192), preprocessing)
    assert get_backbone("mine").layer == "pool5, again"
