"""aqa-demo: the whole path on synthetic dives."""

import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import click

from aqa_cache.errors import AqaError
from aqa_cli.command import command
from aqa_cli.errors import handle_errors
from aqa_cli.options import PathName
from aqa_cli.progress import extraction_progress
from aqa_cli.terminal import logged_lines, say
from aqa_cli.train import train_and_print
from aqa_heads.settings.experiments import EXPERIMENTS
from aqa_heads.settings.training import TrainingConfig

FRAME_SIZE = 112
SCORING = "default"  # name of the run that scores a new dive


@dataclass(frozen=True)
class Plan:
    """How much to do.

    Args:
        backbones: whose features each experiment is run on.
    """

    train_dives: int
    test_dives: int
    events: int
    epochs: int
    batch_size: int
    backbones: dict[str, str]


# Enough competitions for intervals that count whole ones: nine to train on at 90 %.
DEFAULT = Plan(48, 24, 18, epochs=12, batch_size=8, backbones=dict.fromkeys([*EXPERIMENTS, "ridge"], "s3d"))
FULL = Plan(
    140,
    50,
    10,
    epochs=100,
    batch_size=16,
    backbones={name: row.backbone for name, row in EXPERIMENTS.items()} | {"ridge": "c3d"},
)


# With --pose.
_POSE_ROWS = {"pose-dct-svr": "pose-dct", "pose-dct-svr-normalised": "pose-dct-torso"}


@command(epilog="Example: aqa-demo --out aqa-demo --epochs 5")
@click.option(
    "--out",
    type=PathName(),
    default=Path("aqa-demo"),
    show_default=True,
    help="Folder for everything.",
)
@click.option(
    "--full",
    is_flag=True,
    help=(
        "The paper's sizes: 140 + 50 dives, C3D where Table 1 says so, up to 100 epochs. An hour or more on a"
        " CPU."
    ),
)
@click.option("--epochs", type=click.IntRange(1), help="Other than the default.")
@click.option(
    "--batch-size", type=click.IntRange(1), help="Samples per training step, other than the default."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="Of the dives and of the training.",
)
@click.option(
    "--seeds", type=click.IntRange(1), default=1, show_default=True, help="Trainings per experiment."
)
@click.option(
    "--weights",
    multiple=True,
    metavar="NAME|PATH|published",
    default=("random",),
    show_default=True,
    help=(
        "Backbone weights: published names or paths, given once per backbone, or 'published' to download"
        " them."
    ),
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …")
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    help="Of the CPU, in every step; fewer where other programs run.  [default: all cores]",
)
@click.option(
    "--pose",
    is_flag=True,
    help="Also write the divers' joints, and train Pose+DCT+SVR and its normalised form.",
)
@handle_errors
def main(out, full, epochs, batch_size, seed, seeds, weights, device, threads, pose):
    """Render synthetic dives as video, extract features, run all eight experiments of the paper, and write a
    report.

    The dives are judged by what can be seen in them, so there is something to learn, but nothing here was
    filmed: the numbers show that the tool works, not how well anybody dives.
    """
    from aqa_cache.datasets.synthetic_dives import render_broadcasts
    from aqa_cache.weights.resolving import choose_for
    from aqa_heads.report.writing import write_report
    from aqa_heads.scoring.stills import sample_stills
    from aqa_heads.table import Table

    started = time.monotonic()
    plan = FULL if full else DEFAULT
    plan = replace(plan, epochs=epochs or plan.epochs, batch_size=batch_size or plan.batch_size)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AqaError(
            f"{out}: cannot be made as a folder ({error.strerror}); choose another place with --out"
        ) from None

    for backbone in dict.fromkeys(plan.backbones.values()):
        # a mistake in --weights is better said before the rendering than after it
        choose_for(backbone, weights)

    say(
        f"1/5  Rendering {plan.train_dives + plan.test_dives} dives in {plan.events} broadcasts to"
        f" {out / 'videos'}"
    )
    render_broadcasts(
        out / "videos",
        train_dives=plan.train_dives,
        test_dives=plan.test_dives,
        events=plan.events,
        seed=seed,
        workers=threads,
    )
    caches = {backbone: out / f"feats-{backbone}.h5" for backbone in dict.fromkeys(plan.backbones.values())}
    for backbone, cache in caches.items():
        say(f"2/5  Extracting {backbone.upper()} features at {FRAME_SIZE} px to {cache}")
        _extract(out / "videos", cache, backbone, weights, device, threads)
    if pose:
        say(f"     Writing the divers' joints to {out / 'keypoints'}, and features of them")
        plan = replace(plan, backbones=plan.backbones | _POSE_ROWS)
        caches |= _write_keypoints(out, plan, seed)
    say(
        f"3/5  Training {len(plan.backbones)} experiments and the default model, at most {plan.epochs} epochs"
        f" each, {plan.batch_size} dives per step"
    )
    shared = {"device": device, "threads": threads, "meteor": full, "out": out / "runs", "overwrite": True}
    runs = train_and_print(Table(_configs(plan, caches, seed, seeds, shared)))
    say("4/5  Writing the report")
    report = write_report(
        [run.folder for run in runs],
        out / "report.html",
        "Eight experiments on synthetic dives",
        _preface(plan, runs),
        stills=lambda names, caches: sample_stills(names, caches, out / "videos"),
    )
    say("5/5  Scoring a dive that was rendered for that")
    page = _score_new_dive(out, runs[-1], seed, device)
    say(f"Done in {_minutes(time.monotonic() - started)}. Open {report} and {page}")


