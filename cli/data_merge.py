"""aqa-data merge: publish what the shares of an extraction have finished."""

import sys
from pathlib import Path

import click

from aqa_cli.errors import handle_errors
from aqa_cli.progress import say


@click.command(epilog="\b\nExample:\n  aqa-data merge feats.h5")
@click.argument("features", metavar="FEATS.h5", type=click.Path(path_type=Path))
@click.option(
    "--dtype", type=click.Choice(["auto", "float16", "float32"]), default="auto", show_default=True, help="Of the stored features."
)  # fmt: skip
@click.option("--allow-mixed", is_flag=True, help="Accept parts made with different devices, precisions or libraries.")
@handle_errors
def merge(features, dtype, allow_mixed):
    """Publish the parts of an extraction whose processes have ended.

    The last share of an extraction publishes by itself; this is for one that was lost. Samples that nobody has extracted
    are in the file with that as the reason; running aqa-extract again adds them.

    Exit code: 0 all samples have features; 1 some have none, each is listed; 2 nothing is written.
    """
    from aqa_cache.publishing import merge as merge_parts
    from aqa_cli.extract import say_failures

    samples, failures = merge_parts(features, dtype=dtype, allow_mixed=allow_mixed, say=say)
    click.echo(f"{features}: {samples - len(failures)} of {samples} samples.")
    say_failures(failures, samples)
    sys.exit(1 if failures else 0)
