"""Models of timm as backbones of single frames: its own forward."""

import json
import shutil

import pytest
import torch
from model_folders import saved_by_timm
from near_fp32 import near_fp32
from torch import nn

from aqa_cache.backbones.names import KNOWN_BACKBONES
from aqa_cache.backbones.registry import get_backbone
from aqa_cache.errors import AqaError, WeightsError
from aqa_cache.weights.resolving import load_weights, resolve_weights

pytestmark = pytest.mark.extra
timm = pytest.importorskip("timm")

VIT = {"depth": 2, "embed_dim": 32, "num_heads": 2}
MODELS = {
    "dinov2": ("vit_small_patch14_dinov2", {**VIT, "img_size": 28}),
    "dinov3": ("vit_small_patch16_dinov3", {**VIT, "img_size": 32}),
    "clip": ("vit_base_patch16_clip_224.openai", {**VIT, "img_size": 32}),
    "resnet": ("test_resnet", {}),
}


def loaded(folder, suffix=""):
    name = KNOWN_BACKBONES.give(f"timm:{folder}{suffix}")
    backbone = get_backbone(name)
    weights = resolve_weights(name)
    module = backbone.build().eval()
    load_weights(module, name, weights)
    return backbone, module, weights


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root, made = tmp_path_factory.mktemp("models"), {}

    def of(kind):
        if kind not in made:
            architecture, arguments = MODELS[kind]
            made[kind] = root / kind, saved_by_timm(root / kind, architecture, **arguments)
        return made[kind]

    return of


@pytest.mark.parametrize("kind", MODELS)
def test_features_are_what_the_librarys_classifier_reads(saved, kind):
    folder, model = saved(kind)
    backbone, module, weights = loaded(folder)
    size = backbone.preprocessing.crop
    clips = torch.rand(2, 3, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = module(clips)
        frames = clips.transpose(1, 2).flatten(0, 1)
        expected = model.forward_head(model.forward_features(frames), pre_logits=True)
        torch.testing.assert_close(features, expected.unflatten(0, (2, 3)).mean(1), rtol=1e-5, atol=1e-5)
        logits = model.get_classifier()(module.over_time(clips).flatten(0, 1))
        torch.testing.assert_close(logits, model(frames), rtol=1e-5, atol=1e-5)
    assert features.shape == (2, backbone.dim) and features.std() > 1e-4
    assert backbone.name == f"timm:{kind}" and weights.name.startswith(f"timm:{kind} (licence ")
    assert loaded(folder, "+std")[0].dim == 2 * backbone.dim


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_lower_precision_is_near_fp32(saved, kind, precision, monkeypatch):
    _, module, weights = loaded(saved(kind)[0])
    near_fp32(module, weights.preprocessing, precision, monkeypatch)


def test_input_is_what_the_config_says(saved):
    backbone, *_ = loaded(saved("clip")[0])
    assert backbone.preprocessing.mean == (0.48145466, 0.4578275, 0.40821073)
    assert (backbone.preprocessing.resize, backbone.preprocessing.crop) == (35, 32)  # crop_pct .9


def test_positions_follow_the_frames_size(saved):
    backbone, module, _ = loaded(saved("dinov2")[0])
    backbone.check_input(1, 56)
    with torch.no_grad():
        assert module(torch.rand(1, 3, 2, 56, 56)).shape == (1, 32)
    with pytest.raises(AqaError, match="multiple of 14 pixels, got 60; give --size 56"):
        backbone.check_input(1, 60)


def changed(folder, to, change):
    shutil.copytree(folder, to)
    content = json.loads((to / "config.json").read_text())
    change(content)
    (to / "config.json").write_text(json.dumps(content))
    return to


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(architecture="hf-hub:someone/model"), "names no architecture of timm"),
        (lambda c: c.pop("architecture"), "names no architecture of timm .* give hf: in place of timm:"),
        (lambda c: c.update(architecture="vit_none"), "the architecture 'vit_none' is not in timm"),
        (lambda c: c["model_args"].update(checkpoint_path="/x"), "model_args .* has checkpoint_path"),
        (lambda c: c["model_args"].update(depth=10**6), "depth is 1000000 in config.json"),
        (lambda c: c["model_args"].update(num_heads=5), "timm cannot make vit_small_patch14_dinov2"),
        (lambda c: c["model_args"].update(depth="x"), "timm cannot make .*TypeError"),
        (lambda c: c["model_args"].update(act_layer={"a": 1}), "timm cannot make .*TypeError"),
        (lambda c: c["pretrained_cfg"].update(input_size=5), "pretrained_cfg .* does not say its input"),
        (lambda c: c["pretrained_cfg"].update(input_size=[]), "pretrained_cfg .* does not say its input"),
        (lambda c: c["pretrained_cfg"].update(classifier=5), "classifier of its config.json is 5"),
        (lambda c: c["pretrained_cfg"].pop("mean"), "pretrained_cfg .* does not say its input"),
    ],
)
def test_folders_that_cannot_be_used_are_refused_in_words(saved, tmp_path, change, message):
    with pytest.raises(AqaError, match=message):
        KNOWN_BACKBONES.give(f"timm:{changed(saved('dinov2')[0], tmp_path / 'm', change)}")


def test_weights_of_another_config_are_refused(saved, tmp_path):
    folder = changed(saved("dinov2")[0], tmp_path / "m", lambda c: c["model_args"].update(depth=3))
    with pytest.raises(WeightsError, match=r"does not fit timm:m: .* missing \(network.blocks.2"):
        loaded(folder)


def test_real_sizes_on_no_memory(tmp_path):
    """ViT-S of DINOv2 as it is published: 22,056,576 parameters, of which one is a mask's token."""
    config = {
        "architecture": "vit_small_patch14_dinov2",
        "num_classes": 0,
        "pretrained_cfg": {
            "input_size": [3, 518, 518],
            "fixed_input_size": True,
            "crop_pct": 1.0,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "license": "apache-2.0",
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    backbone = get_backbone(KNOWN_BACKBONES.give(f"timm:{tmp_path}"))
    backbone.check_input(16, 224)
    with torch.device("meta"):
        module = backbone.build()
        assert module(torch.zeros(1, 3, 2, 224, 224)).shape == (1, 384)
    assert sum(parameter.numel() for parameter in module.parameters()) == 22_056_576 - 384
    assert backbone.layer.startswith("what the classifier reads (token pooling), mean over frames; config ")
    assert isinstance(module.network, nn.Module)
