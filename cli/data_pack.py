"""aqa-data pack: a trained model as one file, to be taken elsewhere."""

import click

from aqa_cli.command import command
from aqa_cli.errors import handle_errors
from aqa_cli.options import PathName
from aqa_cli.terminal import print_line


@command(
    "pack",
    epilog="""\b
Example:
  aqa-data pack runs/default model.zip
  aqa-data pack runs/default model.zip --with-backbone --without-neighbours
""",
)
@click.argument("run", type=PathName())
@click.argument("output", metavar="MODEL.zip", type=PathName())
@click.option(
    "--with-backbone",
    is_flag=True,
    help="Take the backbone's weights along (safetensors); else they are found or downloaded there.",
)
@click.option(
    "--without-neighbours",
    is_flag=True,
    help="Leave out ids, captions, marks and features of training samples, and what is made of them.",
)
@click.option("--weights", metavar="NAME|PATH|RUN", help="Backbone weights of the run, if not found.")
@handle_errors
def pack_command(run, output, with_backbone, without_neighbours, weights):
    """Pack RUN into one file: aqa-score MODEL.zip VIDEO scores with it on any machine, to the same points.

    RUN is a run folder, or a folder of runs or a quoted pattern that differ only in seed or fold. What the
    file contains of people is listed.
    """
    from aqa_heads.scoring.packing import pack

    holds = pack(
        run, output, with_backbone=with_backbone, without_neighbours=without_neighbours, weights=weights
    )
    print_line(f"Written: {output} ({output.stat().st_size / 1e6:.1f} MB). It contains of people:")
    for line in holds or ("nothing",):
        print_line(f"  {line}")
    print_line(f"There: aqa-score {output.name} VIDEO")
