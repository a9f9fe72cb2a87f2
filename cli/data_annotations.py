"""aqa-data import-annotations: what an annotation tool has exported as an annotations table."""

import click

from aqa_cache.annotation_tools.formats import AUTO, FORMATS
from aqa_cli.annotations_table import check_table, table_options
from aqa_cli.command import command
from aqa_cli.errors import handle_errors
from aqa_cli.options import PathName, columns_option
from aqa_cli.terminal import print_line, say


@command(
    "import-annotations",
    epilog="\b\nExample:\n  aqa-data import-annotations boris.csv -o videos/annotations.csv --videos videos/",
)
@click.argument("source", metavar="SRC", type=PathName(exists=True, dir_okay=False))
@table_options
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    default=AUTO,
    show_default=True,
    help="Of SRC. table: BORIS aggregated events, ELAN, Dartfish, Sportscode CSV, or another with a header.",
)
@columns_option
@click.option("--video", metavar="NAME", help="The video that all of SRC is of, where SRC does not name it.")
@click.option(
    "--videos",
    metavar="DIR",
    type=PathName(exists=True, file_okay=False),
    help="Folder of the videos: looked for there, and times become frames by each one's time stamps.",
)
@click.option("--tier", metavar="NAME", help="Of ELAN: the tier whose annotations are the actions.")
@click.option(
    "--frame-rate",
    type=click.FloatRange(0, 1000, min_open=True),
    metavar="N",
    help="Of Label Studio: frames per second that its player was told, if not the video's.",
)
@handle_errors
def import_annotations_command(source, output, force, kind, columns, video, videos, tier, frame_rate):
    """Write an annotations table of what an annotation tool has exported.

    Read are tables with a header (BORIS aggregated events, ELAN tab-delimited text, Dartfish, Sportscode
    CSV), Label Studio's JSON, VIA 3 (CSV or project), the XML of Sportscode, Hudl, Nacsport and LongoMatch,
    and CVAT for video 1.1. What becomes a score, a group or a class is said, and --columns says it otherwise
    (docs/annotations.md).
    """
    from aqa_cache.annotation_tools.export import Asked
    from aqa_cache.annotation_tools.importing import import_annotations
    from aqa_cache.annotations import read_table, write_annotations
    from aqa_cache.disk.atomic import replacing

    check_table(output, force)
    asked = Asked(columns, video, tier, frame_rate)
    done = import_annotations(source, kind, asked, videos)
    for note in done.notes:
        say(note)
    with replacing(output) as temporary:
        write_annotations(temporary, done.samples)
        read_table(temporary)  # what could not be read again is said before it takes the name
    count = len({sample.video for sample in done.samples})
    print_line(f"Wrote {output}: {len(done.samples):,} rows of {count:,} video(s), from {done.tool}.")
    print_line(f"Its columns: {done.columns()}.")
