import pytest
import torch

from aqa_cache.backbones.c3d import C3D
from aqa_cache.backbones.key_layouts import LAYOUTS
from aqa_cache.backbones.registry import BACKBONES
from aqa_cache.backbones.s3d import S3D
from aqa_cache.clips.rule import ClipRule
from aqa_cache.errors import WeightsError
from aqa_cache.weights.resolving import choose_for, find_tuned, load_weights, resolve_weights
from aqa_cache.weights.tuned import TunedBackbone, write_tuned_backbone


def fake(backbone):
    """A state dict with the right names and shapes."""
    return {
        key: torch.randn(value.shape) if value.is_floating_point() else value
        for key, value in backbone.state_dict().items()
    }


@pytest.mark.parametrize(
    "wrap", [lambda tensors: tensors, lambda tensors: {"state_dict": tensors, "epoch": 3}]
)
def test_published_c3d_keys(tmp_path, wrap):
    tensors = fake(C3D())
    torch.save(
        wrap({**tensors, "fc6.weight": torch.zeros(4, 4), "fc8.bias": torch.zeros(4)}),
        tmp_path / "c3d.pickle",
    )
    module = C3D()
    load_weights(module, "c3d", resolve_weights("c3d", str(tmp_path / "c3d.pickle")))
    for key, value in module.state_dict().items():
        assert torch.equal(value, tensors[key])


def test_mmaction2_c3d_keys(tmp_path):
    tensors = fake(C3D())
    theirs = {}
    for key, value in tensors.items():
        layer, kind = key.split(".")
        layer = {"conv1": "conv1a", "conv2": "conv2a"}.get(layer, layer)
        theirs[f"backbone.{layer}.conv.{kind}"] = value
    theirs["backbone.fc6.weight"] = theirs["cls_head.fc_cls.weight"] = torch.zeros(2, 2)
    torch.save({"state_dict": theirs}, tmp_path / "mmaction.pth")
    weights = resolve_weights("c3d", str(tmp_path / "mmaction.pth"))
    assert weights.preprocessing == LAYOUTS["mmaction2-c3d"].preprocessing
    module = C3D()
    load_weights(module, "c3d", weights)
    for key, value in module.state_dict().items():
        assert torch.equal(value, tensors[key])


def kylemin_names():
    """torchvision's S3D names by Min & Corso's, from the structure of both networks as their authors describe
    it.
    """

    def separable(theirs, ours):
        for mine, his in (("0.0", "conv_s"), ("0.1", "bn_s"), ("1.0", "conv_t"), ("1.1", "bn_t")):
            yield f"{theirs}.{his}", f"{ours}.{mine}"

    def basic(theirs, ours):
        yield f"{theirs}.conv", f"{ours}.0"
        yield f"{theirs}.bn", f"{ours}.1"

    def mixed(number):
        theirs, ours = f"base.{number}", f"features.{number}"
        yield from basic(f"{theirs}.branch0.0", f"{ours}.branch0")
        for branch in (1, 2):
            yield from basic(f"{theirs}.branch{branch}.0", f"{ours}.branch{branch}.0")
            yield from separable(f"{theirs}.branch{branch}.1", f"{ours}.branch{branch}.1")
        yield from basic(f"{theirs}.branch3.1", f"{ours}.branch3.1")

    pairs = [
        *separable("base.0", "features.0"),
        *basic("base.2", "features.2"),
        *separable("base.3", "features.3"),
    ]
    for number in (5, 6, 8, 9, 10, 11, 12, 14, 15):
        pairs += mixed(number)
    return {ours: theirs for theirs, ours in pairs}


@pytest.mark.parametrize("prefix", ["", "module."])
def test_kylemin_s3d_keys(tmp_path, prefix):
    tensors = fake(S3D())
    names = kylemin_names()
    theirs = {}
    for key, value in tensors.items():
        layer, kind = key.rsplit(".", 1)
        theirs[f"{prefix}{names[layer]}.{kind}"] = value
    theirs[f"{prefix}fc.0.weight"] = torch.zeros(400, 1024, 1, 1, 1)
    torch.save(theirs, tmp_path / "S3D_kinetics400.pt")
    weights = resolve_weights("s3d", str(tmp_path / "S3D_kinetics400.pt"))
    assert weights.preprocessing.mean == weights.preprocessing.std == (0.5, 0.5, 0.5)
    module = S3D()
    load_weights(module, "s3d", weights)
    for key, value in module.state_dict().items():
        assert torch.equal(value, tensors[key])


