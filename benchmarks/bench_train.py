"""How long the paper's eight experiments take on cached features of realistic size, all tasks and scores and
classes alone.
"""

import tempfile
from pathlib import Path

import click
import numpy as np
import torch
from results import write_section

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.meaning import Meaning
from aqa_cache.cache_file.reader import ClipFeatures, Record
from aqa_cache.cache_file.writer import write_cache
from aqa_cache.machine.devices import pick_device
from aqa_heads.data import training_data as targets
from aqa_heads.settings.experiments import EXPERIMENTS
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.run import train

DIVES, CLIPS, PAPERS_EPOCHS = 143, 6, 100
DIMS = {"c3d": 8192, "s3d": 1024}
# Of MTL-AQA's captions (facts of the release): mean 77 words, a sixth of them cut at 100, 5,781 words.
WORDS, MEAN_WORDS, SPREAD = 5781, 77, 30
CLASSES = {"position": 3, "armstand": 2, "rotation_type": 4, "somersaults": 10, "twists": 8}


def write_features(path: Path, backbone: str, seed: int = 0) -> Path:
    """A cache of generated features and labels with the sizes of the paper's training set; there is nothing
    to learn.
    """
    generator = np.random.default_rng(seed)
    words = np.array([f"w{number}" for number in range(WORDS)])
    likely = 1 / np.arange(1, WORDS + 1)
    likely /= likely.sum()
    rest = list(generator.permutation(WORDS))  # so that the vocabulary has all of them
    records = []
    for index in range(DIVES):
        length = int(np.clip(generator.normal(MEAN_WORDS, SPREAD), 4, 300))
        caption = generator.choice(words, length, p=likely).tolist()
        own, rest = rest[: WORDS // DIVES + 1], rest[WORDS // DIVES + 1 :]
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
        features = np.abs(generator.normal(size=(CLIPS, DIMS[backbone]))).astype(np.float32)
        times = np.arange(CLIPS) * 16 + 300 * index
        records.append(Record(sample, [ClipFeatures(features, times, times / 25)]))
    meaning = Meaning(backbone, "pool5", DIMS[backbone], "generated", "", {}, {})
    write_cache(path, records, meaning, views=["plain"], dtype="float16")
    return path


def seconds_per_epoch(features: Path, name: str, epochs: int, out: Path, **options) -> tuple[float, float]:
    """Of an epoch that is not the first, and of the whole run without its epochs."""
    config = TrainingConfig(
        features, name, protocol="paper", epochs=epochs, meteor=False, out=out, overwrite=True, **options
    )
    run = train(config)
    seconds = [epoch.seconds for epoch in run.epochs]
    return float(np.median(seconds[1:] or seconds)), run.summary["seconds"]["total"] - sum(seconds)


@click.command()
@click.option("--epochs", default=3, show_default=True, help="Of each run; the first one is not counted.")
@click.option("--batch-sizes", default="16,3", show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--threads", type=int, help="[default: all cores]")
@click.option("--experiments", default=",".join(EXPERIMENTS), show_default=True)
def main(epochs: int, batch_sizes: str, device: str, threads: int | None, experiments: str) -> None:
    """Time the eight experiments with all tasks, the scores and classes alone in full, and features read from
    the file.
    """
    if threads:
        torch.set_num_threads(threads)
    names, sizes = experiments.split(","), [int(size) for size in batch_sizes.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        caches = {backbone: write_features(Path(folder, f"{backbone}.h5"), backbone) for backbone in DIMS}
        options = {"device": device, "threads": threads, "out": Path(folder, "runs")}
        cell, total = {}, dict.fromkeys(sizes, 0.0)
        for size in sizes:
            for name in names:
                # As the issue of speed is C3D's: all rows on its 8192 values, also those of S3D.
                each, rest = seconds_per_epoch(caches["c3d"], name, epochs, batch_size=size, **options)
                total[size] += PAPERS_EPOCHS * each + rest
                cell[size, name] = each
                click.echo(
                    f"batch {size}, {EXPERIMENTS[name].title}: {each:.2f} s an epoch, {rest:.1f} s besides"
                )
        alone = {"tasks": ("score", "classes"), "batch_size": 16, **options}
        run = train(
            TrainingConfig(caches["c3d"], protocol="paper", epochs=PAPERS_EPOCHS, overwrite=True, **alone)
        )
        in_memory = run.summary["seconds"]["total"]
        share, targets.MEMORY_SHARE = targets.MEMORY_SHARE, 0.0
        streamed, _ = seconds_per_epoch(caches["c3d"], "baseline", epochs, **alone)
        targets.MEMORY_SHARE = share
        held, _ = seconds_per_epoch(caches["c3d"], "baseline", epochs, **alone)
    head = " | ".join(f"batch {size}, s an epoch" for size in sizes)
    lines = [
        (
            f"{DIVES} training dives of {CLIPS} clips of 8192 generated values, captions of {MEAN_WORDS}"
            f" words on average out of {WORDS:,}, full-size models, default settings. Medians of {epochs - 1}"
            f" epochs after the first; the hours of {PAPERS_EPOCHS} epochs are these times a hundred, plus"
            " what a run takes besides."
        ),
        "",
        f"| experiment | {head} |",
        "|---|" + "---|" * len(sizes),
        *(
            f"| {EXPERIMENTS[n].title} | {' | '.join(f'{cell[size, n]:.2f}' for size in sizes)} |"
            for n in names
        ),
        (
            f"| all of these, {PAPERS_EPOCHS} epochs |"
            f" {' | '.join(f'{total[size] / 3600:.2f} h' for size in sizes)} |"
        ),
        "",
        (
            f"- scores and classes alone (`--tasks score,classes`), batch 16, {PAPERS_EPOCHS} epochs in full:"
            f" {in_memory:.0f} s"
        ),
        (
            f"- the same, an epoch: {held:.2f} s with features in memory, {streamed:.2f} s with features read"
            " from the file in every step"
        ),
    ]
    where = pick_device(device).type
    command = (
        f"python benchmarks/bench_train.py --epochs {epochs} --batch-sizes {batch_sizes} --device {device}"
    )
    if threads:
        command += f" --threads {threads}"
    write_section(f"train {where} batch {batch_sizes}", "Training the eight experiments", command, lines)
    click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
