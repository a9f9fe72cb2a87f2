"""aqa-extract: videos to a feature cache."""

import sys
from pathlib import Path

import click

from aqa_cache.backbone_names import BACKBONE_NAMES
from aqa_cli.errors import handle_errors


def _batch_size(_context, _parameter, value: str) -> int | None:
    if value == "auto":
        return None
    if not value.isdigit() or not int(value):
        raise click.BadParameter(f"{value!r} is neither a number of clips from 1 up nor auto")
    return int(value)


def _numbers(_context, _parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of frame numbers such as 0,10,20") from None


@click.command(
    epilog="Example: aqa-extract --backbone s3d --window 103 dives/ feats.h5",
)
@click.argument("videos", type=click.Path(path_type=Path))
@click.argument("output", metavar="FEATS.h5", type=click.Path(path_type=Path))
@click.option(
    "--backbone",
    type=click.Choice(BACKBONE_NAMES),
    default="s3d",
    show_default=True,
    help="Network that makes the features.",
)
@click.option(
    "--weights",
    metavar="NAME|PATH|random",
    help="Backbone weights; the default are published ones, downloaded at first use.",
)
@click.option(
    "--annotations", type=click.Path(path_type=Path), help="Annotations table, if it is not VIDEOS/annotations.csv."
)
@click.option("--window", type=int, help="Use the last N frames of each sample (MTL-AQA: 103); otherwise all of it.")
@click.option("--clip-len", type=int, default=16, show_default=True, help="Frames in a clip.")
@click.option("--clip-stride", type=int, help="Frames from clip to clip; as many as a clip has by default.")
@click.option(
    "--clip-starts",
    callback=_numbers,
    metavar="N,N,…",
    help="First frames of the clips instead of a stride (CoRe: 0,10,…,80,86).",
)
@click.option("--frame-step", type=int, default=1, show_default=True, help="Take every Nth frame.")
@click.option(
    "--preprocess",
    type=click.Choice(["weights", "mtl-aqa"]),
    default="weights",
    show_default=True,
    help="What the weights were trained on, or MTL-AQA's.",
)
@click.option("--size", type=int, help="Side of the frames in pixels; by default what the weights were trained on.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "tf32", "fp16", "bf16"]),
    default="fp32",
    show_default=True,
    help="Of the backbone's arithmetic; a lower one is checked against fp32 first.",
)
@click.option("--compile", is_flag=True, help="Run the backbone through torch.compile, checked likewise.")
@click.option("--deterministic", is_flag=True, help="On a GPU: the same bits every time, somewhat slower.")
@click.option(
    "--batch-size", callback=_batch_size, default="auto", show_default=True, metavar="N|auto",
    help="Clips in a batch; auto: as many as memory holds.",
)  # fmt: skip
@click.option("--workers", type=int, help="Decoding threads; by default as many as cores.")
@click.option("--stream", type=int, help="Index of the video stream; by default the best one.")
@click.option(
    "--decode-timeout", type=float, default=600.0, show_default=True, metavar="SECONDS",
    help="Give a video up when no new frame comes for so long.",
)  # fmt: skip
@click.option(
    "--views", metavar="flip,jitter=N",
    help="Also mirrored, and shifted by up to N frames; training then draws from all of them (MTL-AQA: flip,jitter=3).",
)  # fmt: skip
@click.option(
    "--verify", type=click.Choice(["stat", "sha256"]), default="stat", show_default=True,
    help="When going on, a video has changed if its size or date has, or if its content has.",
)  # fmt: skip
@click.option(
    "--on-error", type=click.Choice(["skip", "stop"]), default="skip", show_default=True,
    help="After a sample that fails: go on with the others, or stop.",
)  # fmt: skip
@click.option(
    "--shard", metavar="I/N",
    help="Do share I of N, in as many processes; by default what torchrun or a Slurm array says, else everything.",
)  # fmt: skip
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float16", "float32"]),
    default="auto",
    show_default=True,
    help="Of the stored features.",
)
@click.option("--prune", is_flag=True, help="When going on: drop samples that are no longer asked for.")
@click.option("--allow-mixed", is_flag=True, help="When going on: accept another device, precision or library version.")
@handle_errors
def main(videos, output, annotations, window, clip_len, clip_stride, clip_starts, frame_step, views, shard, **options):
    """Put the clips of VIDEOS through a backbone, once, and keep the features in FEATS.h5.

    VIDEOS is a folder of videos (an annotations.csv in it is found by itself), one video, or a folder of folders with one image
    per frame. Without annotations every video is one sample. Running again goes on where it stopped: finished samples are kept,
    new and changed videos are added. Ctrl-C publishes what is done.

    Exit code 0: all samples done; 1: some failed, each is listed; 2: nothing could be done as asked; 130: interrupted.
    """
    from aqa_cache.clips import ClipRule
    from aqa_cache.extraction import ExtractionConfig, extract
    from aqa_cache.shares import Share
    from aqa_cache.views import parse_views
    from aqa_cli.interruption import stop_on_signals
    from aqa_cli.progress import extraction_progress, say

    rule = ClipRule(clip_len, clip_len if clip_stride is None else clip_stride, frame_step, window, clip_starts)
    if clip_starts is not None and clip_stride is not None:
        raise click.UsageError("--clip-starts and --clip-stride exclude each other; give one of them.")
    share = Share.parse(shard) if shard else Share.from_environment()
    config = ExtractionConfig(clip_rule=rule, views=parse_views(views), share=share, **options)
    try:
        with (
            stop_on_signals("the batch in flight is finished, and what is done is published.") as stop,
            extraction_progress() as progress,
        ):
            result = extract(videos, output, config, annotations=annotations, progress=progress, say=say, stop=stop)
    except KeyboardInterrupt:
        say("Stopped at once. Finished samples are kept in parts; run the same command again to go on.")
        sys.exit(130)
    _summary(result, share)
    if stop.is_set():
        say("Interrupted: run the same command again to go on.")
        sys.exit(stop.exit_code)
    sys.exit(1 if result.failures else 0)


def _summary(result, share) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=str(result.path), title_justify="left", show_header=False)
    if result.dtype is None:
        table.add_row("share", f"{share}, done; not published yet")
    else:
        done = result.samples - len(result.failures)
        earlier = f", {result.reused} of them earlier" if result.reused else ""
        table.add_row("samples", f"{done} of {result.samples} done{earlier}")
    table.add_row(
        "clips",
        f"{result.clips} in {result.seconds:.1f} s ({result.clips / max(result.seconds, 1e-9):.1f} per second, start-up included)",
    )
    table.add_row(
        "features",
        f"{result.meaning.backbone}, {result.meaning.dim} values per clip"
        + (f", {result.dtype}" if result.dtype else ""),
    )
    table.add_row("weights", f"{result.meaning.weights}, SHA-256 {result.meaning.weights_sha256[:12]}…")
    table.add_row("fingerprint", result.meaning.fingerprint[:12] + "…")
    Console().print(table)
    say_failures(result.failures, result.samples)


def say_failures(failures: list[tuple[str, str]], samples: int) -> None:
    """List the samples without features and why, the first twenty of them."""
    if not failures:
        return
    from aqa_cli.progress import say

    say(f"{len(failures)} of {samples} samples failed:")
    for _, reason in failures[:20]:
        say(f"  {reason}")
    if len(failures) > 20:
        say(f"  … and {len(failures) - 20} more; every reason is in the file")


if __name__ == "__main__":
    main()