@pytest.mark.parametrize(
    ("name", "classifier"),
    [("r2plus1d_18", "fc"), ("mvit_v2_s", "head"), ("swin3d_t", "head"), ("s3d", "classifier")],
)
def test_torchvision_keys(tmp_path, name, classifier):
    from torchvision.models import video

    with torch.device("meta"):
        published = getattr(video, name)().state_dict()
    # Every parameter filled with its own number, in a file that holds each number once.
    tensors = {
        key: torch.tensor(number, dtype=value.dtype).expand(value.shape)
        for number, (key, value) in enumerate(published.items())
    }
    torch.save(tensors, tmp_path / "published.pth")
    weights = resolve_weights(name, str(tmp_path / "published.pth"))
    assert weights.preprocessing == LAYOUTS[f"torchvision-{name}"].preprocessing
    module = BACKBONES[name].build()
    load_weights(module, name, weights)
    loaded = module.state_dict()
    assert loaded.keys() == {key for key in tensors if not key.startswith(f"{classifier}.")}
    assert all(torch.equal(value, tensors[key]) for key, value in loaded.items())


def test_keys_that_do_not_match_are_refused_with_counts(tmp_path):
    tensors = fake(C3D())
    del tensors["conv5b.weight"]
    tensors["conv9.weight"] = torch.zeros(1)
    tensors["conv2.bias"] = torch.zeros(64)
    torch.save(tensors, tmp_path / "c3d.pth")
    message = (
        r"does not fit c3d: 14 of 16 parameters match; 1 missing \(conv5b.weight\); 1 unknown"
        r" \(conv9.weight\); "
        r"1 of another shape \(conv2.bias \(64,\) instead of \(128,\)\)"
    )
    with pytest.raises(WeightsError, match=message):
        load_weights(C3D(), "c3d", resolve_weights("c3d", str(tmp_path / "c3d.pth")))


def test_weights_of_another_network_are_refused(tmp_path, random_s3d):
    with pytest.raises(WeightsError, match="holds weights for s3d"):
        resolve_weights("c3d", str(random_s3d))
    torch.save({"stem.weight": torch.zeros(1)}, tmp_path / "resnet.pth")
    with pytest.raises(WeightsError, match=r"its 1 keys \(stem.weight, …\) match no known layout of c3d"):
        resolve_weights("c3d", str(tmp_path / "resnet.pth"))
    with pytest.raises(WeightsError, match="are for s3d, not for c3d"):
        resolve_weights("c3d", "s3d-kinetics400")
    with pytest.raises(
        WeightsError, match="neither a published name nor a file; choose c3d-sports1m-mmaction2"
    ):
        resolve_weights("c3d", "no-such-file.pth")


def test_of_several_weights_the_fine_tuned_backbone_is_chosen_for_its_network(tmp_path, random_s3d):
    layout = LAYOUTS["c3d-pytorch"].preprocessing
    rule = {**ClipRule().record(), "stream": None}
    write_tuned_backbone(tmp_path, C3D(), TunedBackbone("c3d", layout, rule, "c3d-sports1m", "ab"))
    assert choose_for("c3d", (str(random_s3d), str(tmp_path))) == str(tmp_path)
    assert choose_for("s3d", (str(tmp_path), str(random_s3d))) == str(random_s3d)
    with pytest.raises(WeightsError, match="its backbone is c3d, not s3d; give --backbone c3d"):
        resolve_weights("s3d", str(tmp_path))


def test_a_folder_of_the_name_of_published_weights_does_not_hide_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "random").mkdir()
    (tmp_path / "s3d-kinetics400").mkdir()
    assert find_tuned("random") is None and find_tuned("s3d-kinetics400") is None and find_tuned(None) is None
    with pytest.raises(WeightsError, match="is a folder without"):
        find_tuned("./random")
