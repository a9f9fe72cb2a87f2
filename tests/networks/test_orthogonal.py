import math

import pytest
import torch
from torch import nn

from aqa_heads.networks.orthogonal import orthogonal_


@pytest.mark.parametrize("shape", [(120, 50), (64, 32), (8, 6), (6, 8), (5, 1)])
def test_equals_torch_from_the_same_random_numbers(shape, monkeypatch):
    monkeypatch.setattr("aqa_heads.networks.orthogonal._BLOCK", 16)
    torch.manual_seed(3)
    expected = nn.init.orthogonal_(torch.empty(shape, dtype=torch.float64), math.sqrt(2))
    torch.manual_seed(3)
    weight = torch.empty(shape, dtype=torch.float64)
    assert orthogonal_(weight, math.sqrt(2)) is weight
    torch.testing.assert_close(weight, expected, rtol=0, atol=1e-9)


def test_columns_are_orthonormal_in_float32_where_the_method_begins():
    weight = orthogonal_(torch.empty(1024, 512))
    torch.testing.assert_close(weight.T @ weight, torch.eye(512), rtol=0, atol=5e-6)


def test_costs_nothing_without_storage():
    assert orthogonal_(torch.empty(2**15, 2**13, device="meta")).is_meta


def test_on_a_gpu(cuda):
    weight = orthogonal_(torch.empty(1024, 512, device=cuda))
    torch.testing.assert_close(weight.T @ weight, torch.eye(512, device=cuda), rtol=0, atol=5e-6)
