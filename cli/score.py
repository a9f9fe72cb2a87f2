"""aqa-score: scores of new videos by trained runs."""

import sys
from pathlib import Path

import click

from aqa_cli.command import command
from aqa_cli.errors import handle_errors
from aqa_cli.options import PathName


@command(
    epilog="""\b
Example:
  aqa-score runs/default dive.mp4 --start 12.4s --end 16s
  aqa-score runs/default videos/ -o scores/
  aqa-score runs/default first.mp4 second.mp4 --compare -o scores/
""",
)
@click.argument("run", type=PathName())
@click.argument("videos", metavar="[VIDEO]...", nargs=-1, type=PathName())
@click.option(
    "--start", metavar="T", help="Where the action starts: a frame's number, or seconds such as 12.4s."
)
@click.option("--end", metavar="T", help="Where it ends, likewise; that frame is not part of it.")
@click.option(
    "--difficulty", type=float, help="Of one video, where the run needs it; of several a table has it."
)
@click.option(
    "--features",
    metavar="FEATS.h5",
    type=PathName(),
    help=(
        "Score the samples of this cache. With a video: the cache that the run was trained on, for runs that"
        " do not say how their features were made."
    ),
)
@click.option(
    "--weights", metavar="NAME|PATH|RUN", help="Backbone weights that made the run's features, if not found."
)
@click.option(
    "--backbone",
    metavar="hf:…|timm:…|MODULE:ATTRIBUTE",
    help="Where such a one made the run's features: the same again, since no file is believed to name it.",
)
@click.option("--device", default="auto", show_default=True, help="Of the backbone: auto, cpu, cuda, …")
@click.option(
    "--level",
    type=float,
    default=0.9,
    show_default=True,
    help="The share of true scores that the intervals are to hold.",
)
@click.option(
    "--calibrate-by",
    default="group",
    show_default=True,
    metavar="COLUMN",
    help="Groups, or classes of this column, that have enough held-out samples get intervals of their own.",
)
@click.option(
    "--every",
    metavar="STEP",
    help=(
        "Look for the action in one long video: score a stretch every so many seconds (2s) or frames (50),"
        " and list those most like the training samples."
    ),
)
@click.option(
    "--compare", is_flag=True, help="Of two samples: the difference, and whether it is more than noise."
)
@click.option(
    "-o",
    "--output",
    type=PathName(),
    help="Folder for scores.csv, scores.json and index.html, the page to look at.",
)
@click.option("--pages/--no-pages", default=True, show_default=True, help="With -o: whether to write pages.")
@handle_errors
def main(run, videos, backbone, output: Path | None, pages: bool, **options) -> None:
    """Score each VIDEO with RUN, and say what it is made of.

    RUN is a run folder that aqa-train wrote; a folder of runs, or a quoted pattern ('runs/exp7*'), that
    differ only in seed or fold, which are averaged; a packed model.zip; or a model.safetensors. VIDEO is a
    video, a folder of videos (an annotations.csv in it is found by itself), or an annotations table. The
    features are made as those that the run learned from.

    docs/scoring.md says what the numbers mean.

    Exit code: 0 all are scored; 1 some failed, each is listed; 2 nothing could be done as asked.
    """
    from aqa_cache.backbones.names import KNOWN_BACKBONES
    from aqa_cache.machine.heap import keep_freed_memory
    from aqa_cli.progress import extraction_progress
    from aqa_cli.score_shown import show
    from aqa_cli.terminal import check_printed, print_line
    from aqa_heads.scoring.page.writing import check_pages, write_pages
    from aqa_heads.scoring.table import score_table
    from aqa_heads.scoring.writing import write_scores, writing_alone

    if output is not None and pages:
        check_pages(output)
    if backbone is not None:
        KNOWN_BACKBONES.give(backbone)
    keep_freed_memory()
    with extraction_progress() as progress:
        table = score_table(run, videos, progress=progress, **options)
    show(table)
    if output is None:
        check_printed()
    else:
        with writing_alone(output):
            for path in write_scores(table, output, [str(run)]):
                print_line(f"Written: {path}")
            if pages:
                print_line(f"Open:    {write_pages(table, output)}")
    sys.exit(1 if table.failures else 0)


if __name__ == "__main__":
    main()
