"""The epoch, chosen by all training samples: several models, each trained without one part of them and
evaluated on it.
"""

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from aqa_cache.machine.devices import available_memory

from ...data.training_data import TrainingData
from ...evaluation.metrics import relative_l2, spearman
from ...evaluation.predictions import Predictions, caption_loss_per_token, predict
from ...runs.folder import FOLD, Work
from ...runs.tables import Epoch
from ...settings.resolved import ResolvedConfig
from ..epoch_results import scored, true_scores, value_of
from ..fitting import check_finite, diverged, start_may_be_best
from ..listener import Listener
from ..loss_sums import LossSums
from ..losses import CAPTION_WEIGHT
from ..part import Part
from ..part_columns import columns_of
from ..starting_point import remember
from ..steps import Steps, steps_of
from .choice import Choice, ChosenPart, steps_an_epoch
from .out_of_fold import held_out_rows, spread_of_scored

# Epochs that a fold's model is trained before it is the next one's turn.
_TURN = 5
# Of the free memory, for the models of all folds at once; a model and its optimiser are 3 times its weights.
_MEMORY_SHARE, _WITH_OPTIMISER = 0.25, 3


@dataclass
class _Record:
    """What is known of the training without one fold, plain JSON.

    Args:
        trained: epochs that are done, by part.
        losses: of each epoch from 1 on, by part: columns of an `Epoch`.
        scores: of each epoch from 0 on the predicted scores of the held-out samples that have a score; None
            where they were not looked at. spreads: likewise, where the score head has them.
        right: likewise, by class column, how many held-out samples are classified rightly, and of how many.
        caption: likewise the caption loss per token; seconds: likewise, of training and evaluating.
        why_start: of each part (`Part`).
    """

    trained: dict[str, int] = field(default_factory=dict)
    losses: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    scores: list[list[float] | None] = field(default_factory=list)
    spreads: list[list[float] | None] = field(default_factory=list)
    right: list[dict[str, list[int]] | None] = field(default_factory=list)
    caption: list[float | None] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    why_start: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Verdict:
    """What all held-out predictions say of a part: its best epoch so far, and the last that it is trained."""

    epoch: int | None
    value: float | None
    last: int
    ended: bool


