import sys

import pytest
from tiny_backbone import register_tiny, write_weights

from aqa_cache.errors import AqaError
from aqa_cache.extraction.configuration import ExtractionConfig
from aqa_cache.extraction.measuring import peers


@pytest.fixture
def config(tmp_path, monkeypatch):
    register_tiny(monkeypatch)
    return ExtractionConfig("tiny", weights=str(write_weights(tmp_path / "tiny.pth")))


def test_every_engine_that_is_there_has_its_rate(config, monkeypatch, said):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    rows = peers.measure_peers(config, (1,), (1, 4), rounds=1, seconds=0.01)
    assert [(row.backbone, row.size, row.threads, row.batch) for row in rows] == [
        ("tiny", 32, 1, 1),
        ("tiny", 32, 1, 4),
    ]
    for row in rows:
        assert {peers.EAGER, peers.OURS["torch"]} <= row.rates.keys() and all(row.rates.values())
        assert peers.ONNX_RUNTIME not in row.rates
    assert [line for line in said if line.startswith("ONNX Runtime is not measured: ")] == said[:1]


def test_turns_are_of_all_and_medians_count():
    order = []
    rates = peers.rates_in_turn({name: lambda name=name: order.append(name) for name in "ab"}, 2, 2, 0)
    assert order == ["a", "b"] * 3 and rates.keys() == {"a", "b"}


def test_what_cannot_be_compared_is_refused(config):
    with pytest.raises(AqaError, match="--peers compares engines on a CPU in fp32"):
        peers.check(ExtractionConfig("tiny", weights=config.weights, precision="bf16"))
