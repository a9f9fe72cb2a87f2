"""aqa-report: the results of runs as one page."""

import time
from pathlib import Path

import click

from aqa_cli.command import command
from aqa_cli.errors import handle_errors
from aqa_cli.options import PathName
from aqa_cli.terminal import print_line

_EVERY, _LAST_LOOKS = 30, 2  # of --watch: seconds between two looks


@command(
    epilog="""\b
Example:
  aqa-report runs/ -o report.html
  aqa-report runs/default runs/ridge theirs.csv --reference ridge
""",
)
@click.argument("runs", nargs=-1, required=True, type=PathName())
@click.option(
    "-o",
    "--output",
    default="report.html",
    show_default=True,
    type=PathName(),
    help="The page to write.",
)
@click.option("--title", help="Title of the page.")
@click.option(
    "--reference",
    metavar="ROW",
    help="The row that the others are held against: its name on the page, or a run folder of it."
    " By default the paper's baseline, else the first row.",
)
@click.option(
    "--watch",
    is_flag=True,
    help=f"Write the page again every {_EVERY} seconds, with the runs that are not finished in grey, until"
    " all are; the page reloads itself.",
)
@click.option(
    "--videos",
    type=PathName(),
    help="The folder of the videos: the samples that are furthest off get pictures.",
)
@click.option("--force", is_flag=True, help="Replace OUTPUT even if it is not an earlier report.")
@handle_errors
def main(
    runs: tuple[Path, ...],
    output: Path,
    title: str | None,
    reference: str | None,
    watch: bool,
    videos: Path | None,
    force: bool,
) -> None:
    """Write the results of RUNS as one HTML page.

    RUNS are run folders that aqa-train finished, folders that hold run folders, and CSV files with the
    predictions of other programs (columns sample_id and score), each of which is a row. Runs that differ only
    in seed or fold are one row. The page begins with the answer; it has the results with floors and
    intervals, what differs by more than noise, every test sample, groups, classes, captions, curves, the
    audit, and where the numbers come from. It needs no network. Figures (PNG, PDF) and numbers (CSV, LaTeX,
    Markdown) lie in a folder beside it (report_files/ for report.html).
    """
    from aqa_heads.report.writing import files_folder, write_report

    stills = _stills(videos) if videos is not None else None
    options = {"title": title, "force": force, "reference": reference, "stills": stills}
    if watch:
        return _watch(runs, output, options)
    page = write_report(runs, output, **options)
    print_line(f"Written: {page}, with its figures and numbers in {files_folder(page)}")


def _watch(runs: tuple[Path, ...], output: Path, options: dict) -> None:
    """Until nothing was unfinished at `_LAST_LOOKS` looks in a row: between two runs of a table nothing is.
    The last page does not reload itself.
    """
    from aqa_heads.report.unfinished import find_unfinished
    from aqa_heads.report.writing import write_report

    seen, idle = None, 0
    while (unfinished := find_unfinished(runs)) or (seen is not None and idle < _LAST_LOOKS):
        idle = 0 if unfinished else idle + 1
        if unfinished and unfinished != seen:
            page = write_report(runs, output, refresh=_EVERY, **options)
            if seen is None:
                print_line(f"Watching; Ctrl-C ends it. Open {page}")
            # The page is a report by now, which needs no force to be replaced.
            seen, options = unfinished, {**options, "force": False}
        time.sleep(_EVERY)
    page = write_report(runs, output, **options)
    print_line(f"Written: {page}; no run is unfinished")


def _stills(videos: Path):
    """Pictures of samples from their videos."""
    from aqa_cache.errors import AqaError
    from aqa_heads.scoring.stills import sample_stills

    if not videos.is_dir():
        raise AqaError(f"{videos}: is no folder, expected the videos that the features were made of")
    return lambda names, caches: sample_stills(names, caches, videos)
