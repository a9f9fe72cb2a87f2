import numpy as np
import pytest
import torch
from torch import nn

from aqa_cache.backbones import ready
from aqa_cache.backbones.inference import Model
from aqa_cache.backbones.precision import Parity
from aqa_cache.backbones.ready import ready_model
from aqa_cache.backbones.registry import get_backbone
from aqa_cache.clips.preprocess import Preprocessing
from aqa_cache.errors import AqaError

CPU = torch.device("cpu")
SMALL = Preprocessing(resize=(32, 32), crop=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


class Pooled(nn.Module):
    """A small backbone: one convolution, pooled."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv3d(3, 8, 3)

    def forward(self, clips):
        return self.convolution(clips).relu().mean(dim=(2, 3, 4))


@pytest.fixture
def native(monkeypatch):
    """As if the processor had every arithmetic of its own."""
    monkeypatch.setattr(ready, "is_native", lambda precision: True)


def clips(count):
    return list(np.random.default_rng(0).integers(0, 256, (count, 16, 32, 32, 3), dtype=np.uint8))


def test_a_short_batch_gives_what_a_full_one_gives():
    model = Model(Pooled().eval(), CPU, "fp32", SMALL, 4)
    full = model.forward(clips(4))
    np.testing.assert_array_equal(model.forward(clips(4)[:3]), full[:3])
    np.testing.assert_array_equal(model.forward(clips(4)[3:]), full[3:])


def test_features_are_not_overwritten_by_the_next_batch():
    model = Model(Pooled().eval(), CPU, "fp32", SMALL, 2)
    first = model.submit(clips(2))
    expected = first.wait().copy()
    model.forward([np.zeros_like(clips(1)[0])] * 2)
    np.testing.assert_array_equal(first.wait(), expected)


def test_clips_may_be_frames_that_are_shared():
    frames = clips(1)[0]
    model = Model(Pooled().eval(), CPU, "fp32", SMALL, 2)
    np.testing.assert_array_equal(model.forward([tuple(frames)]), model.forward([frames]))


def test_bf16_is_near_fp32(native, said):
    model = ready_model(Pooled(), CPU, "bf16", SMALL, 2, 16)
    plain = ready_model(Pooled(), CPU, "fp32", SMALL, 2, 16)
    assert (model.precision, said) == ("bf16", [])
    features, reference = model.forward(clips(2)), plain.forward(clips(2))
    assert (features != reference).any()
    assert Parity.between(features, reference).good


@pytest.mark.parametrize(("scale", "cosine"), [(1e6, "nan"), (1e-9, "0.00000")])
def test_a_precision_that_loses_the_features_is_not_used(native, scale, cosine, said):
    class Scaled(Pooled):
        def forward(self, clips):
            x = self.convolution(clips).mean(dim=(2, 3, 4)).abs()
            return (x * scale) / scale

    model = ready_model(Scaled(), CPU, "fp16", SMALL, 2, 16)
    assert model.precision == "fp32" and model.dtype == torch.float32
    assert len(said) == 1 and said[0].startswith(
        "Using fp32: on a test batch, features in fp16 differ from it too much"
    )
    assert f"cosine {cosine}" in said[0]
    assert np.isfinite(model.forward(clips(2))).all()


def test_arithmetic_that_the_processor_lacks_is_not_used(monkeypatch, said):
    monkeypatch.setattr(ready, "is_native", lambda precision: precision == "fp32")
    assert ready_model(Pooled(), CPU, "bf16", SMALL, 2, 16).precision == "fp32"
    assert said == [
        "Using fp32: this processor has no bf16 arithmetic of its own, which makes it many times slower."
    ]


def test_tf32_is_refused_on_a_cpu():
    with pytest.raises(AqaError, match="tf32 is arithmetic of NVIDIA GPUs; on a CPU use fp32 or bf16"):
        ready_model(Pooled(), CPU, "tf32", SMALL, 2, 16)


def test_batch_size_backs_off_when_memory_is_short(monkeypatch, native):
    monkeypatch.setitem(ready.AUTO_BATCH_SIZES, "cpu", (8, 4, 2))
    tried = []

    class Hungry(Pooled):
        def forward(self, clips):
            tried.append(len(clips))
            if len(clips) > 2:
                raise torch.OutOfMemoryError("out of memory")
            return super().forward(clips)

    model = ready_model(Hungry(), CPU, "bf16", SMALL, None, 16)
    assert (model.batch_size, model.compiled) == (2, False) and tried == [8, 4, 2, 2]
    with pytest.raises(AqaError, match="too small for 4 clip.*--batch-size with a smaller number"):
        ready_model(Hungry(), CPU, "bf16", SMALL, 4, 16)


def test_a_compiled_backbone_that_fails_is_one_message(monkeypatch):
    def compile(module):
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(torch, "compile", compile)
    with pytest.raises(
        AqaError, match=r"cannot be run in fp32, compiled, on cpu \(RuntimeError: no compiler\)"
    ):
        ready_model(Pooled(), CPU, "fp32", SMALL, 2, 16, compiled=True)


@pytest.mark.gpu
@pytest.mark.parametrize("backbone", ["c3d", "s3d"])
@pytest.mark.parametrize("precision", ["tf32", "fp16", "bf16"])
def test_precisions_on_a_gpu_are_near_fp32(cuda, backbone, precision, tmp_path, said):
    from aqa_cache.extraction.configuration import ExtractionConfig
    from aqa_cache.extraction.loading import load_model

    config = ExtractionConfig(backbone, "random", size=112, device="cuda", precision=precision, batch_size=8)
    model, _ = load_model(config, tmp_path / "weights.safetensors")
    assert model.precision == precision, said
    rng = np.random.default_rng(0)
    batches = [list(rng.integers(0, 256, (8, 16, 112, 112, 3), dtype=np.uint8)) for _ in range(5)]
    submitted = [model.submit(batch) for batch in batches]  # more than there are slots
    for batch, features in zip(batches, submitted, strict=True):
        assert features.wait().shape == (8, get_backbone(backbone).dim)
        np.testing.assert_allclose(features.wait(), model.forward(batch), rtol=1e-3, atol=1e-3)
