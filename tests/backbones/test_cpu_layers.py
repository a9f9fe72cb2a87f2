import copy

import pytest
import torch
from torch import nn

from aqa_cache.backbones.cpu_layers import OneDnnConvolution, SeparateMaxPooling, with_cpu_layers

POOLINGS = [
    ((1, 3, 3), (1, 2, 2), (0, 1, 1)),
    (3, 1, 1),
    (2, None, 0),
    (2, 2, (0, 1, 1)),
    ((3, 1, 1), (2, 1, 1), (1, 0, 0)),
    ((2, 3, 3), 2, (1, 1, 0)),
]


@pytest.mark.parametrize("kernel, stride, padding", POOLINGS)
@pytest.mark.parametrize("format", [torch.channels_last_3d, torch.contiguous_format])
def test_pooling_in_two_steps_gives_the_same_bits(kernel, stride, padding, format):
    layer = nn.MaxPool3d(kernel, stride, padding)
    x = torch.randn(2, 5, 8, 9, 7, generator=torch.Generator().manual_seed(0))
    x[0, 0, 3, 4, 5] = float("nan")
    x = x.contiguous(memory_format=format)
    torch.testing.assert_close(SeparateMaxPooling(layer)(x), layer(x), rtol=0, atol=0, equal_nan=True)


def test_only_layers_whose_function_is_kept_are_replaced():
    shared = nn.Conv3d(4, 4, (3, 1, 1), padding=(1, 0, 0))
    module = nn.Sequential(
        shared,
        nn.MaxPool3d(2, ceil_mode=True),
        shared,
        nn.Conv3d(4, 4, 3, padding=1, padding_mode="replicate"),
        nn.Conv3d(4, 8, 1, groups=2, bias=False),
        nn.Conv3d(8, 8, 3, padding="same"),
        nn.MaxPool3d(2),
    ).eval()
    x = torch.rand(2, 4, 8, 8, 8)
    with torch.no_grad():
        fast = with_cpu_layers(copy.deepcopy(module))
        torch.testing.assert_close(fast(x), module(x), rtol=1e-5, atol=1e-5)
    replaced = [isinstance(layer, OneDnnConvolution | SeparateMaxPooling) for layer in fast]
    assert replaced == [True, False, True, False, True, False, True] and fast[0] is fast[2]


def test_what_torch_compile_traces_is_torchs_own():
    layer = nn.Conv3d(3, 4, 3, stride=2)
    clips = torch.rand(1, 3, 8, 8, 8)
    with torch.no_grad():
        traced = torch.compile(OneDnnConvolution(layer), backend="eager", fullgraph=True)
        torch.testing.assert_close(traced(clips), layer(clips))
