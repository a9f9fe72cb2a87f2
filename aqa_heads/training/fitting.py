"""The epochs of a run: every part trained, validated, stopped in time, and kept at its best."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

import torch
from torch import nn

from aqa_cache.machine.threads import cpu_threads

from ..data.training_data import TrainingData
from ..errors import DivergedError, RunError
from ..networks.model import AqaModel
from ..runs.folder import Work
from ..runs.tables import Epoch
from ..settings.resolved import ResolvedConfig
from .epoch_results import evaluate, losses_of, value_of
from .listener import Listener, Step
from .loss_sums import LossSums
from .part import Part
from .part_columns import columns_of
from .starting_point import remember
from .steps import Steps, steps_of

_log = logging.getLogger(__name__)


class Fitting:
    """Everything of a run that changes from epoch to epoch, on cached features and end to end.

    An interrupted run goes on as if it had not been: what is random follows from the seed and from how far
    it is (see `Steps`).

    Args:
        steps: what a step does.
        data: as training starts, on the model's device.
        work: where checkpoints are written, by the first process.
        kept: what else a checkpoint holds, plain JSON.
        until: by part the number of steps after which it ends; nothing is evaluated then. None: validation,
            or the number of epochs, says when.
    """

    def __init__(
        self,
        steps: Steps,
        data: TrainingData,
        config: ResolvedConfig,
        work: Work,
        kept: Mapping[str, Any],
        until: Mapping[str, int] | None = None,
    ):
        self._steps, self._data, self._config, self._work, self._kept = steps, data, config, work, kept
        self._processes, self.parts = steps.processes, steps.parts
        self.epochs: list[Epoch] = []
        self._until, self._last_epoch = until, config.epochs
        if until is not None:
            an_epoch = self._an_epoch = math.ceil(len(steps.train.labelled) / config.batch_size)
            self._last_epoch = math.ceil(max(until.values()) / an_epoch)
            for part in self.parts:
                part.stopped = until[part.name] == 0
        # Of the current epoch: steps that are done, their losses, seconds.
        self._done, self._sums, self._seconds = 0, LossSums(), 0.0
        self._resumed, self._saved = False, None

    def restore(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on where `checkpoint` was written."""
        self._steps.restore(checkpoint)
        # Earlier versions kept the only part of an end-to-end run under the key `part`.
        stored = checkpoint["parts"] if "parts" in checkpoint else {self.parts[0].name: checkpoint["part"]}
        for part in self.parts:
            if part.taken is None:
                part.restore(stored[part.name])
        self.epochs = [Epoch(*row) for row in checkpoint["epochs"]]
        for part in self.parts:
            if part.taken is not None and self.epochs:
                part.losses = part.taken.losses(len(self.epochs))
                part.stopped = part.taken.ended(len(self.epochs), self._config.epochs)
        if self._steps.one_by_one:
            self._done, self._seconds = checkpoint["done"], checkpoint["seconds"]
            self._sums.restore(checkpoint["sums"])
        self._resumed, self._saved = True, (len(self.epochs), self._done)

    def fit(self, listener: Listener) -> list[Epoch]:
        """Train, and leave all that is trained at what is to be reported.

        Returns:
            All epochs; the parts know what was chosen.

        Raises:
            DivergedError: a loss, weight or prediction is not finite.
        """
        self._processes.equalise(*self._steps.shared)
        if not self._resumed and self._start_may_be_best() and self.parts[0].taken is None:
            self._judge(0, self._data, self.parts[:1])
        made = 0
        for number in range(len(self.epochs) + 1, self._last_epoch + 1):
            if all(part.stopped for part in self.parts):
                break
            listener.on_stage("training")
            began, before = time.perf_counter(), self._seconds
            trained = any(part.taken is None for part in self._live())
            for part in self._live():
                if part.taken is None:
                    with cpu_threads(self._steps.threads(part)):
                        made = self._train_epoch(part, number, made, listener)
                    part.losses, self._sums = self._sums.means(), LossSums()
                else:
                    part.losses = part.taken.losses(number)
            listener.on_stage("evaluating")
            row = self._results(number)
            seconds = before + time.perf_counter() - began
            self.epochs.append(Epoch(epoch=number, **row, seconds=seconds))
            self._done, self._seconds = 0, 0.0
            if trained and self._until is None:
                listener.on_epoch(self.epochs[-1])
            self._save(now=self._best_is_newer(number))
        if self._steps.one_by_one:
            try:
                self._save(now=True)  # what comes now takes its time, and may find the disk full
            except RunError as error:  # this may need more room than the run itself
                _log.warning(str(error))
        if self._processes.main:
            for part in self.parts:
                part.put_back()
            remember(self._steps.model, self._data)
        self._processes.equalise(*self._steps.shared)
        check_finite(self._steps.modules, len(self.epochs), self._config)
        return self.epochs

    def _live(self) -> list[Part]:
        return [part for part in self.parts if not part.stopped]

    def _start_may_be_best(self) -> bool:
        if not len(self._data.val):
            return False
        return self._steps.starts_trained or start_may_be_best(self._steps.model, self._data)

    def _train_epoch(self, part: Part, number: int, made: int, listener: Listener) -> int:
        """The steps of an epoch that are not done yet; returns on how many clips this command has trained."""
        train, one_by_one = self._steps.train, self._steps.one_by_one
        steps, views = steps_of(train, self._config, number)
        if self._until is not None:
            steps = steps[: self._until[part.name] - (number - 1) * len(steps)]
        clips = [sum(map(train.views.clip_count, chosen)) for chosen in steps] if one_by_one else []
        self._steps.begin_epoch(part, number)
        for place in range(self._done, len(steps)):
            began = time.perf_counter()
            loss, batch = self._steps.take(part, steps[place], views, number, place)
            self._sums.add(loss, batch)
            if one_by_one:
                self._done, made = place + 1, made + clips[place]
                total = None if loss.total is None else float(loss.total.detach())
                self._seconds += time.perf_counter() - began
                listener.on_step(Step(number, sum(clips[: self._done]), sum(clips), made, total))
                self._save()
        return made

    def _results(self, number: int) -> dict[str, float | None]:
        """The columns of an `Epoch`."""
        try:
            losses = losses_of(self.parts)
        except FloatingPointError as error:
            raise diverged(number, error, self._config) from None
        if self._until is not None:
            for part in self.parts:
                part.stopped = number * self._an_epoch >= self._until[part.name]
            return losses | dict.fromkeys(columns_of("model", trained=False))
        live = self._live()
        trained = [part for part in live if part.taken is None]
        names = ["val"] if len(self._data.val) else ["test"]
        # Statistics that were taken in training are each process's own.
        self._processes.equalise(*self._steps.shared)
        row = self._judge(number, self._steps.evaluated(self._data, names), trained)
        for part in live:
            if part.taken is not None:
                row |= part.taken.measured(number)
                part.stopped = part.taken.ended(number, self._config.epochs)
        return losses | row

    def _judge(self, number: int, data: TrainingData, parts: Sequence[Part]) -> dict[str, float | None]:
        """The columns of an `Epoch` that are measured after it; the first process evaluates and decides for
        all.
        """
        row = None
        with self._processes.agree():
            if self._processes.main:
                try:
                    row = evaluate(self._steps.model, data, parts)
                except FloatingPointError as error:
                    raise diverged(number, error, self._config) from None
                for part in parts:
                    part.judge(number, value_of(part.name, row), self._config.patience)
        row, verdicts = self._processes.tell((row, [part.verdict for part in parts]))
        for part, verdict in zip(parts, verdicts, strict=True):
            part.verdict = verdict
        return row

    def _best_is_newer(self, number: int) -> bool:
        """Whether a file of best weights was written that the last checkpoint does not know.

        A run that goes on from there on another machine may not find these weights best again.
        """
        return any(
            part.taken is None and part.best_epoch == number and part.best.state() is None
            for part in self.parts
        )

    def _save(self, now: bool = False) -> None:
        place = len(self.epochs), self._done
        if not self._processes.main or place == self._saved:
            return
        if self._work.save(self._state, now):
            self._saved = place

    def _state(self) -> dict[str, Any]:
        state = {
            **self._kept,
            **self._steps.state(),
            "parts": {part.name: part.state() for part in self.parts if part.taken is None},
            "taken": {part.name: part.taken.run for part in self.parts if part.taken is not None},
            "epochs": [list(astuple(epoch)) for epoch in self.epochs],
        }
        if self._steps.one_by_one:
            state |= {"done": self._done, "sums": self._sums.state(), "seconds": self._seconds}
        return state


