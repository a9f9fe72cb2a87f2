import pytest
import torch
from torch import nn

from aqa_cache.backbones.registry import BACKBONES
from aqa_heads.end_to_end.trainable import layers_of, prepare, training_mode
from aqa_heads.errors import TrainingError

C3D_LAYERS = ["conv1", "conv2", "conv3a", "conv3b", "conv4a", "conv4b", "conv5a", "conv5b"]


def small() -> nn.Sequential:
    def block():
        return nn.Sequential(nn.Conv3d(2, 2, 1), nn.BatchNorm3d(2), nn.ReLU())

    return nn.Sequential(
        nn.Dropout(), block(), nn.Dropout(), block(), nn.Dropout(), nn.BatchNorm3d(2, affine=False)
    )


def build(name: str) -> nn.Module:
    with torch.device("meta"):
        return BACKBONES[name].build()


def test_layers_are_those_with_weights_in_order():
    assert layers_of(build("c3d")) == C3D_LAYERS
    assert layers_of(small()) == ["1", "1.0", "1.1", "3", "3.0", "3.1"]
    s3d = layers_of(build("s3d"))
    assert s3d[0] == "features" and s3d.index("features.5") < s3d.index("features.5.branch0") < s3d.index(
        "features.9"
    )
    assert "features.4" not in s3d  # a pooling
    mvit = layers_of(build("mvit_v2_s"))
    assert mvit.index("pos_encoding") < mvit.index("blocks.3") < mvit.index("norm")


@pytest.mark.parametrize("name", BACKBONES)
def test_any_layer_can_be_the_first_that_is_trained(name):
    module = build(name)
    parameters = dict(module.named_parameters())
    for layer in layers_of(module)[::9]:
        prepare(module, layer)
        trained = [parameter.requires_grad for parameter in parameters.values()]
        first = trained.index(True)
        # A layer is trained whole, and so is all that follows it.
        assert all(trained[first:]) and list(parameters)[first].startswith(f"{layer}.")


@pytest.mark.parametrize(
    "name, until, frozen",
    [
        ("c3d", None, []),
        ("c3d", "conv1", []),
        ("c3d", "conv4a", C3D_LAYERS[:4]),
        (
            "s3d",
            "features.9",
            ["features.0", "features.2", "features.3", "features.5", "features.6", "features.8"],
        ),
        ("s3d", "features.2", ["features.0"]),
        ("s3d", "features.5.branch1", ["features.0", "features.2", "features.3", "features.5.branch0"]),
        ("mvit_v2_s", "blocks.2", ["conv_proj", "pos_encoding", "blocks.0", "blocks.1"]),
        ("swin3d_t", "features.2", ["patch_embed", "features.0", "features.1"]),
        ("r2plus1d_18", "layer2", ["stem", "layer1"]),
    ],
)
def test_what_lies_before_a_layer_is_frozen(name, until, frozen):
    module = build(name)
    module.requires_grad_(False)
    assert prepare(module, until) == frozen
    for parameter_name, parameter in module.named_parameters():
        inside = parameter_name.startswith(tuple(f"{layer}." for layer in frozen)) if frozen else False
        assert parameter.requires_grad != inside, parameter_name


def test_the_message_lists_the_layers():
    with pytest.raises(TrainingError) as error:
        prepare(build("c3d"), "conv6")
    assert str(error.value) == (
        "--freeze-until conv6: the backbone has no layer of this name with weights; choose one of "
        + ", ".join(C3D_LAYERS)
    )
    with pytest.raises(
        TrainingError, match=r"choose one of features\.0, features\.2, .*inside them, such as features\."
    ) as error:
        prepare(build("s3d"), "features.4")
    assert len(str(error.value)) < 400


def test_a_layer_that_is_not_there_changes_nothing():
    module = small().eval()
    with pytest.raises(TrainingError):
        prepare(module, "7")
    assert not module.training and all(parameter.requires_grad for parameter in module.parameters())


def modes(module: nn.Module) -> dict[str, bool]:
    return {name: layer.training for name, layer in module.named_modules() if not list(layer.children())}


@pytest.mark.parametrize(
    "until, batch_norm, training",
    [
        (None, "frozen", {"0", "1.0", "1.2", "2", "3.0", "3.2", "4"}),
        (None, "chunk", {"0", "1.0", "1.1", "1.2", "2", "3.0", "3.1", "3.2", "4", "5"}),
        ("3", "frozen", {"3.0", "3.2", "4"}),
        ("3", "chunk", {"3.0", "3.1", "3.2", "4", "5"}),
        ("1.1", "chunk", {"1.1", "1.2", "2", "3.0", "3.1", "3.2", "4", "5"}),
    ],
)
def test_frozen_layers_and_frozen_statistics_are_evaluated(until, batch_norm, training):
    module = small()
    prepare(module, until, batch_norm)
    assert {name for name, mode in modes(module).items() if mode} == training
    module.eval()
    training_mode(module, batch_norm)
    assert {name for name, mode in modes(module).items() if mode} == training


def test_prepared_it_is_the_same_function():
    torch.manual_seed(0)
    module, clips = BACKBONES["s3d"].build().eval(), torch.randn(1, 3, 16, 32, 32)
    expected = module(clips)
    prepare(module, "features.9")
    torch.testing.assert_close(
        module(clips), expected, rtol=1e-4, atol=1e-6 * float(expected.detach().abs().max())
    )
    convolutions = [layer for layer in module.modules() if isinstance(layer, nn.Conv3d)]
    assert all(layer.weight.is_contiguous(memory_format=torch.channels_last_3d) for layer in convolutions)
