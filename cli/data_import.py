"""aqa-data import: a dataset's own annotations, converted by a function of yours."""

import click

from aqa_cli.annotations_table import check_table, table_options
from aqa_cli.command import command
from aqa_cli.errors import handle_errors
from aqa_cli.options import PathName
from aqa_cli.terminal import print_line


@command(
    "import", epilog="\b\nExample:\n  aqa-data import my_dataset:read release/ -o videos/annotations.csv"
)
@click.argument("importer", metavar="NAME|MODULE:ATTRIBUTE")
@click.argument("source", metavar="SRC", type=PathName(exists=True))
@table_options
@handle_errors
def import_command(importer, source, output, force):
    """Write the annotations table of a dataset that a function of yours reads from SRC.

    The function takes the path and gives one aqa_cache.Sample for each action to be scored; it is named as
    MODULE:ATTRIBUTE, found here or where Python looks for modules, or comes with an installed package
    (docs/extending.md).
    """
    from aqa_cache.annotations import read_annotations, write_annotations
    from aqa_cache.datasets.importers import import_samples
    from aqa_cache.disk.atomic import replacing

    check_table(output, force)
    samples = import_samples(importer, source)
    with replacing(output) as temporary:
        write_annotations(temporary, samples)
        read_annotations(temporary)  # what could not be read again is said before it takes the name
    print_line(f"Wrote {output}: {len(samples):,} rows.")
