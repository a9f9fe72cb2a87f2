import functools
import http.server
import threading

import pytest
import torch

from aqa_cache import weights as weights_module
from aqa_cache.backbones import BACKBONES, get_backbone
from aqa_cache.c3d import C3D
from aqa_cache.errors import WeightsError
from aqa_cache.s3d import S3D
from aqa_cache.weights import (
    LAYOUTS,
    WEIGHTS,
    WeightsRecord,
    download,
    load_weights,
    make_random_weights,
    resolve_weights,
    sha256_of,
)


@pytest.fixture
def server(tmp_path):
    """A file server on this machine, and the folder it serves."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()


def fake(backbone):
    """A state dict with the right names and shapes."""
    return {
        key: torch.randn(value.shape) if value.is_floating_point() else value
        for key, value in backbone.state_dict().items()
    }


@pytest.mark.parametrize("wrap", [lambda tensors: tensors, lambda tensors: {"state_dict": tensors, "epoch": 3}])
def test_published_c3d_keys(tmp_path, wrap):
    tensors = fake(C3D())
    torch.save(wrap({**tensors, "fc6.weight": torch.zeros(4, 4), "fc8.bias": torch.zeros(4)}), tmp_path / "c3d.pickle")
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
    """torchvision's S3D names by Min & Corso's, from the structure of both networks as their authors describe it."""

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

    pairs = [*separable("base.0", "features.0"), *basic("base.2", "features.2"), *separable("base.3", "features.3")]
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


def test_keys_that_do_not_match_are_refused_with_counts(tmp_path):
    tensors = fake(C3D())
    del tensors["conv5b.weight"]
    tensors["conv9.weight"] = torch.zeros(1)
    tensors["conv2.bias"] = torch.zeros(64)
    torch.save(tensors, tmp_path / "c3d.pth")
    message = (
        r"does not fit c3d: 14 of 16 parameters match; 1 missing \(conv5b.weight\); 1 unknown \(conv9.weight\); "
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
    with pytest.raises(WeightsError, match="neither a published name nor a file; choose c3d-sports1m-mmaction2"):
        resolve_weights("c3d", "no-such-file.pth")


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


def test_nothing_foreign_is_unpickled(tmp_path, capsys):
    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="evil.pth: cannot be read as weights"):
        resolve_weights("c3d", str(tmp_path / "evil.pth"))
    assert "code ran" not in capsys.readouterr().out


def test_truncated_files_have_one_message(tmp_path, random_s3d):
    for name in ("short.safetensors", "short.pth"):
        (tmp_path / name).write_bytes(random_s3d.read_bytes()[:1000])
        with pytest.raises(WeightsError, match=f"{name}: cannot be read"):
            resolve_weights("s3d", str(tmp_path / name))


def test_random_weights_carry_signal_and_are_made_once(tmp_path, random_s3d):
    again = tmp_path / "again.safetensors"
    make_random_weights(get_backbone("s3d"), again)
    assert sha256_of(again) == sha256_of(random_s3d)
    module = S3D().eval()
    load_weights(module, "s3d", resolve_weights("s3d", "random", random_path=random_s3d))
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(2, 3, 4, 7, 7, generator=generator)
    with torch.no_grad():
        features = module(torch.nn.functional.interpolate(coarse, (16, 112, 112), mode="trilinear") * 2 - 1)
    assert features.std() > 0.1 and features.abs().max() < 1e3
    assert (features[0] - features[1]).norm() > 0.05 * features.norm()
    torch.testing.assert_close(features.half().float(), features, rtol=1e-3, atol=1e-4)


def test_make_random_weights_leaves_the_global_generator_alone(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    make_random_weights(get_backbone("c3d"), tmp_path / "c3d.safetensors")
    assert torch.equal(torch.rand(3), expected)


def test_download_checks_the_published_hash(server, tmp_path):
    url, folder = server
    torch.save({"conv1.weight": torch.zeros(2)}, folder / "w.pth")
    sha256 = sha256_of(folder / "w.pth")
    said = []
    record = WeightsRecord("w", "c3d", f"{url}/w.pth", sha256[:8], "c3d-pytorch", "test")
    path = download(record, tmp_path / "kept", say=said.append)
    assert path.read_bytes() == (folder / "w.pth").read_bytes()
    assert said == [f"Downloading w (test) from {url}/w.pth"]
    assert download(record, tmp_path / "kept", say=said.append) == path and len(said) == 1
    path.write_bytes(b"tampered")
    with pytest.raises(WeightsError, match=f"expected {sha256[:8]}…; delete it"):
        download(record, tmp_path / "kept")
    (folder / "w.pth").write_bytes(b"another")
    with pytest.raises(WeightsError, match="not kept"):
        download(record, tmp_path / "other")
    assert not list((tmp_path / "other").iterdir())


def test_a_file_without_a_published_hash_is_pinned(server, tmp_path):
    url, folder = server
    torch.save({"conv1.weight": torch.zeros(2)}, folder / "w.pickle")
    record = WeightsRecord("w", "c3d", f"{url}/w.pickle", "", "c3d-pytorch", "test")
    said = []
    path = download(record, tmp_path, say=said.append)
    assert sha256_of(path) in said[1]
    path.unlink()
    (folder / "w.pickle").write_bytes(b"changed")
    with pytest.raises(WeightsError, match="not kept"):
        download(record, tmp_path)


def test_a_page_instead_of_weights_is_not_pinned(server, tmp_path):
    url, folder = server
    (folder / "w.pickle").write_text("<html>moved</html>")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        download(
            WeightsRecord("w", "c3d", f"{url}/w.pickle", "", "c3d-pytorch", ""),
            tmp_path / "kept",
            say=lambda line: None,
        )
    assert not list((tmp_path / "kept").iterdir())


def test_a_server_that_does_not_answer(server, tmp_path):
    url, _ = server
    with pytest.raises(WeightsError, match="cannot be downloaded .*--weights random"):
        download(WeightsRecord("w", "c3d", f"{url}/gone.pth", "", "c3d-pytorch", ""), tmp_path, say=lambda line: None)
    assert not list(tmp_path.glob("*.pth*"))


def test_records_name_known_things():
    for record in WEIGHTS.values():
        assert record.backbone in BACKBONES
        assert LAYOUTS[record.layout].backbone == record.backbone
        if record.sha256:
            assert f"-{record.sha256}." in record.file_name  # the publisher's own hash, never one of ours
    for backbone in BACKBONES.values():
        assert WEIGHTS[backbone.weights].backbone == backbone.name


def test_weights_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("AQA_WEIGHTS", str(tmp_path))
    assert weights_module.weights_folder() == tmp_path