class Folds:
    """The models of all folds, trained in turns of some epochs; in memory together where there is room, else
    one at a time.

    The epoch of a part is the one after which all held-out predictions together are best; it ends when they
    have not become better for `patience` epochs. That is the same whatever the length of a turn.

    Args:
        data: all training samples, with the folds; on the device.
        begin: makes the steps of a model, brought to where training on this data starts; with True not so
            far, as a checkpoint will bring it on.
        work: where models wait for their turns, or for a run that goes on.
        kept: what a checkpoint holds, plain JSON.
    """

    def __init__(
        self,
        data: TrainingData,
        begin: Callable[[TrainingData, bool], Steps],
        config: ResolvedConfig,
        work: Work,
        kept: Mapping,
    ):
        assert data.folds
        self._begin, self._config, self._work, self._kept = begin, config, work, kept
        self._data = [data.holding_out(fold) for fold in data.folds]
        self._records = [self._stored_record(number) for number in range(len(self._data))]
        self._in_memory: dict[int, Steps] = {}
        self._parts: list[tuple[str, str]] = []
        self._tasks = data.tasks

    def choose(self, listener: Listener) -> Choice:
        """Train all models for as long as it takes to choose.

        Raises:
            DivergedError: a loss, weight or prediction is not finite.
        """
        verdicts: dict[str, _Verdict] = {}
        epochs: list[Epoch] = []
        for end in (*range(_TURN, self._config.epochs, _TURN), self._config.epochs):
            listener.on_stage("training")
            live = [name for name, verdict in verdicts.items() if not verdict.ended] if verdicts else None
            for number in range(len(self._data)):
                self._take_turn(number, end, live)
            if self._work.due:
                for number in self._in_memory:
                    self._store(number)
            verdicts = {name: self._verdict(name, end) for name, _ in self._parts}
            shown, epochs = len(epochs), self._epochs(verdicts)
            for epoch in epochs[shown:]:
                listener.on_epoch(epoch)
            if all(verdict.ended for verdict in verdicts.values()):
                break
        return self._choice(epochs, verdicts)

    def _take_turn(self, number: int, end: int, live: Collection[str] | None) -> None:
        """Train the model of a fold to the end of an epoch, or find that done."""
        data, record = self._data[number], self._records[number]
        names = live if live is not None else [name for name, _ in self._parts] or list(record.trained)
        if names and min(record.trained.get(name, 0) for name in names) >= end:
            self._parts = self._parts or [(name, record.why_start[name]) for name in record.trained]
            return
        steps = self._steps(number)
        self._parts = [(part.name, part.why_start) for part in steps.parts]
        parts = [part for part in steps.parts if live is None or part.name in live]
        for epoch in range(record.trained.get(parts[0].name, 0) + 1, end + 1):
            began = time.perf_counter()
            for part in parts:
                self._train_epoch(steps, part, record, epoch)
            self._measure(record, steps, data, [part.name for part in parts], epoch)
            record.seconds[epoch] += time.perf_counter() - began
        check_finite(steps.modules, end, self._config)
        if number not in self._in_memory:
            self._store(number, steps)

    def _steps(self, number: int) -> Steps:
        """Those of a fold, as far as they have come."""
        if number in self._in_memory:
            return self._in_memory[number]
        data, stored = self._data[number], self._work.fetch(FOLD.format(number + 1))
        steps = self._begin(data, stored is not None)
        if stored is not None:
            steps.restore(stored["steps"])
            for part in steps.parts:
                part.restore(stored["parts"][part.name])
        else:
            record = self._records[number]
            record.why_start = {part.name: part.why_start for part in steps.parts}
            names = [steps.parts[0].name] if start_may_be_best(steps.model, data) else []
            self._measure(record, steps, data, names, 0)
        weights = sum(tensor.nbytes for tensor in steps.model.state_dict().values())
        device = steps.processes.device
        if weights * _WITH_OPTIMISER * len(self._data) <= _MEMORY_SHARE * available_memory(device):
            self._in_memory[number] = steps
        return steps

    def _train_epoch(self, steps: Steps, part: Part, record: _Record, epoch: int) -> None:
        batches, views = steps_of(steps.train, self._config, epoch)
        sums = LossSums()
        steps.begin_epoch(part, epoch)
        for place, chosen in enumerate(batches):
            sums.add(*steps.take(part, chosen, views, epoch, place))
        part.losses = sums.means()
        if not all(map(math.isfinite, part.losses.values())):
            raise diverged(epoch, "a loss is not finite", self._config)
        record.losses.setdefault(part.name, []).append(part.losses)
        record.trained[part.name] = epoch

    def _measure(
        self, record: _Record, steps: Steps, data: TrainingData, names: Collection[str], epoch: int
    ) -> None:
        """Add to the record what the model says of the held-out samples after an epoch."""
        scores = spreads = right = loss = None
        if set(names) - {"captioner"}:
            remember(steps.model, data)
            predictions = predict(
                steps.model, data.val.clips, factor=data.val.factor, samples=data.val.samples
            )
            scores, right = scored(predictions, data.val)[0].tolist(), _right(predictions, data)
            found = spread_of_scored(predictions, data.val)
            spreads = None if found is None else found.tolist()
            if not all(map(math.isfinite, scores)):
                raise diverged(epoch, "a predicted score is not finite", self._config)
        if epoch and set(names) - {"assessment"}:
            loss = caption_loss_per_token(steps.model, data.val)
            if loss is not None and not math.isfinite(loss):
                raise diverged(epoch, "the loss of the held-out captions is not finite", self._config)
        record.scores.append(scores)
        record.spreads.append(spreads)
        record.right.append(right)
        record.caption.append(loss)
        record.seconds.append(0.0)

    def _store(self, number: int, steps: Steps | None = None) -> None:
        steps = steps or self._in_memory[number]
        self._work.save(lambda: self._kept, now=True)
        self._work.store(
            FOLD.format(number + 1),
            lambda: {
                "record": vars(self._records[number]),
                "steps": steps.state(),
                "parts": {part.name: part.state() for part in steps.parts},
            },
        )

    def _stored_record(self, number: int) -> _Record:
        stored = self._work.fetch(FOLD.format(number + 1))
        return _Record() if stored is None else _Record(**stored["record"])

    def _verdict(self, part: str, end: int) -> _Verdict:
        best, value = None, None
        for epoch in range(end + 1):
            found = value_of_held_out(part, self._row(epoch, [part]))
            if found is not None and (value is None or found > value):
                best, value = epoch, found
            if best is not None and epoch - best >= self._config.patience:
                return _Verdict(best, value, epoch, True)
        return _Verdict(best, value, end, end == self._config.epochs)

    def _row(self, epoch: int, parts: Collection[str]) -> dict[str, float | None]:
        """The columns of an `Epoch` that are measured, over the held-out samples of all folds."""
        row = dict.fromkeys(columns_of("model", trained=False))
        scores = [record.scores[epoch] for record in self._records]
        if set(parts) - {"captioner"} and None not in scores:
            true = np.concatenate([true_scores(data.val)[1] for data in self._data])
            predicted = np.concatenate(scores)
            if len(predicted):
                row["val_spearman"], row["val_relative_l2"] = (
                    metric(predicted, true) for metric in (spearman, relative_l2)
                )
            row["val_class_accuracy"] = _accuracy([record.right[epoch] for record in self._records])
        if set(parts) - {"assessment"}:
            told = [
                (record.caption[epoch], sum(max(len(caption) - 1, 0) for caption in data.val.captions))
                for record, data in zip(self._records, self._data, strict=True)
            ]
            if words := sum(count for loss, count in told if loss is not None):
                total = sum(loss * count for loss, count in told if loss is not None)
                row["val_caption_loss_per_token"] = total / words
        return row

    def _epochs(self, verdicts: Mapping[str, _Verdict]) -> list[Epoch]:
        """One for each up to the last that a part is trained: losses are means over the folds."""
        epochs = []
        for number in range(1, max(verdict.last for verdict in verdicts.values()) + 1):
            losses, total = dict.fromkeys(columns_of("model", trained=True)), 0.0
            live = [name for name, verdict in verdicts.items() if number <= verdict.last]
            for name, verdict in verdicts.items():
                mean = self._mean_losses(name, min(number, verdict.last))
                total += mean.get("train_score_loss", 0.0) + mean.get("train_class_loss", 0.0)
                total += CAPTION_WEIGHT * mean.get("train_caption_loss", 0.0)
                losses |= mean if name in live else {}
            seconds = sum(record.seconds[number] for record in self._records)
            epochs.append(Epoch(number, total, **losses, **self._row(number, live), seconds=seconds))
        return epochs

    def _mean_losses(self, part: str, epoch: int) -> dict[str, float]:
        found = [record.losses[part][epoch - 1] for record in self._records]
        return {
            column: sum(values) / len(values)
            for column in columns_of(part, trained=True)
            if (values := [losses[column] for losses in found if column in losses])
        }

    def _choice(self, epochs: list[Epoch], verdicts: Mapping[str, _Verdict]) -> Choice:
        an_epoch = float(np.mean([steps_an_epoch(data, self._config) for data in self._data]))
        parts = []
        for name, why_start in self._parts:
            verdict = verdicts[name]
            last = verdict.last if verdict.epoch is None else verdict.epoch
            metric, steps = held_out_metric(name, self._tasks), round(last * an_epoch)
            parts.append(ChosenPart(name, verdict.epoch, verdict.value, metric, steps, why_start))
        rows = []
        for number, (record, data) in enumerate(zip(self._records, self._data, strict=True), 1):
            scorer = next((part for part in parts if part.name != "captioner"), None)
            if scorer is None:
                continue
            chosen = verdicts[scorer.name].last if scorer.epoch is None else scorer.epoch
            chose, spreads = scorer.epoch is not None, record.spreads[chosen]
            rows += held_out_rows(data, record.scores[chosen], number, chose, spreads)
        validated = sum(len(data.val) for data in self._data)
        return Choice(epochs, parts, validated, rows)


