"""Whether the defaults lose to a ridge regression where data are few: 200 to 300 samples of 2,048-d clip
features.

    python benchmarks/bench_small_data.py --seeds 5

Made-up regression problems in the likeness of cached features: a score that depends on a few factors; clip
features that hold these factors as a small part of their variance, beside what a sample's clips share, what
is each clip's own, and white noise. The shared and the own part have a spectrum that falls with a power of
the direction's number, and the factors' directions overlap with its strongest ones.

Each problem and seed is a feature cache on which `aqa_heads.training.run.train` does four runs: the baseline
as it is by default, the baseline without its ridge start, ridge on the samples that both take their steps on,
and ridge on all training samples, those that the others hold out for validation included.
"""

import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import click
import numpy as np
import torch
from results import write_section
from scipy.stats import sem, t

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.feature_spec import FeatureSpec
from aqa_cache.cache_file.record import ClipFeatures, Record
from aqa_cache.cache_file.writer import write_cache
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.run import train

MEAN, SPREAD = 60, 15  # points
RANK = 400
TEST_SAMPLES = 400
SHARED, OWN, WHITE = 0.5, 0.4, 0.1  # of the variance that is not signal
GROUPS = 12  # of the training samples, and as many others of the test samples

RUNS = {
    "ridge": {"experiment": "ridge"},
    "ridge, all samples": {"experiment": "ridge", "protocol": "paper"},
    "baseline": {"experiment": "baseline"},
    "baseline, no ridge start": {"experiment": "baseline", "ridge_start": False},
}
DIFFERENCES = list(product(("baseline", "baseline, no ridge start"), ("ridge", "ridge, all samples")))


@dataclass(frozen=True)
class Problem:
    """What a made-up data set is like.

    Args:
        train: samples, validation included.
        decay: variance of the nuisance's direction k is proportional to k ** -decay.
        signal: share of the factors in a clip feature's variance.
        noise: share of the scores' variance that no feature knows.
        curved: share of the remaining variance of the scores that is not linear in the factors.
        clips: fewest and most clips of a sample.
        positive: features are rectified, as a network's mostly are.
        factors: numbers that the score depends on.
        dim: size of one clip feature.
    """

    name: str
    train: int = 250
    decay: float = 1.0
    signal: float = 0.2
    noise: float = 0.3
    curved: float = 0.0
    clips: tuple[int, int] = (1, 12)
    positive: bool = False
    factors: int = 12
    dim: int = 2048


PROBLEMS = (
    Problem("middling"),
    Problem("flat spectrum", decay=0.4),
    Problem("strong signal", signal=0.5, noise=0.1),
    Problem("weak signal", signal=0.05, noise=0.5),
    Problem("rectified features", positive=True, decay=0.7),
    Problem("one clip, 200 samples", train=200, clips=(1, 1), decay=0.7),
    Problem("steep spectrum, 300 samples", train=300, decay=1.5, signal=0.1),
    Problem("curved truth", curved=0.15, signal=0.4, noise=0.1),
)


