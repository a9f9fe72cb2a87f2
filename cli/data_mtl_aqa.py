"""aqa-data mtl-aqa: the release's own annotations, converted to an annotations table."""

import statistics
import sys
from collections import Counter
from pathlib import Path

import click
from rich.table import Table

from aqa_cache.annotations import Sample, class_names, write_annotations
from aqa_cache.datasets import mtl_aqa
from aqa_cache.datasets.mtl_aqa_release import find_release, video_links
from aqa_cache.datasets.video_check import VideoCheck, check_videos
from aqa_cache.disk.atomic import replacing
from aqa_cli.annotations_table import check_table, table_options
from aqa_cli.command import command
from aqa_cli.console import console
from aqa_cli.errors import handle_errors
from aqa_cli.options import PathName
from aqa_cli.terminal import print_line, say


@command(
    "mtl-aqa", epilog="\b\nExample:\n  aqa-data mtl-aqa MTL-AQA --videos videos -o videos/annotations.csv"
)
@click.argument("release", metavar="DIR", type=PathName(exists=True, file_okay=False))
@table_options
@click.option(
    "--subset",
    metavar="NAME",
    help=(
        "Train on one of the release's smaller training sets only, such as size_140 (143 dives of video 01)."
        " Test on the official test dives that it does not contain (for size_140: 317 of 353)."
    ),
)
@click.option(
    "--paper-test",
    is_flag=True,
    help=(
        "With --subset: test on all 353 official test dives, although some are trained on (for size_140: 36)."
        " Such a dive is two rows; its test row's sample_id ends in '@test' and its column 'leak' says so."
    ),
)
@click.option(
    "--video-pattern",
    metavar="NAME",
    default=mtl_aqa.VIDEO_PATTERN,
    show_default=True,
    help="The name of a video, relative to the folder of videos, from its number.",
)
@click.option(
    "--videos",
    metavar="FOLDER",
    type=PathName(exists=True, file_okay=False),
    help=(
        "Check the videos in this folder: which are missing, not at 25 frames per second, or too short."
        " 01.mp4 may also be 01.mkv, 1.webm, … or a folder of frames (01/000001.jpg); the table then names"
        " what is there."
    ),
)
@handle_errors
def mtl_aqa_command(release, output, force, subset, paper_test, video_pattern, videos):
    """Convert the MTL-AQA release in DIR: 1,412 dives of 15 broadcasts, 1,059 to train on and 353 to test on.

    DIR is a clone of https://github.com/ParitoshParmar/MTL-AQA or a part of it that holds
    Ready_2_Use/MTL-AQA_split_0_data. Its data have no licence: do not pass the table on. The videos are on
    YouTube (Video_List.xlsx) and have to be fetched by yourself.

    The 50 test dives that Ballari et al. speak of were never published; --subset size_140 --paper-test gives
    the 353 that their logs fit.

    Judges' marks are in Raw_Annotations/*.xlsx; without these files they stay empty.

    Exit code: 0 done; 1 the table is written, but --videos found something to mend; 2 nothing is written.
    """
    if paper_test and subset is None:
        raise click.UsageError(
            "--paper-test needs --subset: with the full training set, no test dive is trained on."
        )
    check_table(output, force)

    found = find_release(release)
    conversion = mtl_aqa.convert(found, subset, paper_test, video_pattern)
    samples, check = conversion.samples, None
    if videos is not None:
        with console().status("Counting the frames of the videos …"):
            check = check_videos(samples, videos, mtl_aqa.FRAME_RATE, video_links(found))
        samples = check.samples
    with replacing(output) as temporary:
        write_annotations(temporary, samples)

    _print_summary(samples)
    on = console()
    for note in conversion.notes + (check.notes if check else []):
        on.print(f"- {note}", style="bold red" if note.startswith("LEAK") else None, soft_wrap=True)
    print_line(f"\nWrote {output}: {len(samples):,} rows.")
    if check is not None:
        _report_videos(check, videos, len({sample.video for sample in samples}))


def _print_summary(samples: list[Sample]) -> None:
    on = console()
    counts = Table(box=None, pad_edge=False)
    for title in ("split", "samples", "groups", "final_score", "captions", "judged", "leak"):
        counts.add_column(title, justify="left" if title == "split" else "right")
    splits = [
        *dict.fromkeys(
            sample.split for sample in sorted(samples, key=lambda sample: sample.split != "train")
        ),
        "all",
    ]
    for split in splits:
        rows = [sample for sample in samples if split in ("all", sample.split)]
        scores = [sample.final_score for sample in rows if sample.final_score is not None]
        counts.add_row(
            split,
            f"{len(rows):,}",
            str(len({sample.group for sample in rows})),
            f"{statistics.mean(scores):.1f} ± {statistics.pstdev(scores):.1f}" if scores else "-",
            f"{sum(sample.caption is not None for sample in rows):,}",
            f"{sum(bool(sample.judges) for sample in rows):,}",
            str(sum("leak" in sample.extra for sample in rows)),
        )
    on.print(counts, soft_wrap=True)

    labels = Table(box=None, pad_edge=False)
    labels.add_column("label")
    labels.add_column("samples by class")
    for name in class_names(samples):
        tally = Counter(sample.classes.get(name, "(none)") for sample in samples)
        labels.add_row(f"class_{name}", ", ".join(f"{key} {count:,}" for key, count in sorted(tally.items())))
    on.print()
    on.print(labels, soft_wrap=True)
    if words := [len(sample.caption.split()) for sample in samples if sample.caption]:
        print_line(
            f"\nCaptions have {min(words)} to {max(words)} words, {statistics.median(words):.0f} in the"
            " middle."
        )
    print_line("")


def _report_videos(check: VideoCheck, folder: Path, videos: int) -> None:
    if not check.missing and not check.unfit:
        print_line(f"{folder}: all {videos} videos are there and fit.")
        return
    if check.missing:
        say(
            f"\n{len(check.missing)} of {videos} videos are missing in {folder}:\n  "
            + "\n  ".join(check.missing)
        )
    if check.unfit:
        say(f"\n{len(check.unfit)} problem(s) with videos in {folder}:\n  " + "\n  ".join(check.unfit))
    sys.exit(1)
