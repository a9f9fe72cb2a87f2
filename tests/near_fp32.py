"""A backbone in a lower precision on the CPU, held against fp32."""

import copy

import numpy as np
import torch

from aqa_cache.backbones import ready
from aqa_cache.backbones.precision import Parity


def near_fp32(module, preprocessing, precision, monkeypatch, frames=4):
    """The network is laid out in this precision, and its features are near those of fp32 and not the same."""
    # Also where the processor has to imitate it.
    monkeypatch.setattr(ready, "is_native", lambda precision: True)
    side = preprocessing.crop
    clips = list(np.random.default_rng(0).integers(0, 256, (2, frames, side, side, 3), dtype=np.uint8))
    features = {}
    for each in ("fp32", precision):
        model = ready.ready_model(copy.deepcopy(module), torch.device("cpu"), each, preprocessing, 2, frames)
        assert model.precision == each
        features[each] = model.forward(clips)
    assert (features[precision] != features["fp32"]).any()
    parity = Parity.between(features[precision], features["fp32"])
    assert parity.good, parity
