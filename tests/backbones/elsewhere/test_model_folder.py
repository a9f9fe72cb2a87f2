"""What is read of a model's folder, and what is not."""

import json

import pytest
import torch
from safetensors.torch import save_file

from aqa_cache.backbones.elsewhere.frame_network import FrameNetwork
from aqa_cache.backbones.elsewhere.model_folder import ModelFolder, licence_said
from aqa_cache.backbones.elsewhere.processor import preprocessing_of
from aqa_cache.backbones.elsewhere.shape import checked_sizes
from aqa_cache.backbones.elsewhere.source import Source
from aqa_cache.disk.tensor_file import read_tensors, sha256_of, sha256_of_weights
from aqa_cache.errors import AqaError, WeightsError

VJEPA2 = {
    "size": {"shortest_edge": 292},
    "crop_size": {"height": 256, "width": 256},
    "do_center_crop": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "rescale_factor": 0.00392156862745098,
}


def folder(path):
    return ModelFolder(path, "m", "hf:m")


def test_a_processor_becomes_a_preprocessing():
    found = preprocessing_of(VJEPA2, "m")
    assert (found.resize, found.crop, found.value_range, found.antialias) == (292, 256, 1.0, True)
    assert found.mean == (0.485, 0.456, 0.406) and found.std == (0.229, 0.224, 0.225)
    square = {**VJEPA2, "size": {"height": 224, "width": 224}, "do_center_crop": False}
    found = preprocessing_of(square, "m")
    assert (found.resize, found.crop) == ((224, 224), 224)
    bytes_ = preprocessing_of({**VJEPA2, "size": 300, "do_rescale": False, "do_normalize": False}, "m")
    assert (bytes_.resize, bytes_.value_range, bytes_.mean, bytes_.std) == (300, 255, (0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": {"longest_edge": 9}}, "'height' is lacking"),
        ({"crop_size": {"height": 200, "width": 256}}, "crop_size is 200x256, expected a square"),
        ({"crop_size": 400}, "crop is 400, expected no more than resize"),
        ({"image_std": [0, 1, 1]}, "std is .* expected a list of three finite numbers above 0"),
        ({"image_mean": 0.5}, "mean is 0.5"),
        ({"size": 10**6}, "resize is 1000000, expected 1 to 8192"),
        ({"rescale_factor": "much"}, "m: what it says of its input cannot be used"),
    ],
)
def test_a_processor_that_cannot_be_used_is_one_message(change, message):
    with pytest.raises(AqaError, match=message):
        preprocessing_of({**VJEPA2, **change}, "m")


def test_json_of_a_folder_is_read_within_bounds(tmp_path):
    with pytest.raises(AqaError, match="holds no config.json; expected the folder of a model"):
        folder(tmp_path).config()
    for text, message in (
        ("[1]", "is list, expected a JSON object"),
        ("{", "cannot be read as JSON"),
        ('{"a": NaN}', "cannot be read as JSON .*NaN"),
        ('{"a": "' + "x" * (1 << 20) + '"}', "is larger than 1 MiB"),
        ('{"auto_map": {}}', "needs code that comes with the model .* aqa-data import-features"),
    ):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(AqaError, match=message):
            folder(tmp_path).config()
    assert folder(tmp_path).processor() is None
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": {"size": 3}}))
    assert folder(tmp_path).processor() == {"size": 3}
    (tmp_path / "video_preprocessor_config.json").write_text(json.dumps({"size": 4}))
    assert folder(tmp_path).processor() == {"size": 4}


@pytest.mark.parametrize(
    ("card", "licence", "said"),
    [
        (
            "---\ntags: [a]\nlicense: cc-by-nc-4.0\n---\n",
            "cc-by-nc-4.0",
            "cc-by-nc-4.0: not for commercial use",
        ),
        ('---\nlicense: other\nlicense_name: "dinov3-license"\n---', "dinov3-license", "its own terms"),
        ("---\nlicense: apache-2.0\n---\nlicense: mit", "apache-2.0", "licence apache-2.0"),
        ("license: mit\n", None, "licence not said"),
        ("---\ntitle: x\n---\nlicense: mit\n", None, "licence not said"),
    ],
)
def test_the_licence_is_the_cards(tmp_path, card, licence, said):
    assert folder(tmp_path).licence() is None
    (tmp_path / "README.md").write_text(card)
    assert folder(tmp_path).licence() == licence
    assert said in licence_said(licence)


