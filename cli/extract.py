"""aqa-extract: videos to a feature cache."""

import sys

import click

from aqa_cache.backbones.names import BACKBONE_NAMES, KNOWN_BACKBONES
from aqa_cache.clips.rule import CLIP_STARTS, DROP, FROM_END, LAST_CLIPS
from aqa_cache.errors import AqaError, NothingExtracted
from aqa_cache.extraction.configuration import ENGINES, ON_ERROR, PRECISIONS, PREPROCESS, TOKENS, VERIFY
from aqa_cache.video.decoding import DECODE_TIMEOUT
from aqa_cli.command import command
from aqa_cli.errors import handle_errors
from aqa_cli.options import PlaceName, cache_size_option, columns_option, dtype_option
from aqa_cli.ray_options import actors_of, ray_options

_CLIP_OPTIONS = ("clip_len", "clip_stride", "frame_step", "window", "clip_starts", "last_clip")
_EXCLUSIVE = {"clip_starts", "clip_stride"}


def _numbers(_context, _parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None or value in CLIP_STARTS:
        return CLIP_STARTS.get(value)
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is neither {' nor '.join(CLIP_STARTS)} nor a list of frame numbers such as 0,10,20"
        ) from None


def _window(_context, _parameter, value: str | None) -> int | None:
    if value is None or value == "all":
        return None
    try:
        return int(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number of frames nor 'all'") from None


@command(
    epilog="Example: aqa-extract --backbone s3d --window 103 dives/ feats.h5",
)
@click.argument("videos", type=PlaceName())
@click.argument("output", metavar="FEATS.h5|PLACE", type=PlaceName())
@click.option(
    "--backbone",
    metavar="NAME|hf:…|timm:…|MODULE:ATTRIBUTE",
    default="s3d",
    show_default=True,
    help=(
        f"Network that makes the features: {', '.join(BACKBONE_NAMES)}; one of the Hub or of a folder, as"
        " hf:facebook/vjepa2-vitl-fpc64-256 or timm:NAME (docs/backbones.md); or one of your own"
        " (docs/extending.md)."
    ),
)
@click.option(
    "--weights",
    metavar="NAME|PATH|RUN|random",
    help=(
        "Backbone weights; the default are published ones, downloaded at first use. RUN: the folder of a run"
        " of aqa-train --end-to-end, which also says which backbone, size and clips, where they are not given"
        " here."
    ),
)
@click.option(
    "--annotations",
    type=PlaceName(),
    help=(
        "Annotations table (.csv, .tsv, .xlsx), if it is not VIDEOS/annotations.csv or the only table in"
        " VIDEOS."
    ),
)
@columns_option
@click.option(
    "--window",
    callback=_window,
    metavar="N|all",
    help="Use the last N frames of each sample (MTL-AQA: 103); by default all of it.",
)
@click.option("--clip-len", type=int, default=16, show_default=True, help="Frames in a clip.")
@click.option("--clip-stride", type=int, help="Frames from clip to clip; as many as a clip has by default.")
@click.option(
    "--clip-starts",
    callback=_numbers,
    metavar="core|musdl|N,N,…",
    help=(
        "First frames of the clips instead of a stride; core: 0,10,…,80,86, musdl: 0,10,…,80,87, both of"
        " --window 103."
    ),
)
@click.option(
    "--last-clip",
    type=click.Choice(LAST_CLIPS),
    help=(
        "Where frames are left behind the last clip that fits: drop them, or add a clip that ends with the"
        " last one. By default as in FEATS.h5, if it exists; else from-end, but drop with --window,"
        " --clip-starts, --preprocess mtl-aqa and the weights of a run."
    ),
)
@click.option("--frame-step", type=int, default=1, show_default=True, help="Take every Nth frame.")
@click.option(
    "--tokens",
    type=click.Choice(TOKENS),
    default="clip",
    show_default=True,
    help="Rows of features: one a clip, or one for each time step that the network leaves inside a clip.",
)
@click.option(
    "--preprocess",
    type=click.Choice(PREPROCESS),
    default="weights",
    show_default=True,
    help="Resize and normalise as in the weights' training, or as MTL-AQA did.",
)
@click.option(
    "--size", type=int, help="Side of the frames in pixels; by default what the weights were trained on."
)
@click.option(
    "--views",
    metavar="flip,jitter=N",
    help=(
        "Also mirrored, and shifted by up to N frames; training then draws from all of them (MTL-AQA:"
        " flip,jitter=3)."
    ),
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp32",
    show_default=True,
    help="Arithmetic of the backbone; a lower one is checked against fp32 first.",
)
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="auto",
    show_default=True,
    help="What runs the backbone on a CPU; auto: OpenVINO, or as a cache was begun.",
)
@click.option(
    "--compile",
    is_flag=True,
    help="Run the backbone through torch.compile, checked against the plain one first.",
)
@click.option(
    "--deterministic", is_flag=True, help="On a GPU: only deterministic algorithms of cuDNN, somewhat slower."
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    help="Clips in a batch; by default 8 on a CPU, on a GPU the largest of 64, 32, … that its memory holds.",
)
@click.option(
    "--workers", type=click.IntRange(1), help="Decoding threads; by default as many as cores, at most 32."
)
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    help="Of the CPU that runs the backbone; fewer where other programs run.  [default: all cores]",
)
@click.option("--stream", type=int, help="Index of the video stream; by default the best one.")
@click.option(
    "--decode-timeout",
    type=click.FloatRange(0, min_open=True),
    default=DECODE_TIMEOUT,
    show_default=True,
    metavar="SECONDS",
    help="Give a video up when no new frame comes for so long.",
)
@click.option(
    "--on-error",
    type=click.Choice(ON_ERROR),
    default="skip",
    show_default=True,
    help="After a sample that fails: go on with the others, or stop.",
)
@dtype_option
@click.option(
    "--shard",
    metavar="I/N",
    help=(
        "Do shard I of N, in as many processes; by default what torchrun, an array of Slurm, PBS, LSF or AWS"
        " Batch, a Kubernetes Indexed Job, Google Batch or SkyPilot says, else everything."
    ),
)
@click.option(
    "--verify",
    type=click.Choice(VERIFY),
    default="stat",
    show_default=True,
    help=(
        "When going on, how a changed video is known: by size and date, or by content, which reads each video"
        " once more."
    ),
)
@cache_size_option
@click.option("--prune", is_flag=True, help="When going on: drop samples that are no longer asked for.")
@click.option(
    "--allow-mixed", is_flag=True, help="When going on: accept another device, precision or library version."
)
@ray_options
@handle_errors
def main(videos, output, annotations, columns, views, shard, ray, **options):
    """Put the clips of VIDEOS through a backbone, once, and keep the features in FEATS.h5.

    VIDEOS is a folder of videos (an annotations.csv, or the only table in it with a column video, is found by
    itself), one video, or a folder of folders with one image per frame. Without annotations every video is
    one sample. Running again goes on where it stopped: finished samples are kept, new and changed ones are
    added; a new video needs a row in the annotations, if there are any. Ctrl-C publishes what is done.

    VIDEOS may be a URL: s3://, gs://, az://. With the URL of a PLACE in place of FEATS.h5, on as many
    machines as there are, finished parts are put there, and aqa-data merge PLACE FEATS.h5 makes the cache.
    With --ray one command does so for a whole cluster.

    docs/extraction.md has the details of long runs, views and precision, docs/clusters.md of many machines.

    Exit code: 0 all samples have features; 1 some or all failed, and are listed; 2 nothing could be done as
    asked; 130 interrupted, 143 ended by SIGTERM.
    """
    from aqa_cache.clips.views import parse_views
    from aqa_cache.extraction.configuration import ExtractionConfig
    from aqa_cache.machine.heap import keep_freed_memory
    from aqa_cli.extraction_summary import extraction_summary
    from aqa_cli.fleet_summary import end_of_place
    from aqa_cli.interruption import Stop, stop_on_signals
    from aqa_cli.progress import extraction_progress
    from aqa_cli.terminal import say

    options = _filled(output, options)
    rule = _clip_rule(**{name: options.pop(name) for name in _CLIP_OPTIONS})
    crew = {"ray": actors_of(ray, output, shard)} if ray else {}
    shard = _shard(shard, ray)
    config = ExtractionConfig(clip_rule=rule, views=parse_views(views), shard=shard, **options)
    to_place = isinstance(output, str)
    if to_place:
        from aqa_cache.fleet.driver import extract_to_place as extract
    else:
        from aqa_cache.extraction.run import extract
    stop, then = Stop(), "put" if to_place else "published"
    keep_freed_memory()
    try:
        with (
            stop_on_signals(stop, f"the batch in flight is finished, and what is done is {then}."),
            extraction_progress(stop.nothing_under_way) as progress,
        ):
            result = extract(
                videos,
                output,
                config,
                annotations=annotations,
                columns=columns,
                progress=progress,
                stop=stop,
                **crew,
            )
    except NothingExtracted as error:
        say(f"Error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("Stopped at once. Finished samples are kept in parts; run the same command again to go on.")
        sys.exit(stop.exit_code or 130)
    if to_place:
        end_of_place(result, config, stop)
    extraction_summary(result, config)
    if result.missing:
        say(f"{result.missing} sample(s) have not been extracted yet: run the same command again to go on.")
    if result.stopped and stop.is_set():
        sys.exit(stop.exit_code)
    # What failed in a shard is told again by the one that publishes; a launcher stops all the others at the
    # first that fails.
    sys.exit(1 if result.dtype and (result.failures or result.missing) else 0)


def _filled(output, options: dict) -> dict:
    """The options, with what follows from the weights, and from the output, for those that were not given."""
    from aqa_cache.weights.resolving import find_tuned

    if all(options[name] is not None for name in _EXCLUSIVE):
        raise click.UsageError("--clip-starts and --clip-stride exclude each other; give one of them.")
    options["backbone"] = KNOWN_BACKBONES.give(options["backbone"])
    if tuned := find_tuned(options["weights"]):
        options = _as_fine_tuned(tuned, options["weights"], options)
    if options["last_clip"] is None:
        options["last_clip"] = _last_clip_of(output, _usual_last_clip(options))
    return options


def _shard(given: str | None, ray):
    from aqa_cache.extraction.shards import Shard

    if given or ray:  # a driver of actors does everything, whatever has started it
        return Shard.parse(given) if given else Shard()
    return Shard.from_environment()


def _usual_last_clip(options: dict) -> str:
    """What is taken where nothing is said of it; what others have done exactly so stays as it was."""
    as_others = options["window"] or options["clip_starts"] or options["preprocess"] != "weights"
    return DROP if as_others else FROM_END


def _last_clip_of(output, usual: str) -> str:
    """As in the cache that exists, or was begun, which is said where it is not the usual; else the usual."""
    from aqa_cache.cache_file.reader import FeatureCache
    from aqa_cache.extraction.parts import Parts
    from aqa_cache.fleet.part_place import PartPlace

    if isinstance(output, str):
        wanted = PartPlace(output).wanted()
        return _as_there(output, wanted.spec.clip_rule.get("last_clip", DROP) if wanted else usual, usual)
    begun = [output] if output.is_file() else []
    if not output.exists() and output.absolute().parent.is_dir():
        begun = Parts(output).paths()
    if not begun:
        return usual
    try:
        with FeatureCache(begun[0]) as cache:
            there = cache.spec.clip_rule.get("last_clip", DROP)
    except AqaError:  # said where it is continued
        return usual
    return _as_there(output, there, usual)


def _as_there(output, there: str, usual: str) -> str:
    from aqa_cli.terminal import say

    if there != usual:
        say(f"Not given, so as in {output}: --last-clip {there}")
    return there


def _clip_rule(clip_len, clip_stride, frame_step, window, clip_starts, last_clip):
    from aqa_cache.clips.rule import ClipRule

    starts = None if clip_starts is None else tuple(clip_starts)
    stride = clip_len if clip_stride is None else clip_stride
    return ClipRule(clip_len, stride, frame_step, window, starts, last_clip)


def _as_fine_tuned(tuned, weights: str, options: dict) -> dict:
    """The options, those that were not given as in the fine-tuning of the backbone; says which."""
    from aqa_cli.terminal import say

    source = click.get_current_context().get_parameter_source
    run = {"backbone": tuned.backbone, "size": tuned.preprocessing.crop, **tuned.clip_rule}
    given = {name for name in run if source(name) is not click.core.ParameterSource.DEFAULT}
    if "backbone" in given and options["backbone"] != tuned.backbone:
        return options  # refused by its name, not for a size that is another network's
    if "backbone" not in given and not KNOWN_BACKBONES.knows(tuned.backbone):
        raise AqaError(f"--weights {weights}: {KNOWN_BACKBONES.unknown(tuned.backbone)}")
    if given & _EXCLUSIVE:
        given |= _EXCLUSIVE
    taken = {name: value for name, value in run.items() if name not in given}
    said = [
        f"--{name.replace('_', '-')} {_as_given(value)}" for name, value in taken.items() if value is not None
    ]
    if said:
        say(f"Not given, so as in the fine-tuning of {weights}: {' '.join(said)}")
    if options["last_clip"] is None:
        taken.setdefault("last_clip", DROP)
    return options | taken


def _as_given(value: int | str | list[int]) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    main()
