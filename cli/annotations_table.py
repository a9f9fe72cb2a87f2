"""The annotations table that several commands write: its options, and whether it may be written."""

from pathlib import Path

import click

from aqa_cache.annotations import FILE_NAME
from aqa_cache.errors import AqaError
from aqa_cli.options import PathName


def table_options(command):
    """`-o`, `--output` and `--force`, as `output` and `force`."""
    for option in (
        click.option("--force", is_flag=True, help="Overwrite the table if it exists."),
        click.option(
            "-o",
            "--output",
            default=FILE_NAME,
            show_default=True,
            type=PathName(dir_okay=False),
            help="The table to write.",
        ),
    ):
        command = option(command)
    return command


def check_table(output: Path, force: bool) -> None:
    """Raise an AqaError, before any work, if the table may not or cannot be written."""
    if output.exists() and not force:
        raise AqaError(f"{output} exists already; give another name with -o, or --force to overwrite it")
    if not output.parent.is_dir():
        raise AqaError(
            f"{output}: there is no folder {output.parent}; create it, or give another name with -o"
        )
