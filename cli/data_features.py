"""aqa-data import-features and export: features of other programs in, features of a cache out."""

import sys

import click

from aqa_cli.command import command
from aqa_cli.errors import handle_errors
from aqa_cli.options import PathName, columns_option
from aqa_cli.terminal import print_line, say


@command(
    "import-features",
    epilog=(
        "\b\nExample:\n  aqa-data import-features i3d/ feats.h5 --annotations annotations.csv --backbone i3d"
    ),
)
@click.argument("source", metavar="SRC", type=PathName())
@click.argument("output", metavar="FEATS.h5", type=PathName())
@click.option("--annotations", required=True, type=PathName(), help="Annotations table of the samples.")
@columns_option
@click.option(
    "--backbone", required=True, metavar="NAME", help="What made the features, such as i3d or videomae-b."
)
@click.option("--clip-len", type=int, help="Frames in a clip, if known.")
@click.option(
    "--clip-stride",
    type=int,
    help=(
        "Frames from clip to clip, if known; clip K then begins at start_frame + K strides. Otherwise no clip"
        " has a frame number."
    ),
)
@click.option(
    "--view",
    "views",
    multiple=True,
    metavar="NAME",
    help="Also read SAMPLE_ID@NAME as a view of the sample, such as flip. May be given several times.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float16", "float32"]),
    default="auto",
    show_default=True,
    help="Of the stored features. auto changes none: float16 if it holds every value exactly.",
)
@click.option(
    "--allow-missing", is_flag=True, help="Write samples without features as failed; the exit code is 1."
)
@click.option("--ignore-surplus", is_flag=True, help="Leave out features that belong to no sample.")
@click.option("--force", is_flag=True, help="Overwrite FEATS.h5.")
@handle_errors
def import_features(source, output, annotations, **options):
    """Make a feature cache of features you have.

    SRC is a folder with one .npy, .npz or .pt file per sample, named SAMPLE_ID.npy (a / in the sample_id is a
    subfolder), or one .npz or HDF5 file with an array per sample, named SAMPLE_ID. Each array holds
    floating-point numbers of shape (clips, dim), or (dim,) for one clip. Any dim will do if all have the
    same; samples may have any number of clips. A pickle is not opened: docs/tutorials/own_features.md says
    how to convert one.

    What the files do not say is recorded as not known. Features of another --backbone, dim or clip rule get
    another fingerprint, which is all that tells them apart later, so name what really made them.

    Exit code: 0 done; 1 done, but samples without features are written as failed; 2 nothing is written.
    """
    from aqa_cache.errors import some
    from aqa_cache.exchange import importing as feature_import
    from aqa_cli.console import console, line

    with console(stderr=True).status(line(f"Reading {source} …")):
        done = feature_import.import_features(source, output, annotations, **options)
    print_line(
        f"Wrote {done.path}: {done.samples - len(done.missing):,} of {done.samples:,} samples with features,"
        f" {done.clips:,} clips of {done.spec.dim:,} values ({done.spec.backbone}, {done.dtype}),"
        f" fingerprint {done.spec.fingerprint[:12]}…"
    )
    if done.rounded:
        say("Some values were float64 and are rounded to float32.")
    if done.surplus:
        say(f"{len(done.surplus)} array(s) of no sample are left out: {some(done.surplus)}")
    if done.missing:
        say(f"{len(done.missing)} sample(s) have no features: {some(done.missing)}")
        sys.exit(1)


@command(epilog="\b\nExample:\n  aqa-data export feats.h5 features/")
@click.argument("features", metavar="FEATS.h5", type=PathName())
@click.argument("folder", metavar="DIR", type=PathName())
@click.option(
    "--force",
    is_flag=True,
    help="Write into DIR though it is not empty. Files of the same names are replaced, others stay.",
)
@handle_errors
def export(features, folder, force):
    """Write the features of a cache as .npy files.

    DIR gets SAMPLE_ID.npy of shape (clips, dim) for every sample (a / in the sample_id makes a subfolder),
    SAMPLE_ID@VIEW.npy for every further view, annotations.csv, and provenance.json, which says what made the
    features. The values are those of the cache to the bit. aqa-data import-features reads all of it back but
    the provenance.
    """
    from aqa_cache.errors import some
    from aqa_cache.exchange.exporting import export_features
    from aqa_cli.console import console, line

    with console(stderr=True).status(line(f"Writing {folder} …")):
        done = export_features(features, folder, force=force)
    print_line(f"Wrote {done.folder}: {done.files:,} arrays ({done.dtype}), annotations.csv, provenance.json")
    if done.failed:
        say(
            f"{len(done.failed)} sample(s) have no features, so no file: {some(done.failed)}. To read DIR"
            " back, aqa-data import-features needs --allow-missing."
        )
