"""The example of docs/backbones.md, run: a network of PyTorchVideo by one file and one option."""

import importlib
import re

import pytest
import torch
from places import ROOT

from aqa_cache.backbones.names import KNOWN_BACKBONES
from aqa_cache.backbones.registry import BACKBONES, get_backbone
from aqa_cache.weights.resolving import load_weights, resolve_weights

# fvcore, which it builds on, scripts a loss when it is imported.
pytestmark = [pytest.mark.extra, pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")]


def test_a_network_of_pytorchvideo(tmp_path, monkeypatch):
    if importlib.util.find_spec("pytorchvideo") is None:
        pytest.skip("pytorchvideo is not installed")
    text = (ROOT / "docs/backbones.md").read_text()
    (example,) = re.findall(r"```python\n# slow\.py\n(.*?)```", text, re.S)
    (name,) = re.findall(r"--backbone (slow:NETWORK) ", text)
    (tmp_path / "slow.py").write_text(example)
    monkeypatch.chdir(tmp_path)
    try:
        KNOWN_BACKBONES.give(name)
        from pytorchvideo.models.resnet import create_resnet  # pyright: ignore[reportMissingImports]

        torch.manual_seed(0)
        published = create_resnet(model_depth=50, model_num_class=400).eval()
        torch.save({"model_state": published.state_dict()}, tmp_path / "SLOW_8x8_R50.pyth")
        module = get_backbone(name).build().eval()
        load_weights(module, name, resolve_weights(name, str(tmp_path / "SLOW_8x8_R50.pyth")))
        clips = torch.rand(1, 3, 8, 256, 256)
        with torch.no_grad():
            features = module(clips)
            expected = published.blocks[-1].proj(features)
            published.blocks[-1].activation = None
            torch.testing.assert_close(expected, published(clips), rtol=1e-4, atol=1e-4)
        assert features.shape == (1, get_backbone(name).dim)
    finally:
        KNOWN_BACKBONES.registered.pop(name, None)
        BACKBONES.pop(name, None)
