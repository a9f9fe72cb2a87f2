"""`aqa-train`: train heads on a feature cache, one run per experiment, seed and fold."""

import shlex
import signal
import sys
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

from aqa_heads.errors import TrainingError
from aqa_heads.settings.experiments import REFERENCES
from aqa_heads.settings.training import TrainingConfig

from . import torchrun
from .command import command
from .end_to_end_options import fine_tuning_of
from .errors import handle_errors
from .ray_options import RayAsked, ray_options
from .terminal import print_line, say
from .torchrun import process_count, rank, said_by_the_first
from .train_options import TrainCommand, train_options

if TYPE_CHECKING:
    from rich.console import Console

    from aqa_heads.ray_runs import RayRuns
    from aqa_heads.runs.format import Run
    from aqa_heads.table import Shown, Table
    from aqa_heads.tracking import Trackers
    from aqa_heads.training.plan import Plan


@command(
    cls=TrainCommand,
    epilog="""\b
    Example:
      aqa-train --features feats.h5
      aqa-train --features feats.h5 --exp 7
      aqa-train --features feats.h5 --exp all,ridge --seeds 3
      aqa-train --features feats.h5 --lr 1e-4,3e-4 --encoder average,attention --choose
      aqa-train --features feats.h5 --exp all --literal --protocol paper
      aqa-train --features feats.h5 --exp baseline --end-to-end --videos videos/""",
)
@train_options
@ray_options
@handle_errors
def main(experiments: str, tasks: str, seed_count: int, seed: int, choose: bool, logs: tuple, ray, **options):
    """Train score, class and caption heads on cached features; with --end-to-end the backbone too, on the
    videos.

    Each run leaves a folder with config.json, metrics.csv, predictions.csv, summary.json and
    model.safetensors. Some training groups are held out, the best epoch is chosen on them, and the test
    samples are looked at once.
    """
    from aqa_heads.table import Table, not_applicable, table_configs

    torchrun.check()
    options["tasks"] = tuple(task.strip() for task in tasks.split(",") if task.strip())
    with said_by_the_first():
        options["fine_tuning"] = fine_tuning_of(options)
        configs = table_configs(experiments=experiments, seeds=seed_count, seed=seed, **options)
        trackers = _trackers(logs)
        _check_processes(configs)
    if not rank():
        for name, given in not_applicable(experiments, options).items():
            say(f"{REFERENCES[name].title} has no {', '.join(given)}: given for the other rows")
    table, on_ray = Table(configs), _on_ray(ray)
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        if choose:
            table = Table(_choose(configs, trackers, on_ray))
        runs = train_and_print(table, trackers, on_ray)
    except KeyboardInterrupt as interrupt:
        if not rank():
            say(_stopped(table.plans, options["overwrite"], options["checkpoint_seconds"]))
        sys.exit(143 if isinstance(interrupt, _Terminated) else 130)
    finally:
        signal.signal(signal.SIGTERM, before)
    if rank():
        return
    print_line(f"Written to {options['out']}: {', '.join(run.folder.name for run in runs)}")
    if options["fine_tuning"] is not None:
        command = [
            "aqa-extract",
            "--weights",
            str(runs[0].folder),
            str(options["fine_tuning"].videos),
            "tuned.h5",
        ]
        print_line(f"Features of the trained backbone: {shlex.join(command)}")
    for failure in trackers.failures if trackers else ():
        say(failure)
    if trackers and trackers.failures:
        sys.exit(1)


def _trackers(places: tuple[str, ...]) -> "Trackers | None":
    if not places or rank():
        return None
    from aqa_heads.tracking import Trackers

    return Trackers(places)


def _on_ray(ray: "RayAsked | None") -> "RayRuns | None":
    if ray is None:
        return None
    from aqa_heads.ray_runs import RayRuns

    if process_count() > 1:
        raise TrainingError("--ray starts its own processes; leave torchrun out")
    return RayRuns(ray.address, ray.actors, ray.attempts)


def _shown(on: "Console", trackers: "Trackers | None") -> "Shown":
    from .train_progress import showing

    return trackers.shown(showing(on)) if trackers else showing(on)


def _choose(
    configs: "list[TrainingConfig]", trackers: "Trackers | None", ray: "RayRuns | None"
) -> "list[TrainingConfig]":
    """The configs of what validation likes best, with all seeds and folds; shows what it says of each."""
    from aqa_heads.candidates import chosen_configs, compare

    from .train_table import validation_table

    if process_count() > 1:
        raise TrainingError("--choose compares in one process; leave torchrun out")
    on = _console()
    contests = compare(configs, _shown(on, trackers), ray)
    for contest in contests:
        on.print(validation_table(contest))
    return chosen_configs(configs, contests)


class _Terminated(KeyboardInterrupt):
    """A scheduler's SIGTERM, which ends a run as Ctrl-C does."""


def _terminate(*_) -> None:
    raise _Terminated


def _stopped(plans: "list[Plan]", overwrite: bool, seconds: float) -> str:
    """How to go on after an interruption, and from where."""
    from aqa_heads.runs.folder import was_interrupted

    how = "Give the same command with --resume" + (" instead of --overwrite" if overwrite else "")
    stay = ", finished runs stay" if len(plans) > 1 else ""
    if names := [run.folder.name for run in plans if was_interrupted(run.folder)]:
        return f"Stopped. {how} to go on: {', '.join(names)} after the last checkpoint{stay}."
    if stay:
        return (
            f"Stopped. {how} to go on: the run that was under way begins again, as it had no checkpoint"
            f" yet{stay}."
        )
    return (
        f"Stopped before the first checkpoint (every {seconds:g} s or more): there is nothing to go on from."
    )


def _check_processes(configs: "list[TrainingConfig]") -> None:
    """Every process checks it: none is to wait for others that have ended."""
    count = process_count()
    if count > 1 and any(config.fine_tuning is None for config in configs):
        raise TrainingError(
            f"{count} processes were started, but training on cached features takes one; leave torchrun out,"
            " or give --end-to-end"
        )


def train_and_print(
    table: "Table", trackers: "Trackers | None" = None, ray: "RayRuns | None" = None
) -> "list[Run]":
    """Train the runs of a table with their progress on the console, and print their results.

    Raises:
        AqaError: before anything is trained if a run folder is in the way or a cache cannot be used.
    """
    from .train_table import results_table

    on = _console()
    with ExitStack() as stack:
        with said_by_the_first():
            stack.enter_context(table)
            for note in table.notes if not rank() else ():
                say(note)
        runs = table.train(_shown(on, trackers), ray)
    on.print(results_table(runs))
    for note in _notes(runs):
        on.print(note, soft_wrap=True)
    return runs


def _notes(runs: "list[Run]") -> list[str]:
    """What is to be said of each row, and of how many of its runs, where not of all of them."""
    of_row = Counter(run.config["label"] for run in runs)
    found = Counter(
        (run.config["label"], note) for run in runs for note in dict.fromkeys(run.summary["notes"])
    )
    return [
        f"{row}{'' if count == of_row[row] else f', {count} of {of_row[row]} runs'}: {note}"
        for (row, note), count in found.items()
    ]


def _console() -> "Console":
    from .console import console

    return console(quiet=rank() > 0, width_elsewhere=160)


if __name__ == "__main__":
    main()
