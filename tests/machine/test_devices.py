import pytest
import torch

from aqa_cache.errors import AqaError
from aqa_cache.machine.devices import pick_device


def test_auto_takes_the_gpu_if_there_is_one():
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda:77", "device 'cuda:77' cannot be used"),
        ("tpu", "device 'tpu' cannot be used .*; use auto, cpu, or cuda where there is a GPU"),
        ("meta", "device 'meta' is not supported; use auto, cpu or cuda"),
    ],
)
def test_devices_that_cannot_be_used(name, message):
    with pytest.raises(AqaError, match=message):
        pick_device(name)