def value_of_held_out(part: str, row: Mapping) -> float | None:
    """What a part is chosen by, the higher the better, from what is measured on the held-out samples of all
    folds together; None where nothing can be said.

    Of scores the squared error: their ranks would be compared across models, of which one that was trained
    without the best samples expects less of all.
    """
    if part != "captioner" and row["val_relative_l2"] is not None:
        return None if math.isnan(row["val_relative_l2"]) else -row["val_relative_l2"]
    return value_of(part, row)


def held_out_metric(part: str, tasks: Collection[str]) -> str:
    """What `value_of_held_out` is, for a person."""
    if part == "captioner":
        return "negative caption loss per token of all held-out samples"
    return (
        "negative relative L2 of all held-out samples"
        if "score" in tasks
        else "class accuracy of all held-out samples"
    )


def _right(predictions: Predictions, data: TrainingData) -> dict[str, list[int]]:
    """By class column how many held-out samples are classified rightly, of how many that have a class."""
    counts = {}
    for name, classes in predictions.classes.items():
        true = [sample.classes.get(name) for sample in data.val.samples]
        labelled = [(mine, theirs) for mine, theirs in zip(classes, true, strict=True) if theirs is not None]
        counts[name] = [sum(mine == theirs for mine, theirs in labelled), len(labelled)]
    return counts


def _accuracy(of_folds: Sequence[Mapping[str, Sequence[int]] | None]) -> float | None:
    """The accuracy of each class column over all folds, averaged over the columns."""
    found = [counts for counts in of_folds if counts is not None]
    totals = [[sum(counts[name][place] for counts in found) for place in (0, 1)] for name in found[0]]
    shares = [right / labelled for right, labelled in totals if labelled]
    return sum(shares) / len(shares) if shares else None
