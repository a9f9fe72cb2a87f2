"""A part of a model that another run of the same call has trained, to the bit, and its results taken over."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from ..errors import RunError
from ..runs.format import Run
from ..runs.tables import Epoch
from ..runs.weights_file import read_weights
from .part_columns import columns_of


@dataclass(frozen=True)
class TakenPart:
    """What a finished run says of one of its parts.

    Args:
        name: of the part.
        run: the name of the run that trained it; folder: where it lies.
        epochs: of that run, of all its parts.
        best_epoch, best_value: what was chosen; None where nothing was.
    """

    name: str
    run: str
    folder: Path
    epochs: Sequence[Epoch]
    best_epoch: int | None
    best_value: float | None

    @classmethod
    def of(cls, run: Run, name: str) -> "TakenPart":
        chosen = (run.summary.get("chosen") or {}).get(name) or {}
        return cls(name, run.folder.name, run.folder, run.epochs, chosen.get("epoch"), chosen.get("value"))

    @property
    def last_epoch(self) -> int:
        """The last one in which it was trained; other parts may have gone on."""
        trained = columns_of(self.name, trained=True)
        return max(
            epoch.epoch
            for epoch in self.epochs
            if any(getattr(epoch, column) is not None for column in trained)
        )

    def losses(self, epoch: int) -> dict[str, float]:
        """Its training losses of an epoch, or of its last one."""
        row = self.epochs[min(epoch, self.last_epoch) - 1]
        found = {column: getattr(row, column) for column in columns_of(self.name, trained=True)}
        return {column: value for column, value in found.items() if value is not None}

    def measured(self, epoch: int) -> dict[str, float | None]:
        """What was measured of it after an epoch."""
        row = self.epochs[epoch - 1]
        return {column: getattr(row, column) for column in columns_of(self.name, trained=False)}

    def ended(self, epoch: int, of: int) -> bool:
        """Whether it had been stopped by the end of an epoch, of at most `of`."""
        return self.last_epoch <= epoch and self.last_epoch < of

    def load_weights(self, modules: nn.Module) -> None:
        """Give the part's modules the weights that the run reports.

        Raises:
            RunError: they are damaged.
        """
        path = self.folder / "model.safetensors"
        try:
            read_weights(path, modules.state_dict())
        except ValueError as error:
            raise RunError(f"{path}: {error}; train that run again") from None
