"""Train one run: a row of Table 1, or a reference, on the features of a cache."""

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from aqa_cache.cache_file.joined import open_caches
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.machine.devices import pick_device
from aqa_cache.machine.threads import cpu_threads

from ..data.training_data import TrainingData
from ..errors import TrainingError
from ..networks.model import AqaModel
from ..runs.folder import Work
from ..runs.format import Run
from ..runs.tables import Epoch
from ..settings.training import TrainingConfig
from .computing import deterministic
from .job import Job
from .listener import Listener
from .plan import Plan, Planner
from .processes import Processes
from .resuming import finished_run, identity_of
from .steps import CachedSteps, Steps
from .trained_parts import TrainedParts


def train(config: TrainingConfig, *, on_epoch: Callable[[Epoch], None] = lambda epoch: None) -> Run:
    """Train one run and write its folder.

    On one machine the same config on the same features gives the same bits, for the same number of threads.
    The caller's random numbers are left as they were.

    Args:
        on_epoch: is given each epoch when it is over.

    Raises:
        AqaError: the config, the cache or the run folder cannot be used, a test sample is a training sample
            too, or the loss diverged; the folder is then not written.

    Example::

        from aqa_heads import TrainingConfig, train

        run = train(TrainingConfig("feats.h5", experiment="7", epochs=20))
        print(run.summary["spearman"], run.folder)
    """
    if config.fine_tuning is not None:
        raise TrainingError("this config asks for end-to-end training, which aqa_heads.fine_tune does")
    with open_caches(config.features) as cache:
        return train_planned(Planner(cache).plan(config), cache, Listener(on_epoch=on_epoch))


def train_planned(
    plan: Plan, cache: FeatureCache, listener: Listener, trained_parts: TrainedParts | None = None
) -> Run:
    """Train a run that was planned on `cache`.

    Args:
        trained_parts: parts that runs of the same call have trained.
    """
    with cpu_threads(plan.config.threads):
        return CachedJob(
            plan, cache, Processes(pick_device(plan.config.device)), listener, trained_parts
        ).run()


def finished_before(plan: Plan) -> Run | None:
    """The run of a plan that is to be gone on with, where it is finished; else None."""
    if not plan.config.resume:
        return None
    return finished_run(plan.folder, identity_of(plan, pick_device(plan.config.device)))


class CachedJob(Job):
    """A run on the features of a cache. A closed form has no steps."""

    @contextmanager
    def arithmetic(self) -> Generator[None]:
        with deterministic(self.device):
            yield

    def add_to_record(
        self, record: dict[str, Any], data: TrainingData, checkpoint: Mapping[str, Any] | None
    ) -> None:
        """Nothing: it has what every run has."""

    def starting_data(
        self,
        model: AqaModel,
        data: TrainingData,
        record: dict[str, Any],
        checkpoint: Mapping[str, Any] | None,
        stack: ExitStack,
    ) -> TrainingData:
        return data

    def steps(self, model: AqaModel, data: TrainingData, work: Work) -> Steps:
        return CachedSteps(model, data, self.config, work, self.processes)

    def finish(
        self, folder: Path, steps: Steps, data: TrainingData, summary: dict[str, Any], record: dict[str, Any]
    ) -> None:
        """Nothing: it leaves what every run leaves."""