def draw(problem: Problem, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Clip features `(clips, dim)` float32 and scores in points, first the training samples, then the test
    samples.
    """
    rng = np.random.default_rng([seed, *map(ord, problem.name)])
    samples, dim, factors = problem.train + TEST_SAMPLES, problem.dim, problem.factors
    directions = np.linalg.qr(rng.standard_normal((dim, RANK + factors)))[0].T * np.sqrt(dim)
    deviation = np.arange(1, RANK + 1.0) ** (-problem.decay / 2)
    nuisance = directions[:RANK] * (deviation / np.linalg.norm(deviation))[:, None]
    strength = np.linspace(1, 0.3, factors)
    signal = (directions[:factors] + directions[RANK:]) * np.sqrt(0.5)
    signal *= (strength / np.linalg.norm(strength))[:, None]

    values = rng.standard_normal((samples, factors))
    weights = rng.standard_normal(factors)
    linear = values @ weights / np.linalg.norm(weights)
    bent = values[:, 0] * values[:, 1] + np.abs(values[:, 2])
    truth = np.sqrt(1 - problem.curved) * linear + np.sqrt(problem.curved) * (bent - bent.mean()) / bent.std()
    scores = np.sqrt(1 - problem.noise) * truth + np.sqrt(problem.noise) * rng.standard_normal(samples)

    rest = 1 - problem.signal
    shared = values @ signal * np.sqrt(problem.signal)
    shared += rng.standard_normal((samples, RANK)) @ nuisance * np.sqrt(SHARED * rest)
    clips = []
    for sample, count in zip(
        shared, rng.integers(problem.clips[0], problem.clips[1] + 1, samples), strict=True
    ):
        own = rng.standard_normal((count, RANK)) @ nuisance * np.sqrt(OWN * rest)
        white = rng.standard_normal((count, dim)) * np.sqrt(WHITE * rest)
        features = sample + own + white
        clips.append((np.maximum(features + 0.3, 0) if problem.positive else features).astype(np.float32))
    return clips, MEAN + SPREAD * scores


def write_features(path: Path, problem: Problem, seed: int) -> Path:
    """A cache of the problem: whole groups can be held out, and no group of the test samples is one of
    training samples.
    """
    records = []
    for index, (features, score) in enumerate(zip(*draw(problem, seed), strict=True)):
        split = "train" if index < problem.train else "test"
        frames = np.arange(len(features)) * 16
        sample = Sample(
            f"s{index:03d}",
            f"s{index:03d}.mp4",
            0,
            len(features) * 16,
            split,
            f"{split}-{index % GROUPS}",
            final_score=float(score),
        )
        records.append(Record(sample, [ClipFeatures(features, frames, frames / 25)]))
    spec = FeatureSpec("generated", problem.name, problem.dim, "generated", "", {}, {})
    write_cache(path, records, spec, views=["plain"], dtype="float32")
    return path


def train_all(problem: Problem, seed: int, threads: int | None) -> dict[str, float]:
    """Test Spearman of each of `RUNS` on one problem with one seed, and the epoch that was chosen of the
    baseline.
    """
    found, trained_on = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        features = write_features(Path(folder, "features.h5"), problem, seed)
        # All on the same samples, as the rows of Table 1.
        options = {"experiment": "baseline", "refit": False, "tasks": ("score",), "seed": seed}
        options |= {"threads": threads}
        for name, own in RUNS.items():
            # A folder each: a run's name tells neither its protocol nor its start.
            run = train(TrainingConfig(features, out=Path(folder, name), **{**options, **own}))
            found[name] = run.summary["spearman"]
            trained_on[name] = {row["sample_id"] for row in run.predictions if row["split"] == "train"}
            if name == "baseline":
                found["epoch"] = run.summary["chosen"]["assessment"]["epoch"]
    everyone = trained_on.pop("ridge, all samples")
    assert len(everyone) == problem.train, "ridge on all samples lacks some"
    assert all(samples == trained_on["ridge"] < everyone for samples in trained_on.values()), (
        "not the same samples"
    )
    return found


def interval(differences: np.ndarray) -> str:
    """Mean and 95 % interval, Student's t."""
    mean, count = differences.mean(), differences.size
    if count < 2:
        return f"{mean:+.3f} (no interval of one)"
    half = t.ppf(0.975, count - 1) * sem(differences)
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


@click.command()
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Of each problem, from the first on.",
)
@click.option(
    "--first-seed",
    type=click.IntRange(0),
    default=100,
    show_default=True,
    help="The defaults were found on low ones; these are new to them.",
)
@click.option(
    "--problems", type=click.IntRange(0, len(PROBLEMS) - 1), multiple=True, help="Only these; writes nothing."
)
@click.option("--threads", type=click.IntRange(1), help="[default: all cores]")
def main(seeds: int, first_seed: int, problems: tuple[int, ...], threads: int | None) -> None:
    """Test Spearman of the baseline, with and without its ridge start, beside ridge: few samples, made-up
    problems.
    """
    if threads:
        torch.set_num_threads(threads)
    chosen = [PROBLEMS[number] for number in problems] or PROBLEMS
    columns = [*RUNS, "epoch of the baseline", *(f"{network} − {ridge}" for network, ridge in DIFFERENCES)]
    lines = [f"| problem | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    click.echo("\n".join(lines))
    everything = []
    for problem in chosen:
        found = [train_all(problem, seed, threads) for seed in range(first_seed, first_seed + seeds)]
        everything += found
        lines.append(_row(problem.name, found))
        click.echo(lines[-1])
    rest = [
        _row("mean", everything),
        "",
        (
            f"Mean differences of test Spearman and their 95 % intervals over {len(chosen)} problems x"
            f" {seeds} seeds, taken as independent:"
        ),
        "",
        *(
            f"- {network} − {ridge}: {interval(_differences(everything, network, ridge))}"
            for network, ridge in DIFFERENCES
        ),
    ]
    click.echo("\n".join(rest))
    if not problems:
        command = f"python benchmarks/bench_small_data.py --seeds {seeds} --first-seed {first_seed}"
        if threads:
            command += f" --threads {threads}"
        write_section("small data", "Small data", command, [_SETTING, "", *lines, *rest])


def _row(name: str, found: list[dict[str, float]]) -> str:
    cells = [f"{np.mean([values[run] for values in found]):.3f}" for run in RUNS]
    cells.append(f"{np.mean([values['epoch'] for values in found]):.0f}")
    cells += [f"{_differences(found, network, ridge).mean():+.3f}" for network, ridge in DIFFERENCES]
    return f"| {name} | {' | '.join(cells)} |"


def _differences(found: list[dict[str, float]], network: str, ridge: str) -> np.ndarray:
    return np.array([values[network] - values[ridge] for values in found])


_SETTING = (
    f"200 to 300 training samples of 1 to 12 clips of {Problem.dim} generated values, in {GROUPS} groups;"
    f" scores alone, otherwise the defaults of `aqa-train`. Spearman on {TEST_SAMPLES} test samples of other"
    " groups, means over the seeds. The baselines and ridge train on the same samples, with whole groups"
    " held out of them; ridge on all samples has these too. Epoch 0 is the state before the first step."
)


if __name__ == "__main__":
    main()
