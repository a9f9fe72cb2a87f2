"""`aqa-train`: train heads on a feature cache, one run per experiment."""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aqa_heads.configuration import VIEWS, TrainingConfig
from aqa_heads.experiments import ATTENTIONS, ENCODERS, EXPERIMENTS, RNNS, TASKS

from .errors import handle_errors

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from aqa_heads.runs import Epoch, Run

_DEFAULT = TrainingConfig("")


def _positive(kind: type):
    return click.IntRange(1) if kind is int else click.FloatRange(0, min_open=True)


@click.command(
    epilog="""\b
    Example:
      aqa-train --features feats.h5 --exp 7 --epochs 20"""
)
@click.option(
    "--features", required=True, type=click.Path(path_type=Path), help="Feature cache, written by aqa-extract."
)
@click.option(
    "--exp",
    "experiment",
    type=click.Choice([*EXPERIMENTS, "all"]),
    default=_DEFAULT.experiment,
    show_default=True,
    help="Row of the paper's Table 1, or all eight.",
)
@click.option("--encoder", type=click.Choice(ENCODERS), help="From clips to one feature.  [default: the row's]")
@click.option("--rnn", type=click.Choice(RNNS), help="Cell of the captioner.  [default: the row's]")
@click.option("--layers", type=_positive(int), help="Stacked cells of the captioner.  [default: the row's]")
@click.option(
    "--attention", type=click.Choice(ATTENTIONS), help="Linear projection for the captioner.  [default: the row's]"
)
@click.option("--tasks", default=",".join(TASKS), show_default=True, help="Any of them, separated by commas.")
@click.option(
    "--epochs",
    type=_positive(int),
    default=_DEFAULT.epochs,
    show_default=True,
    help="Each is tested; the last one counts.",
)
@click.option(
    "--batch-size", type=_positive(int), default=_DEFAULT.batch_size, show_default=True, help="Samples per step."
)
@click.option("--lr", type=_positive(float), default=_DEFAULT.lr, show_default=True, help="Learning rate of Adam.")
@click.option(
    "--seed", type=click.IntRange(0), default=_DEFAULT.seed, show_default=True, help="Of weights, dropout and order."
)
@click.option("--device", default=_DEFAULT.device, show_default=True, help="auto, cpu, cuda, cuda:1, …")
@click.option(
    "--threads", type=_positive(int), help="Of the CPU; 1 is fastest where other programs run.  [default: all cores]"
)
@click.option(
    "--score-scale",
    type=_positive(float),
    help="Points per unit of the score head; original: 17.  [default: std of training]",
)
@click.option(
    "--standardise/--no-standardise", default=True, show_default=True, help="Scale features by training statistics."
)
@click.option(
    "--views",
    type=click.Choice(VIEWS),
    default=_DEFAULT.views,
    show_default=True,
    help="Of each training sample, where the cache holds several: draw one anew in every epoch, or keep to the plain one.",
)
@click.option(
    "--encoder-hidden",
    type=_positive(int),
    default=_DEFAULT.encoder_hidden,
    show_default=True,
    help="Of the lstm encoder.",
)
@click.option(
    "--encoder-layers",
    type=_positive(int),
    default=_DEFAULT.encoder_layers,
    show_default=True,
    help="Of the lstm encoder.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=_DEFAULT.out, show_default=True, help="Folder of run folders."
)
@click.option("--overwrite", is_flag=True, help="Replace runs of the same name.")
@handle_errors
def main(experiment: str, tasks: str, **options):
    """Train score, class and caption heads on cached features.

    Each run leaves a folder with config.json, metrics.csv, predictions.csv, summary.json and model.safetensors. Every
    epoch is tested and the last one is reported, as in the paper; nothing is chosen on the test set.
    """
    options["tasks"] = tuple(task.strip() for task in tasks.split(",") if task.strip())
    names = list(EXPERIMENTS) if experiment == "all" else [experiment]
    configs = [TrainingConfig(experiment=name, **options) for name in names]
    runs = train_runs(configs)
    click.echo(f"Written to {options['out']}: {', '.join(run.folder.name for run in runs)}")


