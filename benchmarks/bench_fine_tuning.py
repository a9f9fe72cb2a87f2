"""Whole end-to-end runs on synthetic dives: what extraction gives back of their predictions, and Exp 7's
memory, into RESULTS.md.

    python benchmarks/bench_fine_tuning.py
    python benchmarks/bench_fine_tuning.py --only exp7 --runs literal

- roundtrip: predictions of a run, and of its heads on features that `extract` made with the run's backbone.
- exp7: peak memory of the whole `aqa-train --end-to-end --exp 7`, by default and literal, captions included.
"""

import argparse
import logging
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from results import write_section

TRAIN, TEST, EVENTS, FRAME_SIZE, LIMIT = 20, 4, 6, 112, 12 * 2**30
# What a run is called, the clips that it takes at a time, and its options.
EXP7 = {
    "default": ("encoder {} wide (default)", 2, ()),
    "literal": ("literal: encoder {} wide", 1, ("--literal",)),
}


def main() -> None:
    sections = {
        "roundtrip": ("Fine-tuned, extracted, predicted", bench_roundtrip),
        "exp7": ("Exp 7 end to end in memory", bench_exp7),
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(sections), help="any of them, separated by commas")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--epochs", type=int, default=3, help="of the roundtrip")
    parser.add_argument("--runs", default=",".join(EXP7), help="of exp7, separated by commas")
    parser.add_argument("--backbone", default="c3d", help="of exp7")
    parser.add_argument(
        "--encoder-hidden", type=int, help="of exp7: width of the encoder, instead of each run's own"
    )
    parser.add_argument("--dives", type=int, default=TRAIN, help="in training")
    parser.add_argument("--size", type=int, default=FRAME_SIZE, help="of the frames, in pixels")
    parser.add_argument(
        "--vocabulary", help="MTL-AQA's vocab.json for exp7; by default the words of the synthetic captions"
    )
    parser.add_argument(
        "--folder", help="for videos, features and runs, which stay there; by default a temporary one"
    )
    options = parser.parse_args()
    logging.basicConfig(level="INFO", format="%(message)s")
    asked = options.only.split(",")
    if unknown := set(asked) - sections.keys():
        parser.error(f"--only: unknown {', '.join(sorted(unknown))}; expected any of {', '.join(sections)}")
    options.runs = options.runs.split(",")
    if unknown := set(options.runs) - EXP7.keys():
        parser.error(f"--runs: unknown {', '.join(sorted(unknown))}; expected any of {', '.join(EXP7)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        render(folder, options.dives)
        for name in asked:
            title, bench = sections[name]
            command = f"python benchmarks/bench_fine_tuning.py {shlex.join(sys.argv[1:])}"
            write = partial(
                write_section, f"fine-tuning {name} {options.device}", f"{title}, {options.device}", command
            )
            write(bench(options, folder, partial(write, unfinished=True)))


def render(folder: Path, train_dives: int) -> None:
    from aqa_cache.datasets.synthetic_dives import render_broadcasts

    render_broadcasts(
        folder / "videos", train_dives=train_dives, test_dives=TEST, events=EVENTS, size=(320, 180)
    )


def cache_of(
    folder: Path,
    backbone: str,
    options: argparse.Namespace,
    name: str = "",
    weights: str = "random",
    dtype: str = "auto",
) -> Path:
    from aqa_cache.clips.rule import ClipRule
    from aqa_cache.extraction.run import ExtractionConfig, extract

    path = folder / f"feats-{backbone}{name}.h5"
    preprocess = "mtl-aqa" if weights == "random" else "weights"
    rule = ClipRule(window=103)
    config = ExtractionConfig(
        backbone,
        weights,
        preprocess=preprocess,
        size=options.size,
        clip_rule=rule,
        dtype=dtype,
        device=options.device,
    )
    extract(folder / "videos", path, config)
    return path


def bench_roundtrip(
    options: argparse.Namespace, folder: Path, keep: Callable[[list[str]], None]
) -> list[str]:
    """The section's lines; `keep` is given them after every row."""
    import torch

    from aqa_cache.cache_file.reader import FeatureCache
    from aqa_heads import FineTuning, TrainingConfig, fine_tune, predict

    lines = [
        (
            f"{options.dives} + {TEST} synthetic dives of 6 clips at {options.size} px, random weights,"
            f" baseline, {options.epochs} epochs in steps of 4, float32. Then the backbone's features of all"
            " dives by extraction, and the run's heads on them. Deviation: the largest of any dive's"
            " predicted score, over the standard deviation of the predicted scores. Aim: at most 0.001 from a"
            " float32 cache."
        ),
        "",
        "| backbone | cache | largest deviation / std | Spearman, run's and cache's predictions |",
        "|---|---|---|---|",
    ]
    for backbone in ("s3d", "c3d"):
        features = cache_of(folder, backbone, options)
        tuning = FineTuning(folder / "videos", backbone_lr=1e-5)
        run = fine_tune(
            TrainingConfig(
                features,
                "2" if backbone == "s3d" else "baseline",
                epochs=options.epochs,
                batch_size=4,
                tasks=("score", "classes"),
                validation=0.3,
                out=folder / "runs",
                overwrite=True,
                device=options.device,
                fine_tuning=tuning,
            ),
            on_epoch=print,
        )
        mine = {row["sample_id"]: float(row["predicted_score"]) for row in run.predictions}
        model = run.load_model()
        for dtype in ("float32", "float16"):
            again = cache_of(folder, backbone, options, f"-tuned-{dtype}", str(run.folder), dtype)
            with FeatureCache(again) as cache:
                said = predict(
                    model, [torch.from_numpy(cache.features(index)) for index in range(len(cache))]
                ).score
                true = np.array([mine[sample.sample_id] for sample in cache.samples])
            from scipy.stats import spearmanr

            lines.append(
                f"| {backbone} | {dtype} | {np.abs(said - true).max() / true.std():.1e} |"
                f" {spearmanr(said, true).statistic:.6f} |"
            )
            print(lines[-1], flush=True)
            keep(lines)
    return lines


def bench_exp7(options: argparse.Namespace, folder: Path, keep: Callable[[list[str]], None]) -> list[str]:
    from aqa_heads import read_run

    features = cache_of(folder, options.backbone, options)
    lines = [
        (
            f"`aqa-train --end-to-end --exp 7` as a whole process: {options.backbone.upper()} at"
            f" {options.size} px, score, classes and captions, one epoch of {options.dives} dives of 6 clips,"
            f" steps of 16 dives, evaluation and all files. Aim: {LIMIT / 2**30:.0f} GiB. Peak: of the"
            " process on the CPU, of the allocated tensors on a GPU."
        ),
        "",
        "| | clips at a time | parameters | words | peak | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for run_name in options.runs:
        name, chunk, more = EXP7[run_name]
        command = [
            sys.executable,
            "-m",
            "aqa_cli.train",
            "--end-to-end",
            "--features",
            features,
            "--videos",
            folder / "videos",
            "--exp",
            "7",
            "--batch-size",
            16,
            "--epochs",
            1,
            "--clip-chunk",
            chunk,
            "--validation",
            0.25,
            "--no-meteor",
            "--overwrite",
            "--device",
            options.device,
            "--out",
            folder / f"exp7-{chunk}",
            *more,
            *(("--encoder-hidden", options.encoder_hidden) if options.encoder_hidden else ()),
            *(("--vocabulary", options.vocabulary) if options.vocabulary else ()),
        ]
        subprocess.run([*map(str, command)], check=True)
        run = read_run(next((folder / f"exp7-{chunk}").glob("exp7*")))
        lines.append(
            f"| {name.format(run.config['encoder_hidden'])} | {chunk} | {run.summary['parameters']:,}"
            f" | {len(run.vocabulary):,} | {run.summary['peak_memory_bytes'] / 2**30:.2f} GiB"
            f" | {run.summary['seconds']['total']:.0f} |"
        )
        print(lines[-1], flush=True)
        keep(lines)
    return lines


if __name__ == "__main__":
    main()
