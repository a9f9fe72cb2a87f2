"""The weights of the best epoch so far."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ..errors import RunError
from ..runs.weights_file import read_weights, write_weights

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
        write_weights(self._path, weights)

    def put_back(self, module: nn.Module) -> None:
        """Give `module` the weights that were kept.

        Raises:
            RunError: the file is damaged.
        """
        if self._copy is not None:
            module.load_state_dict(self._copy)
            return
        try:
            read_weights(self._path, module.state_dict())
        except ValueError as error:
            raise RunError(f"{self._path}: {error}; give --resume to begin again") from None

    def state(self) -> dict[str, torch.Tensor] | None:
        """For a checkpoint; None: nothing, or it is in the file beside it."""
        return self._copy

    def restore(self, state: Mapping[str, torch.Tensor] | None, kept: bool) -> None:
        """Go on with what `state()` gave.

        Args:
            kept: whether there are weights: then they are in the file, if not in the state.

        Raises:
            ValueError: the file is damaged.
        """
        self._copy = None if state is None else dict(state)
        if kept and state is None:
            read_weights(self._path, {})
