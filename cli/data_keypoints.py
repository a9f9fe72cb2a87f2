"""aqa-data import-keypoints: joints that a pose estimator found, into a feature cache."""

import sys

import click

from aqa_cache.clips.rule import DROP, LAST_CLIPS
from aqa_cache.keypoints.features import CLIPS, FORMS
from aqa_cache.keypoints.track import PERSONS, THIRDS
from aqa_cli.command import command
from aqa_cli.errors import handle_errors
from aqa_cli.options import PathName, columns_option
from aqa_cli.terminal import print_line, say

_CLIP_OPTIONS = ("clip_len", "clip_stride", "window", "last_clip")


@command(
    "import-keypoints",
    epilog="\b\nExample:\n  aqa-data import-keypoints poses/ pose.h5 --annotations annotations.csv --as dct",
)
@click.argument("source", metavar="SRC", type=PathName())
@click.argument("output", metavar="OUT.h5", type=PathName())
@click.option("--annotations", required=True, type=PathName(), help="Annotations table of the samples.")
@columns_option
@click.option(
    "--as",
    "form",
    type=click.Choice(FORMS),
    default=CLIPS,
    show_default=True,
    help=(
        "clips: a row a clip, for every encoder. dct: a row a sample, for --exp pose-dct-svr. dct-torso: the"
        " same in torso lengths, for --exp pose-dct-svr-normalised."
    ),
)
@click.option("--clip-len", type=int, default=16, show_default=True, help="Frames in a clip.")
@click.option("--clip-stride", type=int, help="Frames from clip to clip; as many as a clip has by default.")
@click.option("--window", type=int, help="Use the last N frames of each sample; by default all of it.")
@click.option(
    "--last-clip",
    type=click.Choice(LAST_CLIPS),
    default=DROP,
    show_default=True,
    help="Frames left over at the end: drop them, or add a clip that ends with the last one.",
)
@click.option(
    "--pieces",
    type=int,
    default=1,
    show_default=True,
    help="Of dct: transform so many equal parts of a sample each for itself (the original: skating 10).",
)
@click.option(
    "--third",
    type=click.Choice(THIRDS),
    help="What the third number of each joint is, where an array has three.",
)
@click.option(
    "--joints",
    metavar="SKELETON|NAME,…",
    help=(
        "The joints, in order: coco17, body25, halpe26, blazepose33, or names; by default what the files say,"
        " else by their number."
    ),
)
@click.option("--only", metavar="NAME,…", help="Use these joints alone.")
@click.option("--head", metavar="NAME", help="Joint that dct is relative to; by default head, else nose.")
@click.option("--shoulders", metavar="NAME[,NAME]", help="Upper end of the torso, where names do not tell.")
@click.option("--hips", metavar="NAME[,NAME]", help="Lower end of the torso, where names do not tell.")
@click.option(
    "--min-confidence",
    "least_confidence",
    type=float,
    default=0.0,
    show_default=True,
    help="A joint whose confidence is not above this was not found.",
)
@click.option(
    "--person",
    type=click.Choice(PERSONS),
    help="Of several people in a frame; by default there must be one.",
)
@click.option("--videos", type=PathName(), help="Folder of the videos: compare their numbers of frames.")
@click.option(
    "--allow-missing", is_flag=True, help="Write samples without usable keypoints as failed; exit code 1."
)
@click.option("--force", is_flag=True, help="Overwrite OUT.h5.")
@handle_errors
def import_keypoints(source, output, annotations, columns, videos, allow_missing, force, **options):
    """Make a feature cache of joints that a pose estimator found.

    SRC is a folder with, for each sample or each whole video, NAME.npy or NAME.npz of shape (frames, joints,
    2 or 3), a folder NAME of OpenPose's JSON files, NAME.json (AlphaPose, COCO results), NAME.csv
    (DeepLabCut) or NAME.h5 (SLEAP's analysis), NAME being the sample_id or the video without its suffix.
    Gaps are interpolated, and their share is said.

    docs/keypoints.md: what the features are, and how to get such files from MediaPipe and RTMPose.

    Exit code: 0 done; 1 done, but samples without features are written as failed; 2 nothing is written.
    """
    from aqa_cache.clips.rule import ClipRule
    from aqa_cache.errors import some
    from aqa_cache.keypoints.importing import import_keypoints
    from aqa_cache.keypoints.sample_features import KeypointOptions
    from aqa_cli.console import console, line

    clips = {name: options.pop(name) for name in _CLIP_OPTIONS}
    if clips["clip_stride"] is None:
        clips["clip_stride"] = clips["clip_len"]
    asked = KeypointOptions(clip_rule=ClipRule(**clips), **options)
    with console(stderr=True).status(line(f"Reading {source} …")):
        done = import_keypoints(
            source,
            output,
            annotations,
            asked,
            videos=videos,
            allow_missing=allow_missing,
            force=force,
            columns=columns,
        )
    for note in done.notes:
        say(note)
    print_line(
        f"Wrote {done.path}: {done.samples - len(done.failed):,} of {done.samples:,} samples, {done.rows:,}"
        f" rows of {done.spec.dim:,} values ({done.spec.backbone}) of {len(done.joints)} joints,"
        f" fingerprint {done.spec.fingerprint[:12]}…"
    )
    if done.filled:
        name, share = done.most_filled
        print_line(f"Interpolated: {done.filled:.1%} of the positions; the most in {name}, {share:.1%}.")
    if done.surplus:
        say(f"{len(done.surplus)} keypoints of no sample are left out: {some(done.surplus)}")
    if done.failed:
        say(f"{len(done.failed)} sample(s) have no features: {some(done.failed)}; aqa-data show says why")
        sys.exit(1)
