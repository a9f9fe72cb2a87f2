"""Weights that are trained together, chosen together, and end together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from aqa_cache.machine.threads import cpu_threads

from .best_weights import BestWeights
from .computing import denormals_flushed
from .taken_part import TakenPart


@dataclass
class Part:
    """Weights that are trained together and share nothing with other parts.

    Args:
        name: `assessment` (encoder and heads), `captioner`, or `model`.
        optimisers: of its parameters; some encoders bring their own.
        best: its weights where the validation samples liked them best.
        best_value: what it reached there, the higher the better; None as long as nothing is chosen.
        why_start: what is to be said where no epoch was better than the state before the first step.
        stopped: it has not improved for so long that it is no longer trained.
        losses: of its last epoch, columns of an `Epoch`.
        taken: the same part as another run has trained it, whose results are taken over; None: it is trained.
        update_threads: that the optimisers take on the CPU; None: as many as the rest of a step.
    """

    name: str
    modules: nn.Module
    optimisers: list
    best: BestWeights
    why_start: str = "this score is the ridge regression, encoder and fc6 took no part in it"
    best_value: float | None = None
    best_epoch: int | None = None
    stopped: bool = False
    losses: dict[str, float] = field(default_factory=dict)
    taken: TakenPart | None = None
    update_threads: int | None = None

    @property
    def verdict(self) -> tuple[float | None, int | None, bool]:
        """What was chosen so far, and whether it is no longer trained."""
        return self.best_value, self.best_epoch, self.stopped

    @verdict.setter
    def verdict(self, verdict: tuple[float | None, int | None, bool]) -> None:
        self.best_value, self.best_epoch, self.stopped = verdict

    def take_over(self, taken: TakenPart) -> None:
        """Do without training: follow a run that has trained this very part."""
        self.taken, self.best_value, self.best_epoch = taken, taken.best_value, taken.best_epoch

    def put_back(self) -> None:
        """Give the modules the weights that are reported."""
        if self.taken is not None:
            self.taken.load_weights(self.modules)
        elif self.best_epoch is not None:
            self.best.put_back(self.modules)

    def judge(self, epoch: int, value: float | None, patience: int) -> None:
        """Keep the weights if `value` is the best so far; stop after `patience` epochs without a better
        one.
        """
        if value is None:
            return
        if self.best_value is None or value > self.best_value:
            self.best_value, self.best_epoch = value, epoch
            self.best.keep(self.modules)
        self.stopped = epoch - self.best_epoch >= patience

    def step(self, loss: torch.Tensor) -> None:
        for parameter in self.modules.parameters():
            parameter.grad = None
        own = torch.get_num_threads()
        with cpu_threads(self.update_threads), denormals_flushed():
            with cpu_threads(own):
                loss.backward()
            for optimiser in self.optimisers:
                optimiser.step()

    def state(self) -> dict[str, Any]:
        return {
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "best": self.best.state(),
            "numbers": [self.best_value, self.best_epoch, self.stopped],
            "losses": self.losses,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        for optimiser, stored in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(stored)
        self.best_value, self.best_epoch, self.stopped = state["numbers"]
        self.best.restore(state["best"], kept=self.best_epoch is not None)
        self.losses = dict(state["losses"])
