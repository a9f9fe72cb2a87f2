"""Which epoch of each part was chosen, by whom, and for how many steps the reported model is trained then."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field

from ...data.training_data import TrainingData
from ...runs.tables import Epoch, HeldOut
from ...settings.resolved import ResolvedConfig
from ..part import Part


@dataclass(frozen=True)
class ChosenPart:
    """What was chosen of a part of the model.

    Args:
        name: of the part.
        epoch: 0 is the state before the first step; None: nothing could be chosen, its last epoch counts.
        value: what it reached there on the samples that chose, the higher the better.
        metric: what the value is, for a person.
        steps: of training up to the end of that epoch.
        why_start: what is to be said where `epoch` is 0.
    """

    name: str
    epoch: int | None
    value: float | None
    metric: str
    steps: int
    why_start: str


@dataclass(frozen=True)
class Choice:
    """What was chosen, and how it came about.

    Args:
        epochs: of the training in which was chosen; none of a closed form.
        parts: of the model.
        validated: how many samples chose.
        held_out: predictions by models that did not learn from the samples.
        refit: of the training after the choice, for `summary.json`; None where there was none.
        penalty: of a closed form, as `LinearReference.chosen` has it; empty of others.
    """

    epochs: list[Epoch] = field(default_factory=list)
    parts: list[ChosenPart] = field(default_factory=list)
    validated: int = 0
    held_out: list[HeldOut] = field(default_factory=list)
    refit: dict | None = None
    penalty: Mapping[str, float] = field(default_factory=dict)

    def state(self) -> dict:
        """For a checkpoint, plain JSON."""
        return {
            "epochs": [list(astuple(epoch)) for epoch in self.epochs],
            "parts": [asdict(part) for part in self.parts],
            "validated": self.validated,
            "held_out": [list(astuple(row)) for row in self.held_out],
        }

    @classmethod
    def of_state(cls, state: Mapping) -> "Choice":
        return cls(
            [Epoch(*row) for row in state["epochs"]],
            [ChosenPart(**part) for part in state["parts"]],
            state["validated"],
            [HeldOut(*row) for row in state["held_out"]],
        )


def refit_note(choice: Choice, data: TrainingData, config: ResolvedConfig) -> str:
    """What is to be said before the model is trained on all samples."""
    steps = " and ".join(
        f"its {part.name} for {part.steps:,} steps" if part.steps else f"its {part.name} stays at its start"
        for part in choice.parts
    )
    return (
        f"the reported model is trained once more, on all {len(data.train.labelled):,} labelled training"
        f" samples: {steps}, as was chosen (--no-refit: the model that chose)"
    )


def refit_record(choice: Choice, data: TrainingData, config: ResolvedConfig, epochs: Sequence[Epoch]) -> dict:
    """For `summary.json`: of each part steps and epochs on all samples, the last one in part perhaps."""
    an_epoch = steps_an_epoch(data, config)
    return {
        "steps": {part.name: part.steps for part in choice.parts},
        "epochs": {part.name: part.steps / an_epoch for part in choice.parts},
        "train_loss": epochs[-1].train_loss if epochs else None,
    }


def steps_an_epoch(data: TrainingData, config: ResolvedConfig) -> int:
    """Optimiser steps in an epoch on cached features."""
    return math.ceil(len(data.train.labelled) / config.batch_size)


def chosen_parts(
    parts: Sequence[Part], epochs: Sequence[Epoch], data: TrainingData, config: ResolvedConfig
) -> list[ChosenPart]:
    """What one held-out part has chosen, as training left the parts."""
    an_epoch = steps_an_epoch(data, config)
    return [
        ChosenPart(
            part.name,
            part.best_epoch,
            part.best_value,
            metric_name(part.name, data),
            an_epoch * (len(epochs) if part.best_epoch is None else part.best_epoch),
            part.why_start,
        )
        for part in parts
    ]


def metric_name(part: str, data: TrainingData) -> str:
    """What one held-out part chooses by (`epoch_results.value_of`)."""
    if part == "captioner":
        return "negative validation caption loss per token"
    return "validation Spearman" if "score" in data.tasks else "validation class accuracy"
