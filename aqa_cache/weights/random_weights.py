"""Random backbone weights: what the pipeline is tried with when no others are at hand."""

from pathlib import Path

import torch
from torch import nn

from ..backbones.registry import Backbone
from ..disk.tensor_file import write_tensors

RANDOM = "random"

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def random_weights_path(output: Path, backbone: str) -> Path:
    """Where the random weights of a cache lie: beside it."""
    return output.with_name(f"{output.stem}.random-{backbone}.safetensors")


def make_random_weights(backbone: Backbone, path: Path, seed: int = 0) -> None:
    """Make and save random weights that still carry signal.

    He initialisation (He et al. 2015, fan-in, zero biases), and batch-norm statistics from one fixed seeded
    batch of smooth noise; left as constructed, S3D would give features near 1e-5. Other parameters, such as a
    class token, are drawn by the module's own constructor. Made in float64 on one thread, saved as float32.

    Args:
        path: a `.safetensors` file, written at once.
    """
    generator = torch.Generator().manual_seed(seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = backbone.build().double()
        for layer in module.modules():
            if isinstance(layer, _WEIGHTED):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        _take_statistics(module, backbone, generator)
    finally:
        torch.set_num_threads(threads)
    tensors = {
        key: tensor.float() if tensor.is_floating_point() else tensor
        for key, tensor in module.state_dict().items()
    }
    write_tensors(path, tensors)


def _take_statistics(module: nn.Module, backbone: Backbone, generator: torch.Generator) -> None:
    """Let every batch norm take its mean and variance from one batch of smooth noise."""
    norms = [layer for layer in module.modules() if isinstance(layer, _NORMS)]
    if not norms:
        return
    module.eval()  # dropout and stochastic depth would be chance from outside the generator
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    clip_len = backbone.clip_len or max(16, backbone.min_clip_len)
    size = backbone.size or max(64, backbone.min_size)
    coarse = torch.randn(4, 3, 4, 8, 8, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        module(nn.functional.interpolate(coarse, (clip_len, size, size), mode="trilinear"))