def train_runs(configs: "list[TrainingConfig]") -> "list[Run]":
    """Train runs one after the other, with their progress, and print the table of their results.

    Raises:
        AqaError: before anything is trained if a run folder is in the way or a cache cannot be used.
    """
    from rich.console import Console

    from aqa_cache.cache import FeatureCache
    from aqa_heads.runs import check_run_folder
    from aqa_heads.targets import usable_tasks

    labels = []
    for config in configs:
        with FeatureCache(config.features) as cache:
            named = replace(config, tasks=usable_tasks(cache, config.tasks))
            backbone = cache.meaning.backbone
        labels.append(named.run_label(backbone))
        check_run_folder(named.run_folder(backbone), config.overwrite)
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    said: set[str] = set()
    runs = [_train(config, label, console, said) for config, label in zip(configs, labels, strict=True)]
    console.print(_table(runs))
    for run in runs:
        for note in run.summary["notes"]:
            console.print(f"{run.config['label']}: {note}", markup=False, highlight=False)
    return runs


def _train(config: TrainingConfig, label: str, console: "Console", said: set[str]) -> "Run":
    """Train one run with its progress on the console; lines in `said` are not said again."""
    from aqa_heads.training import train

    def say(line: str) -> None:
        if line not in said:
            console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
            said.add(line)

    if not console.is_terminal:
        return train(config, say=say, on_epoch=_Lines(config, label, console))
    with _progress(console) as progress:
        task = progress.add_task(label, total=config.epochs, loss="–", spearman="–")

        def show(epoch: "Epoch") -> None:
            progress.update(
                task, completed=epoch.epoch, loss=_number(epoch.train_loss, 3), spearman=_number(epoch.test_spearman, 4)
            )

        return train(config, say=say, on_epoch=show)


class _Lines:
    """Where there is no terminal: a line for the first epoch and about every tenth of them."""

    def __init__(self, config: TrainingConfig, label: str, console: "Console"):
        self.config, self.label, self.console = config, label, console
        self.started = time.monotonic()

    def __call__(self, epoch: "Epoch") -> None:
        total = self.config.epochs
        every = max(1, total // 10)
        if epoch.epoch % every and epoch.epoch not in (1, total):
            return
        seconds = time.monotonic() - self.started
        self.console.print(
            f"{self.label}: epoch {epoch.epoch}/{total}, loss {_number(epoch.train_loss, 3)}, test Spearman "
            f"{_number(epoch.test_spearman, 4)}, {seconds:.0f} s, {seconds / epoch.epoch * (total - epoch.epoch):.0f} s to go",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _progress(console: "Console") -> "Progress":
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("Spearman {task.fields[spearman]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _table(runs: "list[Run]"):
    from rich.table import Table

    columns = list(dict.fromkeys(name for run in runs for name in run.summary["class_accuracy"]))
    table = Table(title="Test split after the last epoch; accuracies in %")
    table.add_column("experiment", overflow="fold")
    for name in ("Spearman", "relative L2", *columns, "train loss", "seconds", "parameters"):
        table.add_column(name, justify="right", overflow="fold")
    for run in runs:
        summary = run.summary
        table.add_row(
            run.config["label"],
            _number(summary["spearman"], 4),
            _number(summary["relative_l2"], 3),
            *(_percent(summary["class_accuracy"].get(name)) for name in columns),
            _number(summary["train_loss"], 3),
            _number(summary["seconds"], 1),
            f"{summary['parameters']:,}",
        )
    table.add_section()
    summary = runs[0].summary
    floors = {name.replace("_", " "): floor for name, floor in summary["floors"].items() if floor}
    for name, floor in floors.items():
        table.add_row(f"{name} alone", _number(floor["spearman"], 4), _number(floor["relative_l2"], 3), style="dim")
    if columns:
        majority = [_percent(summary["majority_accuracy"].get(name)) for name in columns]
        table.add_row("majority class alone", "", "", *majority, style="dim")
    return table


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None or value != value else f"{value:.{digits}f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"
