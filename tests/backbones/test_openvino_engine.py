"""What the engine promises: torch's features, of a clip alone, however it was converted and kept."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from aqa_cache.backbones import openvino_engine, ready
from aqa_cache.backbones.inference import Model
from aqa_cache.backbones.openvino_engine import Converted, NotConverted, OpenVinoNetwork
from aqa_cache.backbones.precision import MAX_ENGINE_ERROR, Parity
from aqa_cache.backbones.ready import ready_model
from aqa_cache.backbones.registry import code_of, for_inference
from aqa_cache.clips.preprocess import Preprocessing
from aqa_cache.errors import AqaError

CPU = torch.device("cpu")
SMALL = Preprocessing(resize=(32, 32), crop=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
SHAPE = (1, 3, 8, 32, 32)


def network(outputs=8):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(3, outputs, 3, stride=2),
        nn.BatchNorm3d(outputs),
        nn.ReLU(),
        nn.MaxPool3d(2),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
    ).eval()


def clips(count):
    return list(np.random.default_rng(0).integers(0, 256, (count, *SHAPE[2:], 3), dtype=np.uint8))


def by_openvino(module=None, folder=None, precision="fp32", engine="openvino", batch_size=4, code=None):
    module = network() if module is None else module
    form = lambda: Converted(module, SHAPE, folder, "mine:Net", "0" * 64, code)  # noqa: E731
    options = {"engine": engine, "converted": form}
    return ready_model(module, CPU, precision, SMALL, batch_size, SHAPE[2], **options)


def test_features_are_those_of_torch_and_of_the_clip_alone():
    pytest.importorskip("openvino")
    model = by_openvino()
    assert (model.engine, model.precision, model.batch_size) == ("openvino", "fp32", 4)
    features = model.forward(clips(4))
    plain = Model(network(), CPU, "fp32", SMALL, 4).forward(clips(4))
    assert Parity.between(features, plain).relative_error <= MAX_ENGINE_ERROR
    np.testing.assert_array_equal(model.forward(clips(4)[:1]), features[:1])
    np.testing.assert_array_equal(model.forward(clips(4)[::-1]), features[::-1])
    np.testing.assert_array_equal(by_openvino().forward(clips(4)), features)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_features_of_s3d_do_not_depend_on_their_neighbours(random_s3d, tmp_path, threads, precision):
    pytest.importorskip("openvino")
    from aqa_cache.backbones.registry import get_backbone
    from aqa_cache.disk.tensor_file import read_tensors

    module = get_backbone("s3d").build().eval()
    module.load_state_dict(read_tensors(random_s3d))
    form = Converted(module, (1, 3, 16, 64, 64))
    model = Model(form.network(4, precision, threads), CPU, precision, SMALL.at_size(64), 4)
    batch = list(np.random.default_rng(0).integers(0, 256, (4, 16, 64, 64, 3), dtype=np.uint8))
    features = model.forward(batch)
    for order in ([2, 3, 0, 1], [1], [1, 2]):
        np.testing.assert_array_equal(model.forward([batch[i] for i in order]), features[order])


def test_what_was_converted_is_kept_and_trusted_only_as_it_was_written(tmp_path, said):
    pytest.importorskip("openvino")
    features = by_openvino(folder=tmp_path).forward(clips(2))
    assert said == ["Converting the backbone for OpenVINO, once; it is kept for later runs."]
    np.testing.assert_array_equal(by_openvino(folder=tmp_path).forward(clips(2)), features)
    assert len(said) == 1
    (kept,) = tmp_path.glob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    np.testing.assert_array_equal(by_openvino(folder=tmp_path).forward(clips(2)), features)
    assert "is not what was kept there" in said[1] and len(said) == 3


def test_of_known_code_features_are_compared_once(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    by_torch = []

    def counted(*arguments):
        by_torch.append(1)
        return for_inference(*arguments)

    def start(code="1", **options):
        by_torch.clear()
        model = by_openvino(folder=tmp_path, code=code, **options)
        assert model.engine == "openvino"
        return len(by_torch), model.forward(clips(1))

    monkeypatch.setattr(ready, "for_inference", counted)
    compared, features = start()
    again, same = start()
    assert (compared, again) == (1, 0)
    np.testing.assert_array_equal(same, features)
    for options in ({"precision": "bf16"}, {"batch_size": 1}, {"code": "2"}):
        assert (start(**options)[0], start(**options)[0]) == (1, 0)
    assert start(code=None)[0] == start(code=None)[0] == 1
    (kept,) = tmp_path.glob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    assert (start()[0], start()[0]) == (1, 0)  # of the network that is converted anew
    for agreement in tmp_path.glob("*.agrees"):
        agreement.write_text("else")
    assert start()[0] == 1
    monkeypatch.setattr(ready, "device_name", lambda device: "another processor")
    assert start()[0] == 1


def test_what_does_not_agree_is_compared_at_every_start(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    infer = OpenVinoNetwork.__call__
    monkeypatch.setattr(OpenVinoNetwork, "__call__", lambda self, clips: infer(self, clips) * 1.01)
    for _ in range(2):
        with pytest.raises(NotConverted, match="features by OpenVINO differ from torch's too much"):
            by_openvino(folder=tmp_path, code="1")


def test_the_code_of_a_backbone_of_this_program_is_known_by_its_files(monkeypatch):
    assert code_of("s3d") == code_of("c3d") and len(code_of("s3d")) == 64
    assert code_of("mine:Net") is None and code_of("hf:somebody/network") is None
    before = code_of("s3d")
    monkeypatch.setattr("aqa_cache.backbones.registry.metadata.version", lambda name: "0.0")
    assert code_of("s3d") != before


def test_what_another_process_removes_as_it_is_read_is_converted_anew(tmp_path, monkeypatch, said):
    pytest.importorskip("openvino")
    features = by_openvino(folder=tmp_path).forward(clips(2))

    def gone(path):
        path.unlink()
        return sha256_of(path)

    sha256_of = openvino_engine.sha256_of
    with monkeypatch.context() as patch:
        patch.setattr(openvino_engine, "sha256_of", gone)
        patch.setattr(openvino_engine.Converted, "_keep", lambda *_: None)
        np.testing.assert_array_equal(by_openvino(folder=tmp_path).forward(clips(2)), features)
    assert "is not what was kept there" in said[1]


def test_code_that_has_changed_under_its_name_is_converted_anew(tmp_path):
    pytest.importorskip("openvino")
    by_openvino(folder=tmp_path)
    changed = nn.Sequential(*network()[:-3], nn.AdaptiveAvgPool3d(1), nn.Flatten()).eval()
    model = by_openvino(changed, tmp_path)
    assert model.engine == "openvino"
    expected = Model(changed, CPU, "fp32", SMALL, 4).forward(clips(4))
    assert Parity.between(model.forward(clips(4)), expected).relative_error <= MAX_ENGINE_ERROR


def test_bf16_is_checked_against_torch_in_fp32(monkeypatch, said):
    pytest.importorskip("openvino")
    monkeypatch.setattr(ready, "is_native", lambda precision: True)
    model = by_openvino(precision="bf16")
    assert (model.engine, model.precision) == ("openvino", "bf16")
    monkeypatch.setattr(ready.Parity, "good", False)
    said.clear()
    model = by_openvino(precision="bf16")
    assert (model.engine, model.precision) == ("openvino", "fp32")
    assert [line[:11] for line in said] == ["Converting ", "Using fp32:"]


class Unknown(nn.Module):
    """No network that tracing can follow."""

    def forward(self, clips):
        return torch.from_numpy(np.stack([clip.mean((1, 2, 3)).numpy() for clip in clips])).expand(-1, 3)


def test_a_network_that_does_not_convert_runs_on_torch_with_a_line(monkeypatch, said):
    pytest.importorskip("openvino")
    monkeypatch.setattr(ready, "openvino_version", openvino_engine.openvino_version)
    model = by_openvino(Unknown(), engine="auto")
    assert model.engine == "torch" and said[-1].startswith("Using torch: ")
    with pytest.raises(NotConverted, match="OpenVINO"):
        by_openvino(Unknown())


def test_without_openvino_auto_is_torch_and_openvino_is_one_message(monkeypatch, said):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(ready, "openvino_version", lambda: None)
    assert by_openvino(engine="auto").engine == "torch" and said == []
    with pytest.raises(AqaError, match="openvino is needed for --engine openvino.*pip install openvino"):
        by_openvino()


@pytest.mark.parametrize(
    "options, message",
    [({"precision": "fp16"}, "has no precision fp16"), ({"compiled": True}, "and --compile.* exclude")],
)
def test_what_openvino_is_not_for_is_refused_where_it_was_asked_for(monkeypatch, options, message):
    monkeypatch.setattr(ready, "is_native", lambda precision: True)
    options = {"precision": "fp32", "compiled": False} | options
    precision = options.pop("precision")
    with pytest.raises(AqaError, match=message):
        ready_model(network(), CPU, precision, SMALL, 2, 8, engine="openvino", **options)
