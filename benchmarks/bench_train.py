"""How long the paper's eight experiments take on cached features of realistic size, all tasks and scores and
classes alone.
"""

import aqa_cli  # noqa: F401  # huge pages and how threads wait, as the commands have them, before torch looks

# isort: split

import shlex
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import torch
from results import write_section

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.feature_spec import FeatureSpec
from aqa_cache.cache_file.record import ClipFeatures, Record
from aqa_cache.cache_file.writer import write_cache
from aqa_cache.machine.devices import pick_device
from aqa_heads.data import stored_features
from aqa_heads.runs.format import Run
from aqa_heads.settings.experiments import EXPERIMENTS
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.table import train_table
from aqa_heads.training.run import train

DIVES, CLIPS, DIM, PAPERS_EPOCHS = 143, 6, 8192, 100
PARTS = ("alone", "experiments")
# Of MTL-AQA's captions (facts of the release): mean 77 words, a sixth of them cut at 100, 5,781 words.
WORDS, MEAN_WORDS, SPREAD = 5781, 77, 30
CLASSES = {"position": 3, "armstand": 2, "rotation_type": 4, "somersaults": 10, "twists": 8}


def write_features(path: Path, dives: int = DIVES, dim: int = DIM, seed: int = 0, clips: int = CLIPS) -> Path:
    """A cache of generated features and labels, by default with the sizes of the paper's training set; there
    is nothing to learn.
    """
    generator = np.random.default_rng(seed)
    words = np.array([f"w{number}" for number in range(WORDS)])
    likely = 1 / np.arange(1, WORDS + 1)
    likely /= likely.sum()
    rest = list(generator.permutation(WORDS))  # so that the vocabulary has all of them
    records = []
    for index in range(dives):
        length = int(np.clip(generator.normal(MEAN_WORDS, SPREAD), 4, 300))
        caption = generator.choice(words, length, p=likely).tolist()
        own, rest = rest[: WORDS // dives + 1], rest[WORDS // dives + 1 :]
        for place, word in enumerate(own):
            caption[place % length] = words[word]
        sample = Sample(
            f"dive{index:03d}",
            "broadcast.mp4",
            300 * index,
            300 * index + 103,
            "train",
            f"event{index % 5}",
            final_score=float(generator.normal(67, 17)),
            difficulty=3.0,
            classes={name: str(generator.integers(number)) for name, number in CLASSES.items()},
            caption=" ".join(caption),
        )
        features = np.abs(generator.normal(size=(clips, dim))).astype(np.float32)
        times = np.arange(clips) * 16 + 300 * index
        records.append(Record(sample, [ClipFeatures(features, times, times / 25)]))
    spec = FeatureSpec("c3d", "pool5", dim, "generated", "", {}, {})
    write_cache(path, records, spec, views=["plain"], dtype="float16")
    return path


def seconds_per_epoch(features: Path, name: str, epochs: int, out: Path, **options) -> tuple[float, float]:
    """Of an epoch that is not the first, and of the whole run without its epochs."""
    config = TrainingConfig(
        features, name, protocol="paper", epochs=epochs, meteor=False, out=out, overwrite=True, **options
    )
    return _seconds_of(train(config))


def seconds_together(features: Path, names: list[str], epochs: int, **options) -> list[tuple[float, float]]:
    """The same of rows that are trained in one command, which trains once what two of them share."""
    settings = {"protocol": "paper", "epochs": epochs, "meteor": False, "overwrite": True}
    return [_seconds_of(run) for run in train_table(features, names, **settings, **options)]


def _seconds_of(run: Run) -> tuple[float, float]:
    seconds = [epoch.seconds for epoch in run.epochs]
    return float(np.median(seconds[1:] or seconds)), run.summary["seconds"]["total"] - sum(seconds)


@click.command()
@click.option("--only", default=",".join(PARTS), show_default=True, help="Either or both.")
@click.option("--epochs", default=3, show_default=True, help="Of each run; the first one is not counted.")
@click.option("--batch-sizes", default="16,3", show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--threads", type=int, help="[default: all cores]")
@click.option("--experiments", default=",".join(EXPERIMENTS), show_default=True)
@click.option("--together", is_flag=True, help="Train the experiments in one command, not each by itself.")
@click.option("--alone-epochs", default=PAPERS_EPOCHS, show_default=True, help="Of scores and classes alone.")
@click.option("--dives", default=DIVES, show_default=True, help="In training.")
@click.option("--clips", default=CLIPS, show_default=True, help="Of a dive.")
@click.option("--dim", default=DIM, show_default=True, help="Values of a clip.")
def main(
    only: str, batch_sizes: str, experiments: str, dives: int, clips: int, dim: int, together: bool, **options
) -> None:
    """Time scores and classes alone in full and with features read from the file, and the eight experiments
    with all tasks.
    """
    asked = only.split(",")
    if unknown := set(asked) - set(PARTS):
        raise click.UsageError(
            f"--only: unknown {', '.join(sorted(unknown))}; expected any of {', '.join(PARTS)}"
        )
    epochs, alone_epochs = options["epochs"], options["alone_epochs"]
    device, threads = options["device"], options["threads"]
    if threads:
        torch.set_num_threads(threads)
    names, sizes = experiments.split(","), [int(size) for size in batch_sizes.split(",")]
    command = f"python benchmarks/bench_train.py {shlex.join(sys.argv[1:])}".strip()
    head = (
        f"{dives} training dives of {clips} clips of {dim} generated values, captions of {MEAN_WORDS}"
        f" words on average out of {WORDS:,}, full-size models, default settings. Medians of {epochs - 1}"
        f" epochs after the first; the hours of {PAPERS_EPOCHS} epochs are these times a hundred, plus"
        " what a run takes besides."
    )
    cell: dict[tuple[int, str], float] = {}
    total = dict.fromkeys(sizes, 0.0)
    notes: list[str] = []

    sizes_of_data = "" if (dives, clips, dim) == (DIVES, CLIPS, DIM) else f" {dives}x{clips}x{dim}"

    def write(unfinished: bool = True) -> list[str]:
        lines = [head, "", *table(names, sizes, cell, None if unfinished else total), "", *notes]
        name, title = (
            f"train {pick_device(device).type} batch {batch_sizes}"
            f"{' together' if together else ''}{sizes_of_data}",
            f"Training the eight experiments{' in one command' if together else ''}{sizes_of_data}",
        )
        write_section(name, title, command, lines, unfinished=unfinished)
        return lines

    with tempfile.TemporaryDirectory() as folder:
        features = write_features(Path(folder, "c3d.h5"), dives, dim, clips=clips)
        shared = {"device": device, "threads": threads, "out": Path(folder, "runs")}
        if "alone" in asked:
            notes += notes_on_assessment_alone(features, epochs, alone_epochs, **shared)
            click.echo("\n".join(notes))
            write()
        if "experiments" in asked:
            for size in sizes:
                # As the issue of speed is C3D's: all rows on its 8192 values, also those of S3D.
                measured = (
                    seconds_together(features, names, epochs, batch_size=size, **shared)
                    if together
                    else (
                        seconds_per_epoch(features, name, epochs, batch_size=size, **shared) for name in names
                    )
                )
                for name, (each, rest) in zip(names, measured, strict=True):
                    total[size] += PAPERS_EPOCHS * each + rest
                    cell[size, name] = each
                    click.echo(
                        f"batch {size}, {EXPERIMENTS[name].title}: {each:.2f} s an epoch, {rest:.1f} s"
                        " besides"
                    )
                    write()
    click.echo("\n".join(write(unfinished=False)))


def notes_on_assessment_alone(features: Path, epochs: int, epochs_in_full: int, **options) -> list[str]:
    """Scores and classes alone: all epochs, then an epoch with features in memory and read from the file."""
    options |= {"tasks": ("score", "classes"), "batch_size": 16}
    began = time.process_time()
    run = train(
        TrainingConfig(
            features,
            protocol="paper",
            epochs=epochs_in_full,
            overwrite=True,
            **{"experiment": "baseline", **options},
        )
    )
    processor = time.process_time() - began
    share, stored_features.MEMORY_SHARE = stored_features.MEMORY_SHARE, 0.0
    streamed, _ = seconds_per_epoch(features, "baseline", epochs, **options)
    stored_features.MEMORY_SHARE = share
    held, _ = seconds_per_epoch(features, "baseline", epochs, **options)
    return [
        (
            "- scores and classes alone (`--tasks score,classes`), batch 16,"
            f" {epochs_in_full} epochs in full: {run.summary['seconds']['total']:.0f} s,"
            f" {processor:.0f} s of the processor"
        ),
        (
            f"- the same, an epoch: {held:.2f} s with features in memory, {streamed:.2f} s with features read"
            " from the file in every step"
        ),
    ]


def table(
    names: list[str],
    sizes: list[int],
    cell: dict[tuple[int, str], float],
    total: dict[int, float] | None,
) -> list[str]:
    """Seconds an epoch by experiment and batch size, a dash where there is none yet; nothing where there are
    none at all.
    """
    if not cell:
        return []
    rows = [
        f"| {EXPERIMENTS[name].title} | {' | '.join(_seconds(cell.get((size, name))) for size in sizes)} |"
        for name in names
    ]
    if total is not None:
        hours = " | ".join(f"{total[size] / 3600:.2f} h" for size in sizes)
        rows.append(f"| all of these, {PAPERS_EPOCHS} epochs | {hours} |")
    head = " | ".join(f"batch {size}, s an epoch" for size in sizes)
    return [f"| experiment | {head} |", "|---|" + "---|" * len(sizes), *rows]


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
