"""The weights of the best epoch so far."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from aqa_cache.disk.tensor_file import write_tensors

# What is larger is kept in a file, as a second copy of it may not fit in memory.
MEMORY_LIMIT = 2**30


class BestWeights:
    """A copy of a module's weights.

    Args:
        path: where the copy lies if it is larger than `MEMORY_LIMIT` bytes.
    """

    def __init__(self, path: Path):
        self._path, self._copy = path, None

    def keep(self, module: nn.Module) -> None:
        weights = module.state_dict()
        if sum(weight.nbytes for weight in weights.values()) <= MEMORY_LIMIT:
            self._copy = {name: weight.detach().clone() for name, weight in weights.items()}
            return
        write_tensors(self._path, weights)

    def put_back(self, module: nn.Module) -> None:
        """Give `module` the weights that were kept."""
        if self._copy is not None:
            module.load_state_dict(self._copy)
            return
        from safetensors import safe_open

        mine = module.state_dict()
        with torch.no_grad():
            for name in mine:  # one by one, the file closed in between: a second copy of all may not fit
                with safe_open(self._path, "pt") as file:
                    mine[name].copy_(file.get_tensor(name))

    def state(self) -> dict[str, torch.Tensor] | None:
        """For a checkpoint; None: nothing, or it is in the file beside it."""
        return self._copy

    def restore(self, state: Mapping[str, torch.Tensor] | None) -> None:
        self._copy = None if state is None else dict(state)
