"""One training run from its plan to its folder, on cached features and end to end."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import torch

from aqa_cache.cache_file.reader import FeatureCache

from ..captions.caption_metrics import why_no_caption_metrics
from ..data.training_data import TrainingData, read_training_data
from ..evaluation.predictions import Predictions, caption_loss_per_token, predict
from ..networks.model import AqaModel
from ..runs.folder import Work, hidden_folder, new_run_folder
from ..runs.format import Epoch, Run, read_run, write_run
from .computing import Clock, out_of_memory_explained, peak_memory
from .description import describe
from .finished_parts import FinishedParts, part_identities
from .fitting import Fitting
from .listener import Listener
from .part import Part
from .plan import Plan
from .processes import Processes
from .result_tables import result_tables
from .resuming import Checkpoint, finished_run, identity_of, last_checkpoint
from .starting_point import fit_closed_form, fit_standardiser, make_model, prepare_start
from .steps import Steps
from .summary import summarise
from .taken_part import TakenPart


class Job(ABC):
    """A run; `CachedJob` and `EndToEndJob` say what differs on cached features and end to end.

    Args:
        plan: of the run.
        cache: the one it was planned on.
        processes: that train together; the first writes and speaks.
        finished: parts that runs of the same call have trained; None: this run is alone.
    """

    less_memory = "a smaller --batch-size or --encoder-hidden"

    def __init__(
        self,
        plan: Plan,
        cache: FeatureCache,
        processes: Processes,
        listener: Listener,
        finished: FinishedParts | None = None,
    ):
        self.plan, self.cache, self.processes, self.listener = plan, cache, processes, listener
        self.config, self.device, self.finished = plan.config, processes.device, finished

    def run(self) -> Run:
        """Train, evaluate, and write the folder, or find it finished."""
        plan, config, processes = self.plan, self.config, self.processes
        identity = self.identity()
        if self.only_first(lambda: config.resume and finished_run(plan.folder, identity) is not None):
            self.listener.say(f"{plan.folder} is finished already")
            return read_run(plan.folder)
        with ExitStack() as stack:
            work = Work(hidden_folder(plan.folder), float("inf"))
            with processes.agree():
                if processes.main:
                    work = stack.enter_context(
                        new_run_folder(
                            plan.folder,
                            config.overwrite,
                            config.resume,
                            config.checkpoint_seconds,
                            self.listener.say,
                        )
                    )
            known = self.finished.runs if self.finished is not None else {}
            with processes.agree():
                checkpoint = Checkpoint(
                    last_checkpoint(work, plan.folder, identity, known, self.listener.say)
                )
            stack.enter_context(self._computing())
            self._train(work, identity, checkpoint, stack)
        processes.gather(None)  # none reads the folder before the first has published it
        return read_run(plan.folder)

    def identity(self) -> dict:
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
    def add_to_record(self, record: dict, data: TrainingData, checkpoint: Mapping | None) -> None:
        """Add to the content of `config.json` what this kind of training has beside every run's."""

    @abstractmethod
    def starting_data(
        self, model: AqaModel, data: TrainingData, record: dict, checkpoint: Mapping | None, stack: ExitStack
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
    def finish(self, folder: Path, steps: Steps, data: TrainingData, summary: dict, record: dict) -> None:
        """Add to the summary and to the folder what this kind of training leaves."""

    def bring_to_start(
        self, model: AqaModel, data: TrainingData, record: dict, checkpoint: Mapping | None
    ) -> dict:
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

    def _train(self, work: Work, identity: dict, checkpoint: Checkpoint, stack: ExitStack) -> None:
        """Train, evaluate, and write all files."""
        clock, config, processes, listener = Clock(), self.config, self.processes, self.listener
        with processes.agree():
            data = read_training_data(self.cache, config, self.plan.division)
            record = describe(self.plan, self.cache, data, self.device) | {"identity": identity}
            self.add_to_record(record, data, checkpoint.content)
            for line in [*record["notes"], *self._warnings(data)]:
                listener.say(line)
            torch.manual_seed(config.seed)
            model = make_model(config, record, data).to(self.device)
            data = data.to(self.device)
        data = self.starting_data(model, data, record, checkpoint.content, stack)
        with processes.agree():
            kept = {"identity": identity, **self.bring_to_start(model, data, record, checkpoint.content)}
        clock.lap("preparing")
        steps, epochs = None, []
        if config.row.closed_form:
            record["notes"].append(fit_closed_form(model, data, config))
        else:
            steps = self.steps(model, data, work)
            epochs = self._fit(steps, data, record, work, kept, checkpoint)
        parts = steps.parts if steps else []
        clock.lap("training")
        listener.on_stage("evaluating")
        if steps:
            data = steps.evaluated(data, tuple(data.splits))
        with processes.agree():
            if processes.main:
                self._write(work.path, model, steps, data, record, epochs, parts, clock)

    def _fit(
        self,
        steps: Steps,
        data: TrainingData,
        record: dict,
        work: Work,
        kept: dict,
        checkpoint: Checkpoint,
    ) -> list[Epoch]:
        if self.finished is not None:
            kept["part_identities"] = self._take_over(steps, record, checkpoint.content)
        fitting = Fitting(steps, data, self.config, work, kept)
        if checkpoint.content is not None:
            fitting.restore(checkpoint.content)
        checkpoint.release()
        return fitting.fit(self.listener)

    def _take_over(self, steps: Steps, record: dict, checkpoint: Mapping | None) -> dict[str, str]:
        """Have parts that a run of this call has trained follow it, and say so; what each part is."""
        if checkpoint is None:
            identities = part_identities(steps, self.plan, record)
        else:  # the model is no longer where training starts
            identities = checkpoint.get("part_identities") or {}
        taken: dict[str, list[str]] = {}
        for part in steps.parts:
            if (run := self.finished.runs.get(identities.get(part.name))) is not None:
                part.take_over(TakenPart.of(run, part.name))
                taken.setdefault(run.folder.name, []).append(part.name)
        for source, names in taken.items():
            its, are = ("is that", "is") if len(names) == 1 else ("are those", "are")
            self.listener.say(
                f"{self.plan.name}: its {' and '.join(names)} {its} of {source} to the bit, and {are} taken"
                " over from there"
            )
        record["parts"], record["call"] = identities, self.finished.call
        return identities

    def _write(
        self,
        folder: Path,
        model: AqaModel,
        steps: Steps | None,
        data: TrainingData,
        record: dict,
        epochs: Sequence[Epoch],
        parts: Sequence[Part],
        clock: Clock,
    ) -> None:
        config, audited = self.config, self.plan.audit
        predictions = predict_splits(model, data, config.beam)
        caption_loss = caption_loss_per_token(model, data.test)
        summary = summarise(data, predictions, epochs, parts, audited, caption_loss, config.meteor)
        clock.lap("evaluating")
        summary |= {
            "parameters": model.parameter_count,
            "seconds": clock.record(),
            "peak_memory_bytes": peak_memory(self.device),
        }
        if taken := {part.name: part.taken.run for part in parts if part.taken is not None}:
            summary["taken_over"] = taken
        if steps is not None:
            self.finish(folder, steps, data, summary, record)
        tables = result_tables(data, predictions)
        write_run(folder, record, epochs, tables, summary, data.vocabulary, model)

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
        if data.vocabulary is not None and len(data.test) and (why := why_no_caption_metrics()):
            lines.append(why)
        return lines


def predict_splits(model: AqaModel, data: TrainingData, beam: int) -> dict[str, Predictions]:
    """Of every split; captions of the test samples only."""
    return {
        name: predict(
            model,
            split.clips,
            data.vocabulary if name == "test" else None,
            factor=split.factor,
            beam=beam,
            samples=split.samples,
        )
        for name, split in data.splits.items()
    }
