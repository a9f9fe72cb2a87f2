"""aqa-data merge: publish what the shares of an extraction have finished."""

import sys

import click

from aqa_cli.command import command
from aqa_cli.errors import handle_errors
from aqa_cli.options import PathName, dtype_option
from aqa_cli.progress import say_failures
from aqa_cli.terminal import print_line, say


@command(epilog="\b\nExample:\n  aqa-data merge feats.h5")
@click.argument("features", metavar="FEATS.h5", type=PathName())
@dtype_option
@click.option(
    "--allow-mixed", is_flag=True, help="Accept parts made with different devices, precisions or libraries."
)
@handle_errors
def merge(features, dtype, allow_mixed):
    """Publish the parts of an extraction whose processes have ended.

    The last shard of an extraction publishes by itself; this is for one that was lost. Samples that nobody
    has extracted are in the file with that as the reason; running aqa-extract again adds them.

    Exit code: 0 all samples have features; 1 some have none, each is listed; 2 nothing is written.
    """
    from aqa_cache.extraction.publishing import merge as merge_parts

    published = merge_parts(features, dtype=dtype, allow_mixed=allow_mixed, say=say)
    if published is None:
        sys.exit(2)
    without = len(published.failures) + len(published.missing)
    print_line(f"{features}: {published.samples - without} of {published.samples} samples have features.")
    say_failures(published.failures)
    if published.missing:
        say(
            f"{len(published.missing)} sample(s) have not been extracted yet: run aqa-extract again to go on."
        )
    sys.exit(1 if without else 0)
