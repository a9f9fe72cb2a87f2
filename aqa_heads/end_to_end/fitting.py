"""The epochs of an end-to-end run: trained, validated, kept at its best, and able to go on from the middle of
one.
"""

import time
from collections.abc import Mapping
from dataclasses import astuple, replace

from ..data.training_data import TrainingData
from ..errors import RunError
from ..runs.folder import BEST, Work
from ..runs.format import Epoch
from ..settings.training import TrainingConfig
from ..training.best_weights import BestWeights
from ..training.epoch_results import evaluate, losses_of, value_of
from ..training.fitting import check_finite, diverged, seed_of, start_may_be_best, steps_of
from ..training.loss_sums import LossSums
from ..training.part import Part
from .backbone_features import BackboneFeatures
from .fine_tuner import FineTuner
from .frame_views import FrameViews
from .listener import Listener, Step

# Beside the seeds of the parts of a model on cached features, which are 0 to 2.
_STEP = 3


class Fitting:
    """Everything of a run that changes from step to step.

    What is random in a step follows from seed, epoch and step alone, so an interrupted run goes on as if it
    had not been.

    Args:
        data: with the features of the backbone as it starts, on its device.
        frames: of the training samples.
        work: where checkpoints are written, by the first process.
        kept: what else a checkpoint holds, plain JSON.
    """

    def __init__(
        self,
        tuner: FineTuner,
        features: BackboneFeatures,
        data: TrainingData,
        frames: FrameViews,
        config: TrainingConfig,
        work: Work,
        kept: Mapping,
    ):
        self._tuner, self._features, self._data, self._config = tuner, features, data, config
        self._processes, self._work, self._kept = tuner.processes, work, kept
        self._train = replace(data.train, views=frames)
        self._part = Part(
            tuner.part_name,
            tuner.modules,
            tuner.optimisers,
            BestWeights(work.path / BEST.format(tuner.part_name)),
        )
        if config.fine_tuning.warm_start is not None:
            self._part.start = "these are the warm start's weights, training the backbone improved nothing"
        self.epochs: list[Epoch] = []
        self._done, self._sums, self._seconds = 0, LossSums(), 0.0  # steps of the epoch that is under way
        self._resumed, self._saved = False, None

    def restore(self, checkpoint: Mapping) -> None:
        """Go on where `checkpoint` was written."""
        self._tuner.restore(checkpoint)
        self._part.restore(checkpoint["part"])
        self.epochs = [Epoch(*row) for row in checkpoint["epochs"]]
        self._done, self._seconds = checkpoint["done"], checkpoint["seconds"]
        self._sums.restore(checkpoint["sums"])
        self._resumed, self._saved = True, (len(self.epochs), self._done)

    def fit(self, listener: Listener) -> tuple[list[Epoch], Part]:
        """Train, and leave backbone and model at what is to be reported.

        Raises:
            DivergedError: a loss, weight or prediction is not finite.
        """
        part, config = self._part, self._config
        self._processes.equalise(self._tuner.backbone, self._tuner.model)
        warm = config.fine_tuning.warm_start is not None
        if (
            not self._resumed
            and len(self._data.val)
            and (warm or start_may_be_best(self._tuner.model, self._data))
        ):
            self._judge(0, self._data)
        made = 0
        for number in range(len(self.epochs) + 1, config.epochs + 1):
            if part.stopped:
                break
            listener.on_stage("training")
            made = self._train_epoch(number, made, listener)
            listener.on_stage("evaluating")
            part.losses = self._sums.means()
            started = time.perf_counter()
            try:
                losses = losses_of([part])
            except FloatingPointError as error:
                raise diverged(number, error, config) from None
            # Statistics that were taken in training are each process's own.
            self._processes.equalise(self._tuner.backbone, self._tuner.model)
            names = ["val"] if len(self._data.val) else ["test"]
            row = losses | self._judge(number, self._features.with_features(self._data, names))
            seconds = self._seconds + time.perf_counter() - started
            self.epochs.append(Epoch(epoch=number, **row, seconds=seconds))
            self._done, self._sums, self._seconds = 0, LossSums(), 0.0
            listener.on_epoch(self.epochs[-1])
            # A file of best weights and a checkpoint that does not know it would not fit together.
            self._save(now=part.best_epoch == number and part.best.state() is None)
        try:
            self._save(now=True)  # what comes now takes its time, and may find the disk full
        except RunError as error:  # this may need more room than the run itself
            listener.say(str(error))
        if self._processes.main and part.best_epoch is not None:
            part.best.put_back(part.modules)
        self._processes.equalise(self._tuner.backbone, self._tuner.model)
        check_finite(part.modules, len(self.epochs), config)
        return self.epochs, part

    def _train_epoch(self, number: int, made: int, listener: Listener) -> int:
        """The steps of an epoch that are not done yet; returns how many clips this command has trained on."""
        steps, views = steps_of(self._train, self._config, number)
        clips = [sum(map(self._train.views.clip_count, chosen)) for chosen in steps]
        for step in range(self._done, len(steps)):
            started = time.perf_counter()
            loss, batch = self._tuner.step(
                self._train, steps[step], views, seed_of(self._config.seed, number, _STEP, step)
            )
            self._sums.add(loss, batch)
            self._done, made = step + 1, made + clips[step]
            total = None if loss.total is None else float(loss.total.detach())
            self._seconds += time.perf_counter() - started
            listener.on_step(Step(number, sum(clips[: self._done]), sum(clips), made, total))
            self._save()
        return made

    def _judge(self, number: int, data: TrainingData) -> dict[str, float | None]:
        """The columns of an `Epoch` that are measured after it; the first process evaluates and decides for
        all.
        """
        part, row = self._part, None
        with self._processes.agree():
            if self._processes.main:
                try:
                    row = evaluate(self._tuner.model, data, [part])
                except FloatingPointError as error:
                    raise diverged(number, error, self._config) from None
                part.judge(number, value_of(part.name, row), self._config.patience)
        said = self._processes.tell((row, part.best_value, part.best_epoch, part.stopped))
        row, part.best_value, part.best_epoch, part.stopped = said
        return row

    def _save(self, now: bool = False) -> None:
        place = len(self.epochs), self._done
        if not self._processes.main or place == self._saved:
            return
        if self._work.save(self._state, now):
            self._saved = place

    def _state(self) -> dict:
        return {
            **self._kept,
            **self._tuner.state(),
            "part": self._part.state(),
            "epochs": [list(astuple(epoch)) for epoch in self.epochs],
            "done": self._done,
            "sums": self._sums.state(),
            "seconds": self._seconds,
        }
