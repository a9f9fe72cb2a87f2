"""aqa-report: the results of runs as one page."""

from pathlib import Path

import click

from aqa_cli.command import command
from aqa_cli.errors import handle_errors
from aqa_cli.options import PathName
from aqa_cli.terminal import print_line


@command(
    epilog="""\b
Example:
  aqa-report runs/ -o report.html
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
@click.option("--force", is_flag=True, help="Replace OUTPUT even if it is not an earlier report.")
@handle_errors
def main(runs: tuple[Path, ...], output: Path, title: str | None, force: bool) -> None:
    """Write the results of RUNS as one HTML page.

    RUNS are run folders that aqa-train finished, or folders that hold run folders. Runs that differ only in
    seed or fold are one row. The page shows the paper's Table 1 with results, floors and intervals, what
    differs by more than noise, curves, predicted beside true scores, groups, classes, captions, the audit,
    and where the numbers come from. It needs no network. Figures (PNG) and numbers (CSV) lie in a folder
    beside it (report_files/ for report.html).
    """
    from aqa_heads.report.writing import files_folder, write_report

    page = write_report(runs, output, title=title, force=force)
    print_line(f"Written: {page}, with its figures (PNG) and numbers (CSV) in {files_folder(page)}")
