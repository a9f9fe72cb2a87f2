"""Rows of keypoints on synthetic dives: joints as the renderer knows them, and with an estimator's errors.

    python benchmarks/bench_pose.py --sets 5
    python benchmarks/bench_pose.py --draws 50

Sets of 140 + 50 dives of other competitions, of other seeds. Each row is trained as `aqa-train` does it, for
the score alone, and its test Spearman is given. --draws: one set of 159 dives, as many as MIT-Dive has, from
which 100 are drawn to train on and the others tested, again and again: the protocol of Pirsiavash et al.
"""

import random
import tempfile
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from results import write_section

DIVES = {"train_dives": 140, "test_dives": 50, "events": 10}
# Row and form of the keypoints.
ROWS = (
    ("pose-dct-svr", "dct"),
    ("pose-dct-svr-normalised", "dct-torso"),
    ("ridge", "dct-torso"),
    ("ridge", "clips"),
    ("default", "clips"),
)


def measure(seed: int, noise_px: float, folder: Path) -> dict:
    """Of one set: test Spearman by row, that of the difficulty alone, and the share of what was filled."""
    from aqa_cache.annotations import write_annotations
    from aqa_cache.datasets.synthetic_dives import write_keypoints
    from aqa_cache.datasets.synthetic_dives.broadcast import plan_broadcasts
    from aqa_cache.keypoints.importing import import_keypoints
    from aqa_cache.keypoints.sample_features import KeypointOptions
    from aqa_heads import TrainingConfig, train

    write_keypoints(folder / "keypoints", **DIVES, seed=seed, noise_px=noise_px)
    broadcasts = plan_broadcasts(**DIVES, seed=seed, frame_rate=25)
    table = folder / "annotations.csv"
    write_annotations(table, [one.sample for broadcast in broadcasts for one in broadcast.dives])
    found = {}
    for form in dict.fromkeys(form for _, form in ROWS):
        made = import_keypoints(folder / "keypoints", folder / f"{form}.h5", table, KeypointOptions(form))
        found["filled", form] = made.filled
    for row, form in ROWS:
        config = TrainingConfig(
            folder / f"{form}.h5", row, tasks=("score",), device="cpu", threads=1, out=folder / form
        )
        run = train(config)
        found[row, form] = run.summary["spearman"]
    found["difficulty"] = run.summary["floors"]["difficulty"]["spearman"]
    return found


DRAWN = {"train_dives": 118, "test_dives": 41, "events": 10}  # 159 in all, as many as MIT-Dive has
TRAINED = 100


def draw(count: int, noise_px: float, folder: Path) -> dict[tuple[str, str], list[float]]:
    """Test Spearman of the pose rows in each of so many draws of the training samples."""
    from aqa_cache.annotations import write_annotations
    from aqa_cache.datasets.synthetic_dives import write_keypoints
    from aqa_cache.datasets.synthetic_dives.broadcast import plan_broadcasts
    from aqa_cache.keypoints.importing import import_keypoints
    from aqa_cache.keypoints.sample_features import KeypointOptions
    from aqa_heads import TrainingConfig, train

    write_keypoints(folder / "keypoints", **DRAWN, seed=0, noise_px=noise_px)
    broadcasts = plan_broadcasts(**DRAWN, seed=0, frame_rate=25)
    samples = [one.sample for broadcast in broadcasts for one in broadcast.dives]
    found: dict[tuple[str, str], list[float]] = {}
    for number in range(count):
        drawn = set(random.Random(number).sample(range(len(samples)), TRAINED))
        split = [
            replace(sample, split="train" if index in drawn else "test")
            for index, sample in enumerate(samples)
        ]
        table = folder / f"{number}.csv"
        write_annotations(table, split)
        for row, form in ROWS[:2]:
            features = folder / f"{form}-{number}.h5"
            import_keypoints(folder / "keypoints", features, table, KeypointOptions(form))
            # All drawn samples train; neither row chooses anything by the test.
            settings = {"protocol": "paper", "tasks": ("score",), "device": "cpu", "threads": 1}
            run = train(TrainingConfig(features, row, out=folder / f"{form}-{number}", **settings))
            found.setdefault((row, form), []).append(run.summary["spearman"])
            features.unlink()
    return found


def write_draws(count: int, noise: tuple[float, ...]) -> None:
    """The pose rows by the protocol of Pirsiavash et al."""
    lines = [
        f"One set of 159 dives, of which {TRAINED} are drawn {count} times to train on and the others are"
        " tested; dives of one competition are on both sides. The mean test Spearman ± its standard deviation"
        " over draws.",
        "",
        "| row | `--as` | " + " | ".join(f"noise of {pixels:g} px" for pixels in noise) + " |",
        "|---|---|" + "---|" * len(noise),
    ]
    found = []
    for pixels in noise:
        with tempfile.TemporaryDirectory() as folder:
            found.append(draw(count, pixels, Path(folder)))
    for row, form in ROWS[:2]:
        lines.append(f"| `{row}` | `{form}` | {' | '.join(_told(each[row, form]) for each in found)} |")
    click.echo("\n".join(lines))
    command = f"python benchmarks/bench_pose.py --draws {count}" + "".join(f" --noise {px:g}" for px in noise)
    write_section("pose draws", "Keypoints, 100 training samples drawn again and again", command, lines)


@click.command()
@click.option("--draws", type=click.IntRange(2), help="In place of the sets: so many draws from one.")
@click.option("--sets", type=click.IntRange(2), default=5, show_default=True, help="Of other seeds.")
@click.option(
    "--noise", type=float, multiple=True, default=(0.0, 3.0), show_default=True, help="Pixels, of 640 x 360."
)
def main(draws: int | None, sets: int, noise: tuple[float, ...]) -> None:
    """Rows of keypoints on synthetic dives, with and without an estimator's errors."""
    if draws:
        return write_draws(draws, noise)
    found = {}
    for pixels in noise:
        for seed in range(sets):
            with tempfile.TemporaryDirectory() as folder:
                found[pixels, seed] = measure(seed, pixels, Path(folder))
            click.echo(f"{pixels:g} px, set {seed}: {found[pixels, seed]}")
    filled = np.mean([values["filled", "dct"] for values in found.values()])
    lines = [
        f"{sets} sets of 140 + 50 dives, 20 joints in a picture of 640 x 360; the mean test Spearman ± its"
        f" standard deviation over sets. {filled:.0%} of the positions were filled, most of them of divers"
        " under water. The noise is normal, of each coordinate in each frame for itself; a torso is about 24"
        " pixels long.",
        "",
        "| row | `--as` | " + " | ".join(f"noise of {pixels:g} px" for pixels in noise) + " |",
        "|---|---|" + "---|" * len(noise),
    ]
    for row, form in (*ROWS, ("difficulty", None)):
        key = (row, form) if form else row
        cells = [_told([found[pixels, seed][key] for seed in range(sets)]) for pixels in noise]
        name, form = (f"`{row}`", f"`{form}`") if form else ("difficulty alone", "–")
        lines.append(f"| {name} | {form} | {' | '.join(cells)} |")
    click.echo("\n".join(lines))
    command = f"python benchmarks/bench_pose.py --sets {sets}"
    write_section("pose", "Keypoints of synthetic dives", command, lines)


def _told(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


if __name__ == "__main__":
    main()
