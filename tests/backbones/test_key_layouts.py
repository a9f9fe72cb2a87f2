from pathlib import Path

import pytest
import torch

from aqa_cache.backbones.key_layouts import LAYOUTS, KeyLayout, detect_layout, layouts_of
from aqa_cache.backbones.registry import BACKBONES
from aqa_cache.errors import WeightsError

NETWORKS = ["s3d", *(name for name in BACKBONES if not name.startswith(("c3d", "s3d", "i3d")))]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_torchvision_fits_its_own_layout_alone(name):
    from torchvision.models import video

    with torch.device("meta"):
        tensors = getattr(video, name)().state_dict()
    fitting = [layout.name for layout in LAYOUTS.values() if layout.fits(tensors)]
    assert fitting == [f"torchvision-{name}"]
    for backbone in BACKBONES:
        if backbone == name:
            assert detect_layout(backbone, tensors, Path("w.pth")).name == f"torchvision-{name}"
        else:
            with pytest.raises(WeightsError, match=f"w.pth: holds weights for {name} .* not for {backbone}"):
                detect_layout(backbone, tensors, Path("w.pth"))


def test_the_first_layout_of_a_backbone_has_its_own_names():
    for backbone in BACKBONES.values():
        first = layouts_of(backbone.name)[0]
        with torch.device("meta"):
            assert first.marker in backbone.build().state_dict()
        assert first.rename == ()


def test_a_layout_without_marker_takes_any_file_of_its_own_backbone(monkeypatch):
    other = LAYOUTS["c3d-pytorch"]
    mine = KeyLayout("mine", "mine", "", (), (), other.preprocessing)
    monkeypatch.setitem(LAYOUTS, "mine", mine)
    for key in ("anything", other.marker):
        assert detect_layout("mine", {key: torch.zeros(1)}, Path("w.pth")) is mine
    assert detect_layout("c3d", {other.marker: torch.zeros(1)}, Path("w.pth")) is other
    with pytest.raises(WeightsError, match="match no known layout of c3d"):
        detect_layout("c3d", {"anything": torch.zeros(1)}, Path("w.pth"))
