"""What other programs show of trainings: TensorBoard, MLflow, Weights & Biases.

They are told of settings, of every epoch, and of the results; never of features, videos or predictions.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from aqa_cache.errors import first_line, missing

from .errors import TrainingError
from .runs.format import read_run
from .runs.tables import Epoch

if TYPE_CHECKING:
    from .table import Planned, Shown
    from .training.listener import Listener

_EPOCH = [field.name for field in fields(Epoch)]
_PROJECT = "aqa"
_OF_RESULTS = ("class_accuracy", "captions")


class _Told(Protocol):
    """One run of a tracker."""

    def numbers(self, numbers: Mapping[str, float], step: int) -> None: ...

    def close(self, is_whole: bool) -> None: ...


class Trackers:
    """Who is told of runs, beside the run folders.

    Args:
        places: `tensorboard:DIR`, `mlflow:DIR` or `wandb`, which may name a project, `wandb:PROJECT`.

    Attributes:
        failures (list): one line for each tracker that failed, and was then told nothing more: a training
            does not end for it.

    Raises:
        TrainingError: none of these.
        MissingDependency: its package is not installed.

    Example::

        from aqa_heads import train_table
        from aqa_heads.tracking import Trackers

        train_table("feats.h5", "all", shown=Trackers(["tensorboard:logs"]).shown())
    """

    def __init__(self, places: Sequence[str]):
        self._begin = {place: _beginner(place) for place in places}
        self.failures: list[str] = []

    def shown(self, beside: "Shown | None" = None) -> "Shown":
        """Who is told of the runs of a table: the trackers, and whoever is told beside them."""

        @contextmanager
        def shown(planned: "Planned") -> "Iterator[Listener]":
            from .training.listener import Listener

            with ExitStack() as stack:
                listener = Listener() if beside is None else stack.enter_context(beside(planned))
                if planned.finished:
                    yield listener
                    return
                told = stack.enter_context(self._of_run(planned))
                seen: set[int] = set()

                def on_epoch(epoch: Epoch) -> None:
                    listener.on_epoch(epoch)
                    seen.add(epoch.epoch)
                    told(_of_epoch(epoch), epoch.epoch)

                yield replace(listener, on_epoch=on_epoch)
                run = read_run(planned.plan.folder)
                for epoch in run.epochs:  # of a run that was resumed, those before
                    if epoch.epoch not in seen:
                        told(_of_epoch(epoch), epoch.epoch)
                told(_of_results(run.summary), max((epoch.epoch for epoch in run.epochs), default=0))

        return shown

    @contextmanager
    def _of_run(self, planned: "Planned") -> Iterator[Callable[[Mapping[str, float], int], None]]:
        """Tell all trackers of a run; those that fail are left out."""
        plan = planned.plan
        settings = {"features": plan.fingerprint, **plan.config.deciding()}
        told: dict[str, _Told] = {}

        def safely(place: str, act: Callable[[], None]) -> None:
            try:
                act()
            except Exception as error:  # whatever somebody else's program raises
                told.pop(place, None)
                if place in self._begin:
                    del self._begin[place]
                    self.failures.append(
                        f"--log {place}: failed in {plan.name}, and was told nothing more"
                        f" ({type(error).__name__}: {first_line(error)}); the run itself is whole"
                    )

        def begin(place: str) -> None:
            told[place] = self._begin[place](plan.name, settings)

        def tell(numbers: Mapping[str, float], step: int) -> None:
            for place, one in list(told.items()):
                safely(place, lambda one=one: one.numbers(numbers, step))

        for place in list(self._begin):
            safely(place, lambda place=place: begin(place))
        is_whole = False
        try:
            yield tell
            is_whole = True
        finally:
            for place, one in list(told.items()):
                safely(place, lambda one=one: one.close(is_whole))


def _beginner(place: str) -> Callable[[str, Mapping[str, Any]], _Told]:
    """What begins a run of a tracker, given its name and settings."""
    kind, _, where = place.partition(":")
    if kind == "tensorboard" and where:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise _lacking("tensorboard", place, error) from None
        return lambda name, settings: _TensorBoard(SummaryWriter, Path(where) / name, settings)
    if kind == "mlflow" and where:
        try:
            import mlflow
        except ImportError as error:
            raise _lacking("mlflow", place, error) from None
        return lambda name, settings: _MLflow(mlflow, Path(where), name, settings)
    if kind == "wandb":
        try:
            import wandb
        except ImportError as error:
            raise _lacking("wandb", place, error) from None
        return lambda name, settings: _Wandb(wandb, where or _PROJECT, name, settings)
    raise TrainingError(f"--log is {place!r}, expected tensorboard:DIR, mlflow:DIR, wandb or wandb:PROJECT")


def _lacking(package: str, place: str, error: ImportError):
    return missing(package, f"--log {place}", error, f"'aqa-cache[{package}]'")


class _TensorBoard:
    """A folder of its own in DIR; what an earlier run of this name left there is not shown any more."""

    def __init__(self, writer: type, folder: Path, settings: Mapping[str, Any]):
        self._writer = writer(str(folder), purge_step=0)
        self._writer.add_text("settings", f"```\n{json.dumps(settings, indent=2, ensure_ascii=False)}\n```")

    def numbers(self, numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, is_whole: bool) -> None:
        self._writer.close()


class _MLflow:
    """A run of the experiment `aqa` in DIR/mlflow.db, which `mlflow ui --backend-store-uri` takes."""

    def __init__(self, mlflow, folder: Path, name: str, settings: Mapping[str, Any]):
        folder.mkdir(parents=True, exist_ok=True)
        store = f"sqlite:///{(folder / 'mlflow.db').absolute()}"
        self._client = mlflow.MlflowClient(tracking_uri=store)
        experiment = self._client.get_experiment_by_name(_PROJECT)
        number = (
            experiment.experiment_id
            if experiment
            else self._client.create_experiment(_PROJECT, (folder / "artifacts").absolute().as_uri())
        )
        self._run = self._client.create_run(number, run_name=name).info.run_id
        for key, value in settings.items():
            self._client.log_param(self._run, key, value)

    def numbers(self, numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            self._client.log_metric(self._run, name, value, step=step)

    def close(self, is_whole: bool) -> None:
        self._client.set_terminated(self._run, "FINISHED" if is_whole else "FAILED")


class _Wandb:
    """A run of a project; where to, and whether at all, the environment says (`WANDB_MODE=offline`)."""

    def __init__(self, wandb, project: str, name: str, settings: Mapping[str, Any]):
        self._run = wandb.init(project=project, name=name, config=dict(settings), reinit="create_new")

    def numbers(self, numbers: Mapping[str, float], step: int) -> None:
        self._run.log(dict(numbers), step=step)

    def close(self, is_whole: bool) -> None:
        self._run.finish(exit_code=0 if is_whole else 1)


def _of_epoch(epoch: Epoch) -> dict[str, float]:
    """The numbers of an epoch by name, such as `val/spearman`."""
    known = dict(zip(_EPOCH, astuple(epoch), strict=True))
    del known["epoch"]
    return {name.replace("_", "/", 1): value for name, value in _finite(known).items()}


def _of_results(summary: Mapping[str, Any]) -> dict[str, float]:
    """The results by name, such as `result/spearman`."""
    found = {**_finite(summary)}
    for name in _OF_RESULTS:
        if isinstance(summary.get(name), Mapping):
            found |= {f"{name}/{key}": value for key, value in _finite(summary[name]).items()}
    return {f"result/{name}": value for name, value in found.items()}


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
