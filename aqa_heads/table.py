"""Table 1, or any set of runs: rows, seeds and folds planned together, then trained one after the other."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import TrainingError
from .settings.choices import OFFICIAL_FOLDS, SWEPT
from .settings.experiments import EXPERIMENTS, REFERENCES, ROWS
from .settings.resolved import NETWORK_ONLY, row_of
from .settings.training import TrainingConfig

if TYPE_CHECKING:
    from .ray_runs import RayRuns
    from .runs.format import Run
    from .training.listener import Listener
    from .training.plan import Plan, Planner

_log = logging.getLogger(__name__)

# Where the annotations say of no sample whether it trains or is tested.
FOLDS = 5
# Of the references those that train on any features.
GROUPS = {
    "all": tuple(EXPERIMENTS),
    "references": tuple(name for name, row in REFERENCES.items() if not row.exact),
}


def train_table(
    features: str | Path | Sequence[str | Path],
    experiments: str | int | Sequence[str | int] = "all",
    *,
    seeds: int = 1,
    seed: int = 0,
    shown: "Shown | None" = None,
    ray: "RayRuns | None" = None,
    **settings: Any,
) -> "list[Run]":
    """Train rows of Table 1 with every seed and on every fold; what `aqa-train` does.

    All runs are planned before the first is trained, so that a mistake in one of them is said at once. On
    cached features, a part that two runs would train to the same bits is trained once.

    Args:
        features: the feature cache, or several, each a path or a URL.
        experiments: rows, references, `default`, `all` or `references`; a list, or a text with commas.
        seeds: runs of each, with `seed`, `seed` + 1, …
        settings: of `TrainingConfig`, for all of them. `folds` makes a run per fold. What a reference has
            not, such as `rnn`, is left out for it, if other rows are trained too. Those in `SWEPT` may have a
            list of values: every combination of them is a run.
        shown: who is told of each run; None: nobody.
        ray: where the runs are trained; None: here, one after the other.

    Returns:
        The runs, in the order of the rows, then of seeds, then of folds.

    Raises:
        AqaError: before anything is trained, if a run folder is in the way or a cache cannot be used.

    Example::

        from aqa_heads import train_table

        for run in train_table("feats.h5", "all,ridge", seeds=3, folds=5):
            print(run.folder, run.summary["spearman"])
    """
    configs = table_configs(features, experiments, seeds=seeds, seed=seed, **settings)
    with Table(configs) as table:
        return table.train(shown, ray)


def table_configs(
    features: str | Path | Sequence[str | Path],
    experiments: str | int | Sequence[str | int] = "all",
    *,
    seeds: int = 1,
    seed: int = 0,
    **settings: Any,
) -> list[TrainingConfig]:
    """The configs of the rows, values and seeds that `train_table` trains; with `folds`, each stands for all
    folds.

    Raises:
        TrainingError: an unknown name, or a value out of its range.
    """
    if seeds < 1:
        raise TrainingError(f"seeds is {seeds}, expected a whole number from 1 on")
    names = _names(experiments)
    return [
        TrainingConfig(features, name, seed=seed + number, **chosen)
        for name in names
        for chosen in _swept(name, _applicable(name, settings, len(names) == 1))
        for number in range(seeds)
    ]


def not_applicable(
    experiments: str | int | Sequence[str | int], settings: dict[str, Any]
) -> dict[str, list[str]]:
    """By reference, the settings that are given for the rows beside it and that it has not."""
    names = _names(experiments)
    return {
        name: given
        for name in names
        if len(names) > 1
        and name in REFERENCES
        and (given := [setting for setting in NETWORK_ONLY if settings.get(setting) is not None])
    }


def _swept(name: str, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The settings with one of their values each, in every combination."""
    lists = {key: list(value) for key, value in settings.items() if _is_list(value) and key in SWEPT}
    for key, values in lists.items():
        if not values or len(set(values)) < len(values):
            raise TrainingError(
                f"{key}: expected different values, got {', '.join(map(str, values)) or 'none'}"
            )
    fixed = {key: value for key, value in settings.items() if key not in lists}
    if row_of(name).closed_form:  # it has no steps: one run stands for all of them
        lists = {}
    varied = tuple(key for key, values in lists.items() if len(values) > 1)
    for values in product(*lists.values()):
        yield {**fixed, **dict(zip(lists, values, strict=True)), "varied": varied}


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _applicable(name: str, settings: dict[str, Any], alone: bool) -> dict[str, Any]:
    if alone or name not in REFERENCES:
        return settings
    return {setting: value for setting, value in settings.items() if setting not in NETWORK_ONLY}


