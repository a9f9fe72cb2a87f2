"""Models of transformers as backbones: its own forward, from any file that it may have been saved in."""

import json
import shutil

import pytest
import torch
from model_folders import PROCESSOR, TRANSFORMERS, saved_by_transformers
from near_fp32 import near_fp32
from safetensors.torch import load_file, save_file

from aqa_cache.backbones.names import KNOWN_BACKBONES
from aqa_cache.backbones.openvino_engine import Converted
from aqa_cache.backbones.ready import ready_model
from aqa_cache.backbones.registry import get_backbone
from aqa_cache.backbones.time_steps import OverTime
from aqa_cache.clips.preprocess import normalise
from aqa_cache.errors import AqaError, WeightsError
from aqa_cache.extraction.configuration import ExtractionConfig
from aqa_cache.weights.resolving import load_weights, resolve_weights

pytestmark = pytest.mark.extra
transformers = pytest.importorskip("transformers")

# Weights and biases of attention and of the layers behind it, in a block of 1024 and of 768.
BLOCK_L, BLOCK_B = (4 * (width**2 + width) + 8 * width**2 + 5 * width for width in (1024, 768))
LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
    "image_size": 518,
}


def loaded(folder, suffix=""):
    """The backbone of a folder as aqa-extract has it."""
    name = KNOWN_BACKBONES.give(f"hf:{folder}{suffix}")
    backbone = get_backbone(name)
    weights = resolve_weights(name)
    module = backbone.build().eval()
    load_weights(module, name, weights)
    return backbone, module, weights


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Each kind once: its folder and the library's model."""
    root, made = tmp_path_factory.mktemp("models"), {}

    def of(kind):
        if kind not in made:
            made[kind] = root / kind, saved_by_transformers(root / kind, kind)
        return made[kind]

    return of


def clip_of(backbone, frames=4, count=2):
    size = backbone.preprocessing.crop
    return torch.rand(count, 3, frames, size, size, generator=torch.Generator().manual_seed(0))


def theirs(model, kind, clips):
    """The library's own forward, pooled here."""
    videos = clips.transpose(1, 2)
    if kind == "vjepa2":
        return model.get_vision_features(videos).mean(1)
    if kind.startswith("videomae"):
        return model.base_model(videos).last_hidden_state.mean(1)
    tower = model.vision_model if kind == "clip" else model
    frames = [tower(videos[:, step]).pooler_output for step in range(videos.shape[1])]
    return torch.stack(frames).mean(0)


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_features_are_the_librarys(saved, kind, said):
    folder, model = saved(kind)
    backbone, module, weights = loaded(folder)
    clips = clip_of(backbone)
    with torch.no_grad():
        features = module(clips)
        torch.testing.assert_close(features, theirs(model, kind, clips), rtol=1e-5, atol=1e-5)
        steps = OverTime(module, backbone.time)(clips)
        torch.testing.assert_close(steps.mean(1), features, rtol=1e-5, atol=1e-5)
    assert steps.shape == (2, backbone.time.count(kind, 4), 32)
    assert backbone.time.layer.split("; ")[1] == backbone.layer.split("; ")[1]
    assert features.shape == (2, backbone.dim) == (2, 32) and features.std() > 1e-3
    assert backbone.name == f"hf:{folder.name}" and weights.name == f"hf:{folder.name} (licence mit)"
    assert said == [f"hf:{folder.name}: licence mit."]
    assert backbone.preprocessing.resize == backbone.preprocessing.crop + 4
    assert len(backbone.layer.split("; config ")[1]) == 12