def test_numbers_of_a_config_are_bounded_and_what_decides_nothing_is_left_out():
    config = {"hidden_size": 8, "mlp_ratio": 4.0, "dtype": "float16", "transformers_version": "5"}
    assert checked_sizes(config, "m") == {"hidden_size": 8, "mlp_ratio": 4.0}
    for wrong in (
        {"hidden_size": 10**6},
        {"patch_size": [16, 0]},
        {"else": 1 << 21},
        {"num_hidden_layers": -1},
    ):
        with pytest.raises(AqaError, match=f"m: {next(iter(wrong))} is .* expected"):
            checked_sizes(wrong, "m")


def test_names_are_folders_that_are_there_and_else_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hub = Source.of("hf:facebook/vjepa2-vitl@abc+std")
    assert (hub.repository, hub.revision, hub.spread, hub.folder) == (
        "facebook/vjepa2-vitl",
        "abc",
        True,
        None,
    )
    assert Source.of("timm:vit_s.lvd").repository == "timm/vit_s.lvd"
    (tmp_path / "facebook" / "vjepa2-vitl").mkdir(parents=True)
    assert Source.of("hf:facebook/vjepa2-vitl").model_folder().name == "vjepa2-vitl"
    cached = tmp_path / "models--facebook--big-one" / "snapshots" / ("a" * 40)
    cached.mkdir(parents=True)
    assert Source.of(f"hf:{cached}").model_folder().name == "big-one"
    for wrong in ("hf:", "hf:nowhere", "hf:../up/there", "hf:a/b/c", "hf:a/b@", "hf:a/b@x y", "timm:a b"):
        with pytest.raises(AqaError, match="neither a folder that is there nor a name on the Hub"):
            Source.of(wrong)


def test_weights_in_several_files_are_one(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "model-1-of-2.safetensors")
    save_file({"b": torch.zeros(3)}, tmp_path / "model-2-of-2.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    where = {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}
    index.write_text(json.dumps({"weight_map": where}))
    assert folder(tmp_path).weights() == index
    assert {name: len(tensor) for name, tensor in read_tensors(index).items()} == {"a": 2, "b": 3}
    before = sha256_of_weights(index)
    save_file({"b": torch.ones(3)}, tmp_path / "model-2-of-2.safetensors")
    assert before != sha256_of_weights(index)
    single = tmp_path / "model-1-of-2.safetensors"
    assert sha256_of_weights(single) == sha256_of(single)
    for content, message in (
        ({"weight_map": {"a": "../outside.safetensors"}}, "is no index of weights .*names '../outside"),
        ({"weight_map": {"a": "/etc/passwd"}}, "is no index of weights .*names '/etc/passwd'"),
        ({"weight_map": {"a": 3}}, "is no index of weights .*names 3"),
        ({"weight_map": {}}, "names no file"),
        ([], "is no index of weights"),
        ({"weight_map": {"a": "none.safetensors"}}, "of which 1 are not there"),
    ):
        index.write_text(json.dumps(content))
        with pytest.raises(WeightsError, match=message):
            read_tensors(index)


def test_without_safetensors_a_folder_gives_no_weights(tmp_path):
    with pytest.raises(WeightsError, match="holds no model.safetensors; download that file, or save"):
        folder(tmp_path).weights()
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(WeightsError, match="only pytorch_model.bin, which may hold more than numbers"):
        folder(tmp_path).weights()


def test_frames_are_pooled_by_mean_and_standard_deviation():
    class Red(torch.nn.Module):
        def forward(self, frames):
            return frames[:, 0].mean((1, 2)).unsqueeze(1)

    clips = torch.tensor([1.0, 3.0, 5.0]).view(1, 1, 3, 1, 1).expand(2, 3, 3, 4, 4)
    assert FrameNetwork(Red())(clips).tolist() == [[3.0], [3.0]]
    torch.testing.assert_close(
        FrameNetwork(Red(), spread=True)(clips), torch.tensor([[3.0, (8 / 3) ** 0.5]] * 2)
    )
    assert FrameNetwork(Red()).over_time(clips).squeeze(2).tolist() == [[1.0, 3.0, 5.0]] * 2