def _configs(
    plan: Plan, caches: dict[str, Path], seed: int, seeds: int, shared: dict
) -> list[TrainingConfig]:
    """A row for each experiment, and the model that one takes for videos of one's own; captions take
    minutes.
    """
    configs = [
        TrainingConfig(
            caches[backbone],
            name,
            epochs=plan.epochs,
            batch_size=plan.batch_size,
            seed=seed + number,
            **shared,
        )
        for name, backbone in plan.backbones.items()
        for number in range(seeds)
    ]
    own = replace(configs[0], experiment="default", name=SCORING, tasks=("score", "classes"), seed=seed)
    return [*configs, own]


def _write_keypoints(out: Path, plan: Plan, seed: int) -> dict[str, Path]:
    """Where the joints of the rendered dives are, and the caches that the pose rows train on, by backbone."""
    from aqa_cache.datasets.synthetic_dives import write_keypoints
    from aqa_cache.keypoints.importing import import_keypoints
    from aqa_cache.keypoints.sample_features import KeypointOptions

    write_keypoints(
        out / "keypoints",
        train_dives=plan.train_dives,
        test_dives=plan.test_dives,
        events=plan.events,
        seed=seed,
    )
    caches = {}
    for backbone in _POSE_ROWS.values():
        caches[backbone] = out / f"feats-{backbone}.h5"
        options = KeypointOptions(backbone.removeprefix("pose-"))
        table = out / "videos" / "annotations.csv"
        import_keypoints(out / "keypoints", caches[backbone], table, options, force=True)
    return caches


def _score_new_dive(out: Path, run, seed: int, device: str) -> Path:
    """Render a competition that no run knows, and score the first dive of it; the page that shows it."""
    from aqa_cache.annotations import read_annotations
    from aqa_cache.datasets.synthetic_dives import render_broadcasts
    from aqa_cli.score_shown import show
    from aqa_heads.scoring.page.writing import check_pages, write_pages
    from aqa_heads.scoring.table import score_table
    from aqa_heads.scoring.writing import write_scores

    check_pages(out / "scores")
    table = render_broadcasts(
        out / "new", train_dives=1, test_dives=1, events=2, seed=(seed + 1) % 2**31, workers=1
    )
    dive = read_annotations(table)[0]
    # Under a name of its own: a run takes a video of the same name for the one that it learned from.
    video = shutil.copyfile(out / "new" / dive.video, out / "new-dive.mp4")
    scored = score_table(run.folder, [video], dive.start_frame, dive.end_frame, device=device)
    show(scored)
    files = write_scores(scored, out / "scores", [str(run.folder)])
    say(f"     The judges gave {dive.final_score:g} points. Written: {', '.join(map(str, files))}")
    say(f"     Your own: aqa-score {run.folder} VIDEO --start T --end T -o scores/")
    return write_pages(scored, out / "scores")


def _preface(plan: Plan, runs) -> list[str]:
    paragraphs = [
        (
            f"{plan.train_dives} dives to train on and {plan.test_dives} to test, of other competitions,"
            " rendered as video and judged by seven synthetic judges who saw only the faults that the"
            " picture shows. Nothing here was filmed."
        ),
        (
            f"Every experiment was trained for at most {plan.epochs} epochs in steps of {plan.batch_size}"
            f" dives, on features of clips of 16 frames at {FRAME_SIZE} px. Of the training dives,"
            f" {runs[0].summary['n_val']} of other competitions chose the epoch; the test dives were looked"
            " at once."
        ),
    ]
    paragraphs.append(
        "The default model stands beside the experiments, trained on scores and classes alone: every training"
        " dive was held out once, then it was trained on all of them. It scores the new dive at the end."
    )
    if any(name in plan.backbones for name in _POSE_ROWS):
        paragraphs.append(
            "The rows of poses have the divers' joints as the renderer knows them, without an estimator's"
            " errors; where a joint is under water it is not seen, and its last place is held."
        )
    if plan.backbones | _POSE_ROWS != FULL.backbones | _POSE_ROWS:
        paragraphs.append(
            "The short form of the demonstration: all rows of videos use S3D features, also those for which"
            f" Table 1 says C3D, and train for at most {plan.epochs} epochs where the paper has"
            f" {FULL.epochs}. aqa-demo --full has the paper's sizes, and takes an hour or more on a CPU."
        )
    if any(run.config["features"]["weights_random"] for run in runs):
        paragraphs.append(
            "aqa-demo --weights published does the same with trained backbones; it downloads their weights."
        )
    return paragraphs


def _minutes(seconds: float) -> str:
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"


def _extract(
    videos: Path, output: Path, backbone: str, weights: tuple[str, ...], device: str, threads: int | None
) -> None:
    from aqa_cache.clips.rule import MTL_AQA_WINDOW, ClipRule
    from aqa_cache.extraction.run import ExtractionConfig, extract
    from aqa_cache.machine.heap import keep_freed_memory
    from aqa_cache.weights.random_weights import RANDOM
    from aqa_cache.weights.resolving import choose_for

    chosen = choose_for(backbone, weights)
    config = ExtractionConfig(
        backbone=backbone,
        weights=chosen,
        preprocess="mtl-aqa" if chosen == RANDOM else "weights",
        size=FRAME_SIZE,
        clip_rule=ClipRule(window=MTL_AQA_WINDOW),
        device=device,
        workers=threads,
        threads=threads,
    )
    keep_freed_memory()
    with logged_lines("     "), extraction_progress() as progress:
        result = extract(videos, output, config, progress=progress)
    say(f"     {result.samples} dives, {result.clips} clips in {result.seconds:.1f} s")
    if result.failures:
        sys.exit(1)


if __name__ == "__main__":
    main()
