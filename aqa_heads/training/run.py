"""Train one run: a row of Table 1, or a reference, on the features of a cache."""

from collections.abc import Callable

from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.machine.devices import pick_device

from ..errors import TrainingError
from ..runs.format import Epoch, Run
from ..settings.training import TrainingConfig
from .computing import cpu_threads
from .finished_parts import FinishedParts
from .job import Job
from .listener import Listener
from .plan import Plan, Planner
from .processes import Processes


def train(
    config: TrainingConfig,
    *,
    say: Callable[[str], None] = lambda line: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Run:
    """Train one run and write its folder.

    On one machine the same config on the same features gives the same bits, for the same number of threads.
    The caller's random numbers are left as they were.

    Args:
        say: is given each line that a person should read, before training.
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
    with FeatureCache(config.features) as cache:
        return train_planned(Planner(cache).plan(config), cache, Listener(say=say, on_epoch=on_epoch))


def train_planned(
    plan: Plan, cache: FeatureCache, listener: Listener, finished: FinishedParts | None = None
) -> Run:
    """Train a run that was planned on `cache`.

    Args:
        finished: parts that runs of the same call have trained.
    """
    with cpu_threads(plan.config.threads):
        return Job(plan, cache, Processes(pick_device(plan.config.device)), listener, finished).run()