def start_may_be_best(model: AqaModel, data: TrainingData) -> bool:
    """Whether what training starts from may be better than where it goes, and is a choice.

    Class heads know nothing yet: with them it is none.
    """
    return (
        model.heads is not None
        and model.heads.direct is not None
        and not model.class_names
        and len(data.val) > 0
    )


def check_finite(module: nn.Module, epoch: int, config: ResolvedConfig) -> None:
    """Raise DivergedError where a weight is not finite: those of the last step are in no training loss."""
    # Minimum and maximum tell, without a mask as large as the weights.
    ends = [end for parameter in module.parameters() for end in parameter.detach().aminmax()]
    if not torch.stack(ends).isfinite().all():
        raise diverged(epoch, "a weight is not finite", config)


def diverged(epoch: int, why: object, config: ResolvedConfig) -> DivergedError:
    rates = []
    if config.fine_tuning is not None:
        rates.append(f"a --backbone-lr below {config.fine_tuning.backbone_lr:g}")
    if {"score", "classes"} & {*config.tasks}:
        rates.append(f"an --lr below {config.lr:g}")
    if "caption" in config.tasks:
        rates.append(f"a --caption-lr below {config.caption_lr:g}")
    return DivergedError(f"training diverged in epoch {epoch} ({why}); try {' or '.join(rates)}")