@pytest.mark.parametrize("kind", ["vjepa2", "videomae", "dinov2", "clip-vision"])
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.long)])
def test_laid_out_for_inference_it_is_the_same(saved, kind, compiled):
    backbone, module, weights = loaded(saved(kind)[0])
    clips = clip_of(backbone, count=3)
    pixels = [(clip.permute(1, 2, 3, 0) * 255).byte().numpy() for clip in clips]
    with torch.no_grad():
        model = ready_model(
            loaded(saved(kind)[0])[1],
            torch.device("cpu"),
            "fp32",
            weights.preprocessing,
            4,
            4,
            compiled=compiled,
        )
        inputs = normalise(torch.stack([torch.from_numpy(clip) for clip in pixels]), weights.preprocessing)
        expected = module(inputs.contiguous())
    assert model.compiled == compiled
    torch.testing.assert_close(torch.from_numpy(model.forward(pixels)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [kind for kind in TRANSFORMERS if kind not in ("videomae-tuned", "clip")])
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_lower_precision_is_near_fp32(saved, kind, precision, monkeypatch):
    near_fp32(loaded(saved(kind)[0])[1], loaded(saved(kind)[0])[2].preprocessing, precision, monkeypatch)


@pytest.mark.parametrize("kind", ["vjepa2", "videomae", "dinov2"])
def test_openvino_runs_them(saved, kind, caplog):
    pytest.importorskip("openvino")
    backbone, module, weights = loaded(saved(kind)[0])
    size = weights.preprocessing.crop

    def converted():
        return Converted(module, (1, 3, 4, size, size), None, backbone.name, weights.sha256)

    options = {"engine": "openvino", "converted": converted}
    model = ready_model(module, torch.device("cpu"), "fp32", weights.preprocessing, 2, 4, **options)
    assert model.engine == "openvino", "its features are those of torch, or it would have refused"
    assert not [record for record in caplog.records if record.name.startswith("transformers")]


def test_shards_and_half_precision_are_read_as_one_file_of_floats_is(saved, tmp_path):
    whole, model = saved("vjepa2")
    saved_by_transformers(tmp_path / "vjepa2", "vjepa2", max_shard_size="20KB")
    assert (tmp_path / "vjepa2" / "model.safetensors.index.json").exists()
    _, module, weights = loaded(tmp_path / "vjepa2")
    _, expected, single = loaded(whole)
    assert weights.sha256 != single.sha256
    for name, tensor in expected.state_dict().items():
        assert torch.equal(module.state_dict()[name], tensor), name
    shard = sorted((tmp_path / "vjepa2").glob("model-*.safetensors"))[0]
    tensors = load_file(shard)
    save_file({name: tensor.half() for name, tensor in tensors.items()}, shard, {"format": "pt"})
    halved = loaded(tmp_path / "vjepa2")
    assert halved[2].sha256 != weights.sha256, "the hash is of every shard"
    assert all(tensor.dtype == torch.float32 for tensor in halved[1].state_dict().values())


def test_spread_follows_the_mean_of_frames(saved):
    folder, _ = saved("dinov2")
    backbone, module, *_ = loaded(folder, "+std")
    clips = clip_of(backbone, frames=5)
    with torch.no_grad():
        features, frames = module(clips), module.over_time(clips)
    assert backbone.name == "hf:dinov2+std" and backbone.dim == 64 and backbone.time is None
    torch.testing.assert_close(features[:, :32], frames.mean(1))
    torch.testing.assert_close(features[:, 32:], frames.std(1, correction=0), rtol=1e-4, atol=1e-5)
    assert backbone.layer != loaded(folder)[0].layer
    with pytest.raises(AqaError, match=r"\+std is of networks of single frames, and this one takes clips"):
        KNOWN_BACKBONES.give(f"hf:{saved('vjepa2')[0]}+std")


def test_frame_networks_take_other_sizes_and_others_do_not(saved):
    dinov2, *_ = loaded(saved("dinov2")[0])
    dinov2.check_input(7, 42)
    for kind, arguments, message in (
        ("dinov2", (7, 40), "multiple of 14 pixels, got 40; give --size 28"),
        ("vjepa2", (3, None), "hf:vjepa2 takes clips of a multiple of 2 frames, got 3; give --clip-len 4"),
        ("vjepa2", (4, 64), "hf:vjepa2 takes frames of 32x32 pixels, got 64; give --size 32"),
        ("videomae", (16, None), "hf:videomae takes clips of 4 frames, got 16; give --clip-len 4"),
    ):
        with pytest.raises(AqaError, match=message):
            loaded(saved(kind)[0])[0].check_input(*arguments)


def changed(folder, to, name, change):
    shutil.copytree(folder, to)
    content = json.loads((to / name).read_text())
    change(content)
    (to / name).write_text(json.dumps(content))
    return to


def test_another_config_is_another_layer_and_where_it_lies_is_not(saved, tmp_path):
    folder, _ = saved("vjepa2")
    layer = loaded(folder)[0].layer
    moved = changed(folder, tmp_path / "a" / "vjepa2", "config.json", lambda c: c.update(dtype="x"))
    assert (loaded(moved)[0].name, loaded(moved)[0].layer) == ("hf:vjepa2", layer)
    other = changed(
        folder, tmp_path / "b" / "vjepa2", "config.json", lambda c: c.update(num_attention_heads=4)
    )
    assert loaded(other)[0].layer != layer, "a name that was given before stands for the folder given last"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "config.json",
            lambda c: c.update(auto_map={"AutoModel": "m.M"}),
            "needs code that comes with",
        ),
        (
            "config.json",
            lambda c: c.update(model_type="bert"),
            "is of the kind 'bert', expected one of vj",
        ),
        ("config.json", lambda c: c.update(hidden_size=10**9), "hidden_size is 1000000000 in config.json"),
        (
            "config.json",
            lambda c: c.update(tubelet_size=0),
            "tubelet_size is 0 in config.json, expected",
        ),
        (
            "config.json",
            lambda c: c.update(crop_size=64),
            "takes frames of 64 pixels by its config.j",
        ),
        ("config.json", lambda c: c.update(patch_size=[]), "crop_size or patch_size .* is an empty list"),
        (
            "config.json",
            lambda c: c.update(model_type="clip", vision_config=5),
            "vision_config of its config.json is 5, expected an object",
        ),
        ("video_preprocessor_config.json", lambda c: c.pop("size"), "'size' is lacking"),
    ],
)
def test_folders_that_cannot_be_used_are_refused_in_words(saved, tmp_path, name, change, message):
    folder = changed(saved("vjepa2")[0], tmp_path / "vjepa2", name, change)
    (folder / "m.py").write_text("raise SystemExit('run')")
    with pytest.raises(AqaError, match=message):
        ExtractionConfig(f"hf:{folder}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"num_hidden_layers": 3},
            r"does not fit its config.json \(VJEPA2Model\): \d+ missing \(encoder",
        ),
        ({"hidden_size": 64}, r"\d+ of another shape \(encoder"),
    ],
)
def test_weights_of_another_config_are_refused(saved, tmp_path, change, message):
    folder = changed(saved("vjepa2")[0], tmp_path / "vjepa2", "config.json", lambda c: c.update(change))
    with pytest.raises(WeightsError, match=message):
        loaded(folder)


