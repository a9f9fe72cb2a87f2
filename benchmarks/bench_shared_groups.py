"""The default model beside a plain ridge regression on few, long sequences; what validation expects there.

    python benchmarks/bench_shared_groups.py --sets 20

Sets of 38 samples of 8 people, four official folds, whose people are in training too, or are new in the test
(`tests/shared_groups.py`). Per set, means over its folds: the test Spearman of the default model and of
`ridge` minus that of scikit-learn's `RidgeCV` on the mean clip of all training samples; and, of `ridge`, the
error that its held-out samples expect, with whole people held out and with single samples, beside its test
error.
"""

import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import click
import numpy as np
from results import write_section
from scipy.stats import sem, t

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from shared_groups import FOLDS, make  # noqa: E402

RULES = ("new-groups", "known-groups")


def measure(seed: int, new_people: bool) -> dict[str, float]:
    """Of one set: differences of Spearman to the plain ridge regression, and how far the error that each rule
    expects is from the test error, in points; means over the folds.
    """
    from aqa_heads import TrainingConfig, train

    generated, found = make(seed, new_people), {}
    with tempfile.TemporaryDirectory() as folder:
        features = generated.write(Path(folder, "features.h5"))
        for fold in range(FOLDS):
            asked = {
                "tasks": ("score",),
                "folds": "official",
                "fold": str(fold),
                "device": "cpu",
                "threads": 1,
            }
            plain = generated.ridge(fold)
            for name in ("default", "ridge"):
                run = train(TrainingConfig(features, name, out=Path(folder, name), **asked))
                found.setdefault(name, []).append((run.summary["spearman"] or 0.0) - plain)
            for rule in RULES:
                run = train(
                    TrainingConfig(features, "ridge", validate_on=rule, out=Path(folder, rule), **asked)
                )
                expected = np.mean([(row.predicted - row.true) ** 2 for row in run.out_of_fold]) ** 0.5
                tested = [
                    float(row["predicted_score"]) - float(row["final_score"])
                    for row in run.predictions
                    if row["split"] == "test"
                ]
                found.setdefault(rule, []).append(expected - np.mean(np.square(tested)) ** 0.5)
    means = {name: float(np.mean(values)) for name, values in found.items()}
    return means | {rule: abs(means[rule]) for rule in RULES}


@click.command()
@click.option("--sets", type=click.IntRange(2), default=20, show_default=True, help="Of each kind.")
@click.option("--processes", type=click.IntRange(1), default=os.cpu_count(), show_default=True)
def main(sets: int, processes: int) -> None:
    """The default model and `ridge` against a plain ridge regression, and what validation expects."""
    with ProcessPoolExecutor(processes) as pool:
        jobs = [(seed, new) for new, seed in product((False, True), range(sets))]
        found = list(pool.map(measure, *zip(*jobs, strict=True)))
    lines = [
        f"{sets} sets of each kind; in brackets the 95 % interval over sets (Student's t).",
        "",
        "| people of the test | default − RidgeCV, ρ | ridge − RidgeCV, ρ | nearer to the test error |",
        "|---|---|---|---|",
    ]
    for new, right, wrong in ((False, *RULES[::-1]), (True, *RULES)):
        rows = [values for (_, kind), values in zip(jobs, found, strict=True) if kind == new]
        nearer = sum(row[right] < row[wrong] for row in rows)
        cells = [_told([row[name] for row in rows]) for name in ("default", "ridge")]
        lines.append(
            f"| {'new' if new else 'known'} | {cells[0]} | {cells[1]} | what {right} expects, in {nearer} of"
            f" {sets} sets |"
        )
    click.echo("\n".join(lines))
    command = f"python benchmarks/bench_shared_groups.py --sets {sets}"
    write_section("shared groups", "Few, long sequences of people known and new", command, lines)


def _told(values: list[float]) -> str:
    half = t.ppf(0.975, len(values) - 1) * sem(values)
    return f"{np.mean(values):+.3f} ({np.mean(values) - half:+.3f} to {np.mean(values) + half:+.3f})"


if __name__ == "__main__":
    main()
