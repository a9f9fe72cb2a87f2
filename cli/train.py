"""`aqa-train`: train heads on a feature cache, one run per experiment, seed and fold."""

import shlex
import signal
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from aqa_heads.errors import TrainingError
from aqa_heads.settings.experiments import (
    ATTENTIONS,
    DEFAULT,
    ENCODERS,
    EXPERIMENTS,
    LOSSES,
    READOUTS,
    REFERENCES,
    RNNS,
    SCORE_HEADS,
    TASKS,
)
from aqa_heads.settings.panel_rule import MEAN
from aqa_heads.settings.resolved import DEFAULTS, HEAD_LR
from aqa_heads.settings.training import (
    DIFFICULTIES,
    OFFICIAL_FOLDS,
    PROTOCOLS,
    SMALL_DATA,
    SMALL_DATA_FOLDS,
    VIEWS,
    TrainingConfig,
)

from . import torchrun
from .command import command
from .end_to_end_options import EndToEndCommand, end_to_end_options, fine_tuning_of
from .errors import handle_errors
from .options import PathName, Several
from .terminal import print_line, say
from .torchrun import process_count, rank, said_by_the_first

if TYPE_CHECKING:
    from rich.console import Console

    from aqa_heads.runs.format import Run
    from aqa_heads.table import Table
    from aqa_heads.training.plan import Plan

_DEFAULT = TrainingConfig("")


def _positive(kind: type):
    return click.IntRange(1) if kind is int else click.FloatRange(0, min_open=True)