def _names(experiments: str | int | Sequence[str | int]) -> list[str]:
    listed = str(experiments).split(",") if isinstance(experiments, str | int) else map(str, experiments)
    names = [part.strip() for part in listed if part.strip()]
    known = (*ROWS, *GROUPS)
    for name in names:
        if name not in known:
            raise TrainingError(
                f"--exp: {name!r} is not known; give any of {', '.join(known)}, separated by commas"
            )
    if not names:
        raise TrainingError(f"--exp: is empty; give any of {', '.join(known)}, separated by commas")
    return list(dict.fromkeys(row for name in names for row in GROUPS.get(name, (name,))))


@dataclass(frozen=True)
class Planned:
    """A run of a table, as it is told of.

    Args:
        plan: of the run.
        number: of the run in the table, from 1; count: how many there are.
        finished: it was before, so that nothing is trained.
    """

    plan: "Plan"
    number: int
    count: int
    finished: bool = False

    @property
    def title(self) -> str:
        return self.plan.title if self.count == 1 else f"[{self.number}/{self.count}] {self.plan.title}"


Shown = Callable[[Planned], "AbstractContextManager[Listener]"]


class Table:
    """Runs that were planned together. A context manager, in which the caches are open.

    Args:
        configs: of the runs; one with folds, but without a fold, stands for all of them.

    Attributes:
        plans (list): of all runs, in the order in which they are trained.
        notes (list): what a person should know of how they were planned, one line each.

    Raises:
        AqaError: on entering, if a run folder is in the way, or a cache or a device cannot be used.
    """

    def __init__(self, configs: Iterable[TrainingConfig]):
        self._configs = list(configs)
        self._planners: dict[str, Planner] = {}
        self.plans: list[Plan] = []
        self.notes: list[str] = []

    def __enter__(self) -> "Table":
        with ExitStack() as stack:
            self._check_warm_starts()
            for config in self._configs:
                self.plans += [self._plan(folded, stack) for folded in self._folded(config, stack)]
            self._check_folders()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def train(self, shown: "Shown | None" = None, ray: "RayRuns | None" = None) -> "list[Run]":
        """Train all runs, one after the other, or by Ray.

        Args:
            shown: is given each run when it begins, and gives who listens to it while it is trained.
        """
        if ray is not None:
            return self._train_on(ray, shown)
        from .training.listener import Listener
        from .training.run import train_planned
        from .training.trained_parts import TrainedParts

        listening: Shown = shown or (lambda planned: nullcontext(Listener()))
        trained_parts = TrainedParts(self.plans) if len(self.plans) > 1 else None
        runs: list[Run] = []
        for number, plan in enumerate(self.plans, 1):
            cache = self._planners[str(plan.config.features)].cache
            finished_before = plan.config.resume and (plan.folder / "summary.json").is_file()
            with listening(Planned(plan, number, len(self.plans), finished_before)) as listener:
                if plan.config.fine_tuning is None:
                    runs.append(train_planned(plan, cache, listener, trained_parts))
                else:
                    from .end_to_end.run import fine_tune_planned

                    runs.append(fine_tune_planned(plan, cache, listener))
                if trained_parts is not None:
                    trained_parts.add(runs[-1])
        return runs

    def _train_on(self, ray: "RayRuns", shown: "Shown | None") -> "list[Run]":
        """Train on Ray; `shown` is given each run when it is done, and its epochs then."""
        from .training.listener import Listener
        from .training.run import finished_before

        if any(plan.config.fine_tuning is not None for plan in self.plans):
            raise TrainingError("--ray trains on cached features; leave it out with --end-to-end")
        listening: Shown = shown or (lambda planned: nullcontext(Listener()))
        runs: dict[int, Run] = {}
        left: dict[int, Plan] = {}
        for number, plan in enumerate(self.plans, 1):
            if (run := finished_before(plan)) is not None:
                runs[number] = run
                _log.info(f"{plan.folder} is finished already")
            else:
                left[number] = plan
        for number, run in ray.train(left) if left else ():
            runs[number] = run
            planned = Planned(left[number], number, len(self.plans))
            _log.info(f"{planned.title} is done, {len(runs)} of {len(self.plans)}")
            with listening(planned) as listener:
                for epoch in run.epochs:
                    listener.on_epoch(epoch)
        return [runs[number] for number in sorted(runs)]

    def _planner(self, config: TrainingConfig, stack: ExitStack) -> "Planner":
        from aqa_cache.cache_file.joined import open_caches

        from .training.plan import Planner

        path = str(config.features)
        if path not in self._planners:
            self._planners[path] = Planner(stack.enter_context(open_caches(config.features)))
        return self._planners[path]

    def _folded(self, config: TrainingConfig, stack: ExitStack) -> list[TrainingConfig]:
        config = self._divided(config, stack)
        if config.folds is None or config.fold is not None:
            return [config]
        names = self._planner(config, stack).fold_names(config.resolve().folds)
        return [replace(config, fold=name) for name in names]

    def _divided(self, config: TrainingConfig, stack: ExitStack) -> TrainingConfig:
        """With folds where neither the config nor the annotations say who is tested."""
        cache = self._planner(config, stack).cache
        having = [sample for index, sample in enumerate(cache.samples) if cache.has_features(index)]
        if config.folds is not None or len(having) < 2 or any(sample.split for sample in having):
            return config
        official = len({sample.fold for sample in having} - {None}) > 1
        folds = OFFICIAL_FOLDS if official else min(FOLDS, len(having))
        line = (
            f"{cache.path}: no sample has a split, so each is tested in one of"
            f" {'the folds of the column fold' if official else f'{folds} folds'}, as with --folds {folds}"
        )
        if line not in self.notes:
            self.notes.append(line)
        return replace(config, folds=folds)

    def _plan(self, config: TrainingConfig, stack: ExitStack) -> "Plan":
        from aqa_cache.machine.devices import pick_device

        from .runs.folder import check_run_folder

        planner = self._planner(config, stack)
        if config.fine_tuning is None:
            plan = planner.plan(config)
        else:
            from .end_to_end.run import plan_fine_tuning

            plan = plan_fine_tuning(planner, config)
        pick_device(config.device)
        check_run_folder(plan.folder, config.overwrite, config.resume)
        return plan

    def _check_folders(self) -> None:
        """No two runs may be written to one folder: the second would replace the first."""
        first: dict[Path, Plan] = {}
        for plan in self.plans:
            if (other := first.setdefault(plan.folder, plan)) is not plan:
                raise TrainingError(
                    f"{plan.folder}: two runs of this call would be written there ({_told(other, plan)});"
                    " give each an --out of its own, or rename the folds in the annotations"
                )

    def _check_warm_starts(self) -> None:
        names = list(dict.fromkeys(str(config.experiment) for config in self._configs))
        warm = [
            c for c in self._configs if c.fine_tuning is not None and c.fine_tuning.warm_start is not None
        ]
        if warm and len(names) > 1:
            raise TrainingError(
                f"--warm-start is a run of one row, but --exp asks for {len(names)} ({', '.join(names)});"
                " give each its own, one by one"
            )


def _told(one: "Plan", other: "Plan") -> str:
    """What tells two runs apart."""
    if one.config.fold != other.config.fold:
        return f"folds {one.config.fold!r} and {other.config.fold!r}"
    return f"{one.title} and {other.title}"
