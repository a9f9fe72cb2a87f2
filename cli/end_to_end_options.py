"""The options of `aqa-train --end-to-end`."""

import click

from aqa_cache.backbones.names import KNOWN_BACKBONES
from aqa_heads.settings.fine_tuning import (
    AUGMENT,
    BACKBONE_LR,
    BATCH_NORMS,
    CLIP_CHUNKS,
    LITERAL_BACKBONE_LR,
    NO_AUGMENT,
    PRECISIONS,
    FineTuning,
)

from .command import Command
from .options import PathName
from .torchrun import let_the_first_speak, rank

END_TO_END_OPTIONS = (
    click.option(
        "--end-to-end",
        is_flag=True,
        help="Train the backbone too; needs --videos, and a GPU for all but small data.",
    ),
    click.option("--videos", type=PathName(), help="The folder that aqa-extract was given."),
    click.option(
        "--backbone",
        metavar="MODULE:ATTRIBUTE",
        help="The backbone of the cache, given again where it is one of your own (docs/extending.md).",
    ),
    click.option(
        "--weights",
        metavar="NAME|PATH|RUN|random",
        help="Where the backbone starts.  [default: the weights that made the features]",
    ),
    click.option(
        "--warm-start",
        type=PathName(),
        metavar="RUN",
        help="Take encoder, heads and captioner from a run on the same cached features.",
    ),
    click.option(
        "--backbone-lr",
        type=click.FloatRange(0, min_open=True),
        help=f"Learning rate of the backbone.  [default: {BACKBONE_LR:g}; literal: {LITERAL_BACKBONE_LR:g}]",
    ),
    click.option("--freeze-until", metavar="LAYER", help="Layers before this one keep their weights."),
    click.option(
        "--augment",
        metavar="flip,jitter=N",
        help=f"Drawn for every sample and epoch, or {NO_AUGMENT}.  [default: {AUGMENT}]",
    ),
    click.option(
        "--batch-norm",
        type=click.Choice(BATCH_NORMS),
        help="Statistics that came with the weights, or of each chunk of clips.  [default: frozen]",
    ),
    click.option(
        "--clip-chunk",
        type=click.IntRange(1),
        help=(
            "Clips in the backbone at a time; more take more memory.  "
            f"[default: {CLIP_CHUNKS['cpu']}; on a GPU {CLIP_CHUNKS['cuda']}]"
        ),
    ),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        help="Arithmetic of the backbone in training.  [default: fp32]",
    ),
    click.option(
        "--frames",
        type=PathName(),
        metavar="FILE",
        help="Where decoded frames are kept for the next run.  [default: feats.frames.h5 for feats.h5]",
    ),
    click.option("--workers", type=click.IntRange(1), help="Decoding threads.  [default: all cores]"),
    click.option(
        "--decode-timeout",
        type=click.FloatRange(0, min_open=True),
        metavar="SECONDS",
        help="Give a video up when no new frame comes for so long.  [default: 600]",
    ),
)
_NAMES = (
    "videos",
    "backbone",
    "weights",
    "warm_start",
    "backbone_lr",
    "freeze_until",
    "augment",
    "batch_norm",
    "clip_chunk",
    "precision",
    "frames",
    "workers",
    "decode_timeout",
)


class EndToEndCommand(Command):
    """A command that processes of torchrun share: the first says what is wrong with its options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if rank():
                let_the_first_speak()
                ctx.exit(error.exit_code)
            raise


def fine_tuning_of(options: dict) -> FineTuning | None:
    """Take the options of end-to-end training out of those of the command; None if it was not asked for. A
    backbone that is given is known from then on.

    Raises:
        click.UsageError: some are given without it, or it without videos.
        AqaError: a value out of its range, or no such backbone.
    """
    asked = options.pop("end_to_end")
    given = {name: value for name in _NAMES if (value := options.pop(name)) is not None}
    if not asked and given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        only, them = ("is", "it") if len(given) == 1 else ("are", "them")
        raise click.UsageError(f"{names} {only} only for --end-to-end; add that, or leave {them} out.")
    if asked and "videos" not in given:
        raise click.UsageError(
            "--end-to-end trains on the videos; give --videos, the folder that aqa-extract was given."
        )
    if (backbone := given.pop("backbone", None)) is not None:
        KNOWN_BACKBONES.give(backbone)
    return FineTuning(**given) if asked else None