def test_weights_that_are_no_safetensors_are_not_read(saved, tmp_path):
    folder = shutil.copytree(saved("vjepa2")[0], tmp_path / "vjepa2")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="holds no model.safetensors, only pytorch_model.bin, which may"):
        loaded(folder)


def test_without_the_library_there_is_one_message(saved, monkeypatch):
    folder, _ = saved("vjepa2")
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(AqaError, match=r"transformers is needed for the backbone hf:vjepa2, .*-cache\[hf\]"):
        KNOWN_BACKBONES.give(f"hf:{folder}")


@pytest.mark.parametrize(
    ("config", "sizes", "dim", "parameters"),
    [
        ("VJEPA2Config", {}, 1024, 24 * (BLOCK_L + 4096) + 1024 * (6 * 16**2 + 1) + 2048),
        # no biases of keys, no norm behind the last layer
        ("VideoMAEConfig", {}, 768, 12 * (BLOCK_B - 768 + 3072) + 768 * (6 * 16**2 + 1)),
        # as Meta counts them: 304,368,640
        ("Dinov2Config", LARGE, 1024, 304_368_640),
    ],
)
def test_real_sizes_on_no_memory(tmp_path, config, sizes, dim, parameters):
    """The published configurations: ViT-L of V-JEPA 2, ViT-B of VideoMAE, ViT-L of DINOv2."""
    known = getattr(transformers, config)(**sizes)
    known.save_pretrained(tmp_path)
    side = known.crop_size if config == "VJEPA2Config" else known.image_size
    processor = PROCESSOR | {"size": side, "crop_size": side}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    backbone = get_backbone(KNOWN_BACKBONES.give(f"hf:{tmp_path}"))
    with torch.device("meta"):
        module = backbone.build()
        assert module(torch.zeros(1, 3, 16, side, side)).shape == (1, dim) == (1, backbone.dim)
    assert sum(parameter.numel() for parameter in module.parameters()) == parameters
