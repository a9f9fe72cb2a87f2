import os
import zipfile

import pytest
import torch

from aqa_cache.disk.tensor_file import read_backbone_tensors, read_tensors
from aqa_cache.errors import WeightsError


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


def test_nothing_foreign_is_unpickled(tmp_path, capsys):
    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="evil.pth: cannot be read as weights") as raised:
        read_tensors(tmp_path / "evil.pth")
    assert "weights_only" not in str(raised.value)  # torch's advice is to run what is in it
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({3: torch.ones(2)}, "holds dict, expected a state dict"),
        ({"a": torch.ones(2).to_sparse()}, "holds more than tensors.*_rebuild_sparse_tensor"),
        ({"a": torch.empty(2, device="meta")}, "holds more than tensors"),
        ({"a": torch.ones(1).expand(10**6, 10**6)}, "declares tensors of 4,000,000,000,000 bytes"),
        ({"a": torch.ones(2), "b": 10**5000}, "an integer of"),
        ({"module.a": torch.ones(2), "a": torch.ones(2)}, "holds 'module.a' with and without 'module.'"),
    ],
    ids="integer-key sparse meta expanded digits twice".split(),
)
@pytest.mark.parametrize("zipped", [True, False])
def test_only_plain_tensors_by_name_are_weights(tmp_path, content, message, zipped):
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=f"w.pth: .*{message}"):
        read_backbone_tensors(tmp_path / "w.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves_of_a_training_is_read(tmp_path, zipped):
    layer = torch.nn.BatchNorm1d(3)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3])
    content = {"epoch": 3, "model": layer.state_dict(), "size": torch.Size([2, 3]), "dtype": torch.bfloat16}
    content |= {
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "weight": layer.weight,
    }
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    read = read_tensors(tmp_path / "w.pth")
    assert all(torch.equal(read[name], tensor) for name, tensor in layer.state_dict().items())


def test_an_archive_that_is_compressed_is_no_file_of_torch(tmp_path):
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth") as whole, zipfile.ZipFile(tmp_path / "z.pth", "w", 8) as packed:
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
    with pytest.raises(WeightsError, match="is compressed, which torch.save does not do"):
        read_tensors(tmp_path / "z.pth")


def test_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="is no plain file"):
        read_tensors(tmp_path / "w.pth")
