"""Options that several commands have."""

import click

from aqa_cache.extraction.configuration import DTYPES

dtype_option = click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    default="auto",
    show_default=True,
    help="Type of the stored features; auto: float16 unless a value does not fit, then float32.",
)
