import pytest
import torch

from aqa_cache.disk.tensor_file import read_backbone_tensors, read_tensors
from aqa_cache.errors import WeightsError


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


def test_nothing_foreign_is_unpickled(tmp_path, capsys):
    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="evil.pth: cannot be read as weights"):
        read_tensors(tmp_path / "evil.pth")
    assert "code ran" not in capsys.readouterr().out


def test_truncated_files_have_one_message(tmp_path, random_s3d):
    for name in ("short.safetensors", "short.pth"):
        (tmp_path / name).write_bytes(random_s3d.read_bytes()[:1000])
        with pytest.raises(WeightsError, match=f"{name}: cannot be read"):
            read_tensors(tmp_path / name)


def test_prefixes_of_training_wrappers_are_taken_off(tmp_path):
    torch.save(
        {"model": {"module.backbone.conv1.weight": torch.ones(2), "fc.bias": torch.zeros(1)}},
        tmp_path / "w.pth",
    )
    tensors = read_backbone_tensors(tmp_path / "w.pth")
    assert list(tensors) == ["conv1.weight", "fc.bias"] and tensors["conv1.weight"].tolist() == [1, 1]
