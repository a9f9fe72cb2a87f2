"""One training run from its plan to its folder, on cached features and end to end."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.machine.heap import give_back_freed_memory

from ..captions.caption_metrics import cost_of_meteor, why_no_caption_metrics
from ..data.training_data import TrainingData, read_training_data
from ..evaluation.calibration import calibration_of
from ..evaluation.predictions import Predictions, caption_loss_per_token, predict
from ..networks.model import AqaModel
from ..runs.checkpoint import DamagedCheckpoint
from ..runs.folder import Work, hidden_folder, new_run_folder
from ..runs.format import Run, read_run, write_run
from ..runs.training_samples import write_training_samples
from .choosing.choice import Choice, chosen_parts, refit_note, refit_record
from .choosing.folds import Folds
from .choosing.out_of_fold import held_out_of, held_out_rows, held_out_table
from .computing import Clock, out_of_memory_explained, peak_memory
from .description import describe, score_range
from .epoch_results import scored
from .fitting import Fitting
from .listener import Listener
from .model_card import write_model_card
from .plan import Plan
from .processes import Processes
from .result_tables import result_tables
from .resuming import Checkpoint, damage_said, finished_run, identity_of, last_checkpoint
from .starting_point import STARTED, fit_closed_form, fit_standardiser, make_model, prepare_start
from .steps import Steps
from .summary import summarise
from .taken_part import TakenPart
from .trained_parts import TrainedParts, part_identities

_log = logging.getLogger(__name__)


class Job(ABC):
    """A run; `CachedJob` and `EndToEndJob` say what differs on cached features and end to end.

    Args:
        plan: of the run.
        cache: the one it was planned on.
        processes: that train together; the first writes and speaks.
        trained_parts: parts that runs of the same call have trained; None: this run is alone.
    """

    less_memory = "a smaller --batch-size or --encoder-hidden"

    def __init__(
        self,
        plan: Plan,
        cache: FeatureCache,
        processes: Processes,
        listener: Listener,
        trained_parts: TrainedParts | None = None,
    ):
        self.plan, self.cache, self.processes, self.listener = plan, cache, processes, listener
        self.config, self.device, self.trained_parts = plan.config, processes.device, trained_parts

    def run(self) -> Run:
        """Train, evaluate, and write the folder, or find it finished."""
        plan, config, processes = self.plan, self.config, self.processes
        identity = self.identity()
        if self.only_first(lambda: config.resume and finished_run(plan.folder, identity) is not None):
            _log.info(f"{plan.folder} is finished already")
            return read_run(plan.folder)
        with ExitStack() as stack:
            work = Work(hidden_folder(plan.folder), float("inf"))
            with processes.agree():
                if processes.main:
                    work = stack.enter_context(
                        new_run_folder(
                            plan.folder, config.overwrite, config.resume, config.checkpoint_seconds
                        )
                    )
            if processes.main:
                self.listener = self.listener.telling(work, config.epochs)
            known = self.trained_parts.runs if self.trained_parts is not None else {}
            with processes.agree():
                checkpoint = Checkpoint(last_checkpoint(work, plan.folder, identity, known, config.resume))
            # Damage that one process reads is damage for all.
            if not all(processes.gather(checkpoint.content is not None)):
                checkpoint.release()
            stack.enter_context(self._computing())
            try:
                self._train(work, identity, checkpoint, stack)
            except DamagedCheckpoint as error:
                _log.warning(f"{plan.folder}: {error}: the run begins again")
                checkpoint.release()
                work.forget()
                self._train(work, identity, checkpoint, stack)
            run = None
            with processes.agree():
                if processes.main:
                    give_back_freed_memory()  # what training took
                    run = read_run(work.path)
                    write_model_card(work.path, run.config, run.summary, calibration_of(run))
        processes.gather(None)  # none reads the folder before the first has published it
        return read_run(plan.folder) if run is None else replace(run, folder=plan.folder)

    def identity(self) -> dict[str, Any]:
        """What must agree for a run to be the same one."""
        return identity_of(self.plan, self.device)

    def only_first(self, act):
        """What `act` gives in the first process, in all of them."""
        done = None
        with self.processes.agree():
            if self.processes.main:
                done = act()
        return self.processes.tell(done)

    # What the two kinds of training do differently.

    @abstractmethod
    def arithmetic(self) -> AbstractContextManager[None]:
        """A context in which products are computed as this kind of training has them."""

    @abstractmethod
    def add_to_record(
        self, record: dict[str, Any], data: TrainingData, checkpoint: Mapping[str, Any] | None
    ) -> None:
        """Add to the content of `config.json` what this kind of training has beside every run's."""

    @abstractmethod
    def starting_data(
        self,
        model: AqaModel,
        data: TrainingData,
        record: dict[str, Any],
        checkpoint: Mapping[str, Any] | None,
        stack: ExitStack,
    ) -> TrainingData:
        """The data with the features that training starts from.

        Args:
            data: with cached features, on the device.
            stack: what is opened there stays open until the run is over.
        """

    @abstractmethod
    def steps(self, model: AqaModel, data: TrainingData, work: Work) -> Steps:
        """What a step does."""

    @abstractmethod
    def finish(
        self, folder: Path, steps: Steps, data: TrainingData, summary: dict[str, Any], record: dict[str, Any]
    ) -> None:
        """Add to the summary and to the folder what this kind of training leaves."""

    def bring_to_start(
        self,
        model: AqaModel,
        data: TrainingData,
        record: dict[str, Any],
        checkpoint: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """Bring the model to where training starts; returns what a checkpoint has to keep of it."""
        fit_standardiser(model, data, self.config)
        if self.config.row.closed_form:
            return {}
        return prepare_start(model, data, self.config, record, checkpoint)

    # What is the same.

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """In the block memory that ends is explained; the caller's random numbers stay as they were."""
        devices = [self.device] if self.device.type == "cuda" else []
        if devices:
            torch.cuda.reset_peak_memory_stats(self.device)
        with (
            out_of_memory_explained(self.device, self.less_memory),
            torch.random.fork_rng(devices=devices),
            self.arithmetic(),
        ):
            yield

    def _train(self, work: Work, identity: dict[str, Any], checkpoint: Checkpoint, stack: ExitStack) -> None:
        """Read, choose, refit, evaluate, and write all files."""
        clock, config, processes, listener = Clock(), self.config, self.processes, self.listener
        with processes.agree():
            data, record = self._read(identity, checkpoint.content)
            data = data.to(self.device)
        if config.refit:
            clock.lap("preparing")
            model, steps, choice = self._choose_and_refit(data, record, identity, work, checkpoint)
            data = data.joined()
        else:
            model, steps, choice, data = self._choose(data, record, identity, work, checkpoint, stack, clock)
        clock.lap("training")
        listener.on_stage("evaluating")
        if steps:
            data = steps.evaluated(data, tuple(data.splits))
        with processes.agree():
            if processes.main:
                self._write(work.path, model, steps, data, record, choice, clock)

    def _read(
        self, identity: dict[str, Any], checkpoint: Mapping[str, Any] | None
    ) -> tuple[TrainingData, dict[str, Any]]:
        """The data and the content of `config.json`, and say what is to be known of them."""
        data = read_training_data(self.cache, self.config, self.plan.division)
        record = describe(self.plan, self.cache, data, self.device) | {"identity": identity}
        self.add_to_record(record, data, checkpoint)
        for line in [*record["notes"], *self._warnings(data)]:
            _log.warning(line)
        return data, record

    def _choose(
        self,
        data: TrainingData,
        record: dict[str, Any],
        identity: dict[str, Any],
        work: Work,
        checkpoint: Checkpoint,
        stack: ExitStack,
        clock: Clock | None = None,
    ) -> tuple[AqaModel, Steps | None, Choice, TrainingData]:
        """Train until the validation samples have chosen; the model is left at what they chose."""
        with self.processes.agree():
            model = self._new_model(data, record)
        data = self.starting_data(model, data, record, checkpoint.content, stack)
        with self.processes.agree():
            kept = {"identity": identity, **self.bring_to_start(model, data, record, checkpoint.content)}
        if not self.config.refit:  # else of the model that is reported
            self._warn_of_head(kept)
        if clock is not None:
            clock.lap("preparing")
        if self.config.row.closed_form:
            record["notes"].append(fit_closed_form(model, data, self.config).note)
            return model, None, Choice(validated=len(data.val)), data
        steps = self.steps(model, data, work)
        if self.trained_parts is not None and not self.config.refit:
            kept["part_identities"] = self._take_over(steps, record, checkpoint.content)
        fitting = Fitting(steps, data, self.config, work, kept)
        if checkpoint.content is not None:
            with damage_said():
                fitting.restore(checkpoint.content)
        checkpoint.release()
        epochs = fitting.fit(self.listener)
        parts = chosen_parts(steps.parts, epochs, data, self.config)
        return model, steps, Choice(epochs, parts, len(data.val)), data

    def _choose_and_refit(
        self,
        data: TrainingData,
        record: dict[str, Any],
        identity: dict[str, Any],
        work: Work,
        checkpoint: Checkpoint,
    ) -> tuple[AqaModel, Steps | None, Choice]:
        """Choose on models that see no more than they must, then train the one that is reported on all
        samples.
        """
        config, everyone = self.config, data.joined()
        if config.row.closed_form:
            return self._fit_closed_form(everyone, record)
        content = checkpoint.content
        if content is not None and "choice" in content:
            with damage_said():
                choice = Choice.of_state(content["choice"])
        else:
            choice = self._choice_of(data, record, identity, work, checkpoint)
            content = None
        model = self._new_model(everyone, record)
        started = self.bring_to_start(model, everyone, record, content)
        kept = {"identity": identity, "choice": choice.state(), **started}
        self._warn_of_head(started)
        steps = self.steps(model, everyone, work)
        until = {part.name: part.steps for part in choice.parts}
        fitting = Fitting(steps, everyone.untested(), config, work, kept, until)
        if content is not None:
            with damage_said():
                fitting.restore(content)
        checkpoint.release()
        line = refit_note(choice, everyone, config)
        _log.info(line)
        record["notes"].append(line)
        self.listener.on_stage("training on all samples")
        refitted = fitting.fit(self.listener)
        return model, steps, replace(choice, refit=refit_record(choice, everyone, config, refitted))

    def _choice_of(
        self,
        data: TrainingData,
        record: dict[str, Any],
        identity: dict[str, Any],
        work: Work,
        checkpoint: Checkpoint,
    ) -> Choice:
        """What validation chooses, without its models."""
        config = self.config
        if config.validation_folds:

            def begin(without: TrainingData, restored: bool) -> Steps:
                own = self._record_of(without, record)
                model = self._new_model(without, own)
                self.bring_to_start(model, without, own, dict.fromkeys(STARTED) if restored else None)
                return self.steps(model, without, work)

            kept = {"identity": identity, "epochs": [], "folds": config.validation_folds}
            checkpoint.release()
            return Folds(data, begin, config, work, kept).choose(self.listener)
        with ExitStack() as stack:
            own = self._record_of(data, record)
            model, _, choice, _ = self._choose(data.untested(), own, identity, work, checkpoint, stack)
            predictions = predict(model, data.val.clips, factor=data.val.factor, samples=data.val.samples)
        return replace(choice, held_out=held_out_of(choice, predictions, data))

    def _fit_closed_form(self, data: TrainingData, record: dict[str, Any]) -> tuple[AqaModel, None, Choice]:
        """Fit the reference to all samples, and once without each fold, at the penalty that was chosen."""
        model = self._new_model(data, record)
        self.bring_to_start(model, data, record, None)
        reference = fit_closed_form(model, data, self.config)
        record["notes"].append(reference.note)
        rows = []
        for number, fold in enumerate(data.folds or (), 1):
            without = data.holding_out(fold)
            other = self._new_model(without, record)
            self.bring_to_start(other, without, record, None)
            fit_closed_form(other, without, self.config, reference.chosen)
            predictions = predict(
                other, without.val.clips, factor=without.val.factor, samples=without.val.samples
            )
            rows += held_out_rows(without, scored(predictions, without.val)[0], number, True)
        return model, None, Choice(validated=len(rows), held_out=rows, penalty=reference.chosen)

    def _warn_of_head(self, started: Mapping[str, Any]) -> None:
        for line in started.get("score_head") or ():
            _log.warning(line)

    def _new_model(self, data: TrainingData, record: dict[str, Any]) -> AqaModel:
        torch.manual_seed(self.config.seed)
        return make_model(self.config, record, data).to(self.device)

    def _record_of(self, data: TrainingData, record: dict[str, Any]) -> dict[str, Any]:
        """The record as it is for a model that only chooses, on its own samples."""
        scale, centre = score_range(self.config, data) or (1.0, 0.0)
        return {**record, "notes": [], "score_scale": scale, "score_centre": centre}

    def _take_over(
        self, steps: Steps, record: dict[str, Any], checkpoint: Mapping[str, Any] | None
    ) -> dict[str, str]:
        """Have parts that a run of this call has trained follow it, and say so; what each part is."""
        if checkpoint is None:
            identities = part_identities(steps, self.plan, record)
        else:  # the model is no longer where training starts
            identities = checkpoint.get("part_identities") or {}
        taken: dict[str, list[str]] = {}
        for part in steps.parts:
            if (run := self.trained_parts.runs.get(identities.get(part.name))) is not None:
                part.take_over(TakenPart.of(run, part.name))
                taken.setdefault(run.folder.name, []).append(part.name)
        for source, names in taken.items():
            its, are = ("is that", "is") if len(names) == 1 else ("are those", "are")
            _log.info(
                f"{self.plan.name}: its {' and '.join(names)} {its} of {source} to the bit, and {are} taken"
                " over from there"
            )
        record["parts"], record["call"] = identities, self.trained_parts.call
        return identities

    def _write(
        self,
        folder: Path,
        model: AqaModel,
        steps: Steps | None,
        data: TrainingData,
        record: dict[str, Any],
        choice: Choice,
        clock: Clock,
    ) -> None:
        config, audited = self.config, self.plan.audit
        predictions = predict_splits(model, data, config.beam)
        caption_loss = caption_loss_per_token(model, data.test)
        summary = summarise(data, predictions, choice, audited, caption_loss, config.meteor)
        clock.lap("evaluating")
        summary |= {
            "parameters": model.parameter_count,
            "seconds": clock.record(),
            "peak_memory_bytes": peak_memory(self.device),
        }
        parts = steps.parts if steps else []
        if taken := {part.name: part.taken.run for part in parts if part.taken is not None}:
            summary["taken_over"] = taken
        if steps is not None:
            self.finish(folder, steps, data, summary, record)
        learned = predictions["train"]
        write_training_samples(
            folder, data.train.samples, self.plan.frames, learned.encoded, self.plan.stamps
        )
        tables = result_tables(data, predictions)
        held_out = choice.held_out if config.refit else held_out_of(choice, predictions["val"], data)
        if held_out:
            tables["out_of_fold.csv"] = held_out_table(held_out)
        write_run(folder, record, choice.epochs, tables, summary, data.vocabulary, model)

    def _warnings(self, data: TrainingData) -> list[str]:
        lines, audited = [], self.plan.audit
        if audited.leaks:
            tested = any(leak.split == "test" for leak in audited.leaks)
            what = (
                "every number is marked"
                if tested
                else "what is chosen on the held-out samples is chosen too easily"
            )
            lines.append(f"{audited.leak_line}: {what}")
        if audited.tuned_validation:
            lines.append(audited.tuned_validation_line)
        if data.vocabulary is not None and len(data.test):
            said = why_no_caption_metrics() or (cost_of_meteor() if self.config.meteor else None)
            lines += [said] if said else []
        return lines


def predict_splits(model: AqaModel, data: TrainingData, beam: int) -> dict[str, Predictions]:
    """Of every split; captions of the test samples, the encoder's outputs of the training samples only."""
    return {
        name: predict(
            model,
            split.clips,
            data.vocabulary if name == "test" else None,
            factor=split.factor,
            beam=beam,
            samples=split.samples,
            encode=name == "train",
        )
        for name, split in data.splits.items()
    }