@command(
    cls=EndToEndCommand,
    epilog="""\b
    Example:
      aqa-train --features feats.h5
      aqa-train --features feats.h5 --exp 7
      aqa-train --features feats.h5 --exp all,ridge --seeds 3
      aqa-train --features feats.h5 --lr 1e-4,3e-4 --encoder average,attention --choose
      aqa-train --features feats.h5 --exp all --literal --protocol paper
      aqa-train --features feats.h5 --exp baseline --end-to-end --videos videos/""",
)
@click.option(
    "--features",
    required=True,
    type=PathName(),
    help="Feature cache, written by aqa-extract.",
)
@click.option(
    "--exp",
    "experiments",
    default=_DEFAULT.experiment,
    show_default=True,
    metavar="NAME[,NAME…]",
    help=(
        f"The model for data of your own ({DEFAULT.name}); rows of the paper's Table 1"
        f" ({', '.join(EXPERIMENTS)}), or all of them; references: {', '.join(REFERENCES)}."
    ),
)
@click.option(
    "--literal",
    is_flag=True,
    help=(
        "The row exactly as the original: its widths, projections, plain stacks, raw features, score/17, Adam"
        " 1e-4, steps of 3."
    ),
)
@click.option(
    "--encoder",
    type=Several(str),
    metavar="NAME|MODULE:ATTRIBUTE[,…]",
    help=f"From clips to one feature: {', '.join(ENCODERS)}, or one of your own.  [default: the row's]",
)
@click.option(
    "--encoder-hidden",
    type=_positive(int),
    help="Width of the encoder.  [default: by the number of samples; in rows lstm 1024, attention 256, …]",
)
@click.option(
    "--encoder-layers",
    type=_positive(int),
    help="Depth of the encoder.  [default: 2; conv 3; attention, c3d-lstm 1]",
)
@click.option(
    "--max-clips",
    type=_positive(int),
    metavar="N",
    help=(
        "Train the encoder on windows of N clips, drawn anew in every epoch; test on all.  [default: rows of"
        " Table 1 no limit, else what 95 % of the samples have, at least 64]"
    ),
)
@click.option(
    "--score-head",
    type=Several(str),
    metavar="NAME|MODULE:ATTRIBUTE[,…]",
    help=f"How the score is learned: {', '.join(SCORE_HEADS)}, or a head of your own.  [default: regression]",
)
@click.option(
    "--readout",
    type=click.Choice(READOUTS),
    help="Of distribution and judges: the expected score, or the most likely one.  [default: expectation]",
)
@click.option(
    "--panel-rule",
    metavar=f"{MEAN}|middle-N",
    help="Of judges: which marks make the score.  [default: the sum of the middle three of 3, 5 or 7]",
)
@click.option(
    "--pair-by",
    metavar="difficulty|CLASS|none",
    help="Of core: what compared samples share.  [default: none; with --difficulty multiply: difficulty]",
)
@click.option(
    "--loss",
    metavar="NAME|MODULE:ATTRIBUTE",
    help=(
        f"Added to the score head's own: of the order, {' or '.join(LOSSES)}; or a function of predicted and"
        " true scores, both scaled."
    ),
)
@click.option("--loss-weight", type=_positive(float), help="Of --loss.  [default: 1]")
@click.option(
    "--pretrain-epochs",
    type=click.IntRange(0),
    default=_DEFAULT.pretrain_epochs,
    show_default=True,
    help="Of an lstm or gru encoder as an autoencoder of the clip features, before training.",
)
@click.option("--rnn", type=click.Choice(RNNS), help="Cell of the captioner.  [default: the row's]")
@click.option("--layers", type=_positive(int), help="Stacked cells of the captioner.  [default: the row's]")
@click.option(
    "--attention",
    type=click.Choice(ATTENTIONS),
    help=(
        "linear is the paper's projection; additive and dot weigh the clips at every word.  [default: the"
        " row's]"
    ),
)
@click.option(
    "--residual/--no-residual",
    default=None,
    help="Connections around the captioner's cells.  [default: where there are more than two]",
)
@click.option("--tasks", default=",".join(TASKS), show_default=True, help="Any of them, separated by commas.")
@click.option(
    "--difficulty",
    type=click.Choice(DIFFICULTIES),
    default=_DEFAULT.difficulty,
    show_default=True,
    help=(
        "ignore: predict the final score. multiply: predict the execution, multiply by the known difficulty."
    ),
)
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    default=_DEFAULT.protocol,
    show_default=True,
    help=(
        "honest: best epoch by held-out training groups, test once. paper: test every epoch, report the last."
    ),
)
@click.option(
    "--validation",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=_DEFAULT.validation,
    show_default=True,
    help="Share of the training samples held out.",
)
@click.option(
    "--validate-on",
    metavar="auto|new-groups|known-groups[:NAME]",
    help=(
        "Whom validation asks about: whole groups, or single samples of groups that train; auto: as the test"
        " does. NAME: groups of column group_NAME.  [default: auto; Table 1: whole groups]"
    ),
)
@click.option(
    "--refit/--no-refit",
    default=None,
    help=(
        "Train once more on training and validation samples, for the steps that were chosen.  [default: yes;"
        " Table 1, end to end: no]"
    ),
)
@click.option(
    "--validation-folds",
    type=click.IntRange(0),
    help=(
        "Choose the epoch by models that each leave out one of so many parts; 0: one part is held out."
        f"  [default: {SMALL_DATA_FOLDS} below {SMALL_DATA} samples; Table 1: 0]"
    ),
)
@click.option(
    "--folds",
    metavar=f"K|{OFFICIAL_FOLDS}",
    help="Cross-validation: K folds of whole groups, or the annotations' column fold; each is a run.",
)
@click.option(
    "--seeds",
    "seed_count",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Runs per experiment, with seeds SEED, SEED+1, …",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=_DEFAULT.seed,
    show_default=True,
    help="Of weights, dropout, order and held-out groups.",
)
@click.option(
    "--epochs",
    type=Several(_positive(int)),
    default=_DEFAULT.epochs,
    show_default=True,
    help="Epochs at most.",
)
@click.option(
    "--patience",
    type=_positive(int),
    default=_DEFAULT.patience,
    show_default=True,
    help="Epochs without improvement on the held-out samples before training ends.",
)
@click.option(
    "--batch-size", type=Several(_positive(int)), help="Samples per step.  [default: 16; literal: 3]"
)
@click.option(
    "--lr",
    type=Several(_positive(float)),
    help=f"Learning rate.  [default: {DEFAULTS['lr']:g}; score heads but regression: {HEAD_LR:g}]",
)
@click.option(
    "--caption-lr",
    type=_positive(float),
    help=f"Learning rate of the captioner.  [default: {DEFAULTS['caption_lr']:g}; literal: 1e-4]",
)
@click.option(
    "--weight-decay",
    type=Several(click.FloatRange(0)),
    help=f"Of AdamW.  [default: {DEFAULTS['weight_decay']:g}; literal: 0]",
)
@click.option(
    "--dropout",
    type=Several(click.FloatRange(0, 1, max_open=True)),
    help=f"Before and after fc6.  [default: {DEFAULTS['dropout']:g}; literal: 0]",
)
@click.option(
    "--ridge-start/--no-ridge-start",
    default=None,
    help="A linear path to the score beside fc6, started from ridge regression.  [default: yes; literal: no]",
)
@click.option(
    "--score-scale",
    type=_positive(float),
    help="Points per unit of the score head.  [default: std of training; literal: 17]",
)
@click.option(
    "--score-range",
    type=Several(float),
    metavar="LOW,HIGH",
    help="Lowest and highest score there can be; clips intervals.  [default: columns score_min, score_max]",
)
@click.option(
    "--centre/--no-centre",
    default=None,
    help="Learn the score above the training mean.  [default: yes; literal: no]",
)
@click.option(
    "--standardise/--no-standardise",
    default=None,
    help="Scale features by training statistics.  [default: yes; literal: no]",
)
@click.option(
    "--views",
    type=click.Choice(VIEWS),
    default=_DEFAULT.views,
    show_default=True,
    help=(
        "Of each training sample, where the cache holds several: draw one anew in every epoch, or keep to the"
        " plain one."
    ),
)
@click.option(
    "--vocabulary",
    type=PathName(),
    help="MTL-AQA's vocab.json, as in the paper.  [default: the words of the training captions]",
)
@click.option(
    "--beam",
    type=_positive(int),
    default=_DEFAULT.beam,
    show_default=True,
    help="Captions kept at every word; 1 is greedy.",
)
@click.option(
    "--meteor/--no-meteor",
    default=True,
    show_default=True,
    help="Of captions, where Java is installed; 10 s a run.",
)
@click.option(
    "--allow-leak", is_flag=True, help="Train although test samples are training samples; marks every number."
)
@click.option("--device", default=_DEFAULT.device, show_default=True, help="auto, cpu, cuda, cuda:1, …")
@click.option(
    "--threads",
    type=_positive(int),
    help="Of the CPU; 1 is fastest where other programs run.  [default: all cores]",
)
@click.option(
    "--out",
    type=PathName(),
    default=_DEFAULT.out,
    show_default=True,
    help="Folder of run folders.",
)
@click.option("--name", metavar="TEXT", help="Of the run, in place of its row's and what differs from it.")
@click.option(
    "--choose",
    is_flag=True,
    help="Of all configurations asked for, test the one alone that validation likes best.",
)
@click.option("--overwrite", is_flag=True, help="Replace runs of the same name.")
@click.option(
    "--resume", is_flag=True, help="Go on with interrupted runs of the same name; finished ones stay."
)
@click.option(
    "--checkpoint-seconds",
    type=click.FloatRange(0),
    default=_DEFAULT.checkpoint_seconds,
    show_default=True,
    help="Between checkpoints, at least.",
)
@end_to_end_options
@handle_errors
def main(experiments: str, tasks: str, seed_count: int, seed: int, choose: bool, **options):
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
        _check_processes(configs)
    if not rank():
        for name, given in not_applicable(experiments, options).items():
            say(f"{REFERENCES[name].title} has no {', '.join(given)}: given for the other rows")
    table = Table(configs)
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        if choose:
            table = Table(_choose(configs))
        runs = train_and_print(table)
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


def _choose(configs: "list[TrainingConfig]") -> "list[TrainingConfig]":
    """The configs of what validation likes best, with all seeds and folds; shows what it says of each."""
    from aqa_heads.candidates import chosen_configs, compare

    from .train_progress import showing
    from .train_table import validation_table

    if process_count() > 1:
        raise TrainingError("--choose compares in one process; leave torchrun out")
    on = _console()
    contests = compare(configs, showing(on))
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


def train_and_print(table: "Table") -> "list[Run]":
    """Train the runs of a table with their progress on the console, and print their results.

    Raises:
        AqaError: before anything is trained if a run folder is in the way or a cache cannot be used.
    """
    from .train_progress import showing
    from .train_table import results_table

    on = _console()
    with ExitStack() as stack:
        with said_by_the_first():
            stack.enter_context(table)
        runs = table.train(showing(on))
    on.print(results_table(runs))
    for note in dict.fromkeys(
        f"{run.config['label']}: {note}" for run in runs for note in run.summary["notes"]
    ):
        on.print(note, soft_wrap=True)
    return runs


def _console() -> "Console":
    from .console import console

    return console(quiet=rank() > 0, width_elsewhere=160)


if __name__ == "__main__":
    main()
