"""How far features from random weights see quality, on synthetic dives of the paper's size (140 + 50), over
several data seeds.

    python benchmarks/bench_demo_signal.py --seeds 5

Per seed: render as `aqa-demo --full` does, extract C3D features, train the baseline for 100 epochs in steps
of 3 dives, and compare the test Spearman after the last epoch with two floors that never saw the video. The
training mean ranks nothing; its Spearman is not defined and counts as 0. The captioner shares no weight with
score and classes, so the baseline is trained without it: the score comes out the same to the bit
(`test_the_captioner_leaves_score_and_classes_as_they_are`).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from results import write_section
from scipy.stats import t

from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.clips.rule import MTL_AQA_WINDOW, ClipRule
from aqa_cache.datasets.synthetic_dives import render_broadcasts
from aqa_cache.extraction.run import ExtractionConfig, extract
from aqa_cli.demo import FRAME_SIZE, FULL
from aqa_heads import TrainingConfig, read_run, train
from aqa_heads.training.plan import Planner


def run(seed: int, work: Path, backbone: str) -> dict:
    """Render, extract and train for one seed; what is there already is taken as it is."""
    folder = work / f"seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    render_broadcasts(
        folder / "videos",
        train_dives=FULL.train_dives,
        test_dives=FULL.test_dives,
        events=FULL.events,
        seed=seed,
    )
    rule = ClipRule(window=MTL_AQA_WINDOW)
    config = ExtractionConfig(backbone, "random", "mtl-aqa", size=FRAME_SIZE, clip_rule=rule)
    extract(folder / "videos", folder / f"feats-{backbone}.h5", config)
    training = TrainingConfig(
        folder / f"feats-{backbone}.h5",
        experiment="baseline",
        tasks=("score", "classes"),
        epochs=FULL.epochs,
        batch_size=FULL.batch_size,
        seed=seed,
        out=folder / "runs",
    )
    with FeatureCache(training.features) as cache:
        done = Planner(cache).plan(training).folder
        asked = (FULL.epochs, FULL.batch_size, seed, cache.fingerprint)
    result = read_run(done) if done.exists() else train(training)
    config = result.config
    found = (config["epochs"], config["batch_size"], config["seed"], config["features"]["fingerprint"])
    if asked != found:
        raise SystemExit(
            f"{done}: was trained otherwise (epochs, batch size, seed, features: {found}, not {asked});"
            " delete it"
        )
    floors = result.summary["floors"]
    return {
        "seed": seed,
        # not defined where all predictions are equal: ranks nothing
        "baseline": result.summary["spearman"] or 0.0,
        "difficulty": floors["difficulty"]["spearman"],
        "relative_l2": result.summary["relative_l2"],
        "mean_l2": floors["training_mean"]["relative_l2"],
        "difficulty_l2": floors["difficulty"]["relative_l2"],
        "accuracy": result.summary["class_accuracy"],
        "majority": result.summary["majority_accuracy"],
    }


def paired(differences: np.ndarray) -> str:
    """Mean difference and its 95 % interval, Student's t over seeds."""
    mean = differences.mean()
    if len(differences) < 2:
        return f"{mean:+.3f}"
    half = t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / np.sqrt(len(differences))
    return f"{mean:+.3f} (95 % interval {mean - half:+.3f} to {mean + half:+.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, … up to this many")
    parser.add_argument(
        "--only", type=int, nargs="+", help="run these seeds and write nothing; for several processes at once"
    )
    parser.add_argument("--backbone", choices=("c3d", "s3d"), default="c3d")
    parser.add_argument(
        "--work", type=Path, default=Path("demo-signal"), help="where videos, features and runs are kept"
    )
    options = parser.parse_args()
    results = []
    for seed in options.only or range(options.seeds):
        results.append(run(seed, options.work, options.backbone))
        print(results[-1], file=sys.stderr, flush=True)
    if options.only:
        return
    column = {
        name: np.array([result[name] for result in results])
        for name in ("baseline", "difficulty", "relative_l2", "mean_l2", "difficulty_l2")
    }
    lines = [
        (
            f"Baseline on {options.backbone.upper()} features from random weights, {FULL.train_dives} +"
            f" {FULL.test_dives} synthetic dives, {FULL.epochs} epochs, batch {FULL.batch_size},"
            f" {len(results)} data seeds: dives, judges and training drawn anew, the backbone's random"
            " weights the same, so the intervals do not cover their draw."
        ),
        "",
        (
            "| data seed | baseline ρ | difficulty alone ρ | baseline R-l2 | difficulty alone R-l2 | training"
            " mean R-l2 |"
        ),
        "|---|---|---|---|---|---|",
        *(
            f"| {r['seed']} | {r['baseline']:.3f} | {r['difficulty']:.3f} | {r['relative_l2']:.2f} |"
            f" {r['difficulty_l2']:.2f} | {r['mean_l2']:.2f} |"
            for r in results
        ),
        "",
        "Mean paired difference of the baseline's test Spearman",
        "",
        f"- to the training mean (Spearman not defined, counted as 0): {paired(column['baseline'])}",
        f"- to difficulty alone: {paired(column['baseline'] - column['difficulty'])}",
        "",
        (
            "In relative L2 (less is better): to the training mean"
            f" {paired(column['relative_l2'] - column['mean_l2'])}, to difficulty alone"
            f" {paired(column['relative_l2'] - column['difficulty_l2'])}."
        ),
    ]
    columns = results[0]["accuracy"]
    lines += ["", "| class | accuracy | majority class |", "|---|---|---|"]
    lines += [
        f"| {name} | {np.mean([r['accuracy'][name] for r in results]):.1%} |"
        f" {np.mean([r['majority'][name] for r in results]):.1%} |"
        for name in columns
    ]
    command = f"python benchmarks/bench_demo_signal.py --seeds {options.seeds} --backbone {options.backbone}"
    write_section(f"demo signal {options.backbone}", "How far random features see quality", command, lines)


if __name__ == "__main__":
    main()
