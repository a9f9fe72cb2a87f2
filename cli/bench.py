"""aqa-bench: how fast extraction is here."""

import contextlib
import json
from collections.abc import Callable, Iterator

import click

from aqa_cache.backbones.names import BACKBONE_NAMES
from aqa_cache.extraction.configuration import ENGINES, PRECISIONS
from aqa_cli.command import command
from aqa_cli.errors import handle_errors
from aqa_cli.options import PathName
from aqa_cli.terminal import print_line, say

# Noise between two measurements of a quiet machine stays below this.
_DRIFT = 0.1


@command(epilog="Example: aqa-bench --backbone c3d --seconds 10 --json bench.json")
@click.option(
    "--backbone",
    metavar="NAME|hf:…|timm:…|MODULE:ATTRIBUTE",
    default="s3d",
    show_default=True,
    help=f"Network to measure, as in aqa-extract: {', '.join(BACKBONE_NAMES)}, …",
)
@click.option("--size", type=int, help="Side of the frames in pixels; by default what aqa-extract takes.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp32",
    show_default=True,
    help="Of the arithmetic.",
)
@click.option(
    "--engine", type=click.Choice(ENGINES), default="auto", show_default=True, help="As in aqa-extract."
)
@click.option(
    "--batch-size", type=click.IntRange(1), help="Clips in a batch; by default what aqa-extract takes."
)
@click.option(
    "--workers", type=click.IntRange(1), help="Decoding threads; by default what aqa-extract takes."
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    help="Time for each measurement.",
)
@click.option(
    "--peers",
    is_flag=True,
    help=(
        "Only the backbone, beside torch as published, ONNX Runtime and OpenVINO where they are installed:"
        " fp32 on the CPU, 1 and 2 threads, batches of 1 and 8."
    ),
)
@click.option(
    "--json",
    "json_path",
    metavar="FILE",
    type=PathName(),
    help="Write the figures to a file as well.",
)
@handle_errors
def main(json_path, seconds, peers, **options):
    """Measure extraction on this machine: decoding, the backbone, and both together, on a generated 640x360
    H.264 video.

    Beside every rate stands what the machine could do: its matrix-product rate (GEMM), measured in the same
    run with the same precision and threads. Weights are random; speed does not depend on them.
    """
    from aqa_cache.disk.atomic import check_target, replacing
    from aqa_cache.extraction.configuration import ExtractionConfig
    from aqa_cache.extraction.measuring.throughput import measure
    from aqa_cache.machine.heap import keep_freed_memory

    if json_path:
        check_target(json_path, "bench.json")
    asked = {name: value for name, value in options.items() if value is not None}
    keep_freed_memory()  # as aqa-extract
    config = ExtractionConfig(weights="random", **asked)
    if peers:
        _peers(config, seconds, json_path)
        return
    with _stages() as progress:
        result = measure(config, seconds, progress)
    _print(result)
    if json_path:
        with replacing(json_path) as temporary:
            temporary.write_text(json.dumps(result.record(), indent=2) + "\n", encoding="utf-8")


def _peers(config, seconds: float, json_path) -> None:
    """Measure and show the backbone in all engines that are installed."""
    from dataclasses import asdict

    from rich.table import Table

    from aqa_cache.disk.atomic import replacing
    from aqa_cache.extraction.measuring import peers

    from .console import console

    peers.check(config)
    with _stages() as progress:
        batches = (1, 8) if config.batch_size is None else (config.batch_size,)
        rows = peers.measure_peers(config, batches=batches, seconds=seconds / 5, progress=progress)
    shown = [name for name in peers.CONTENDERS if any(name in row.rates for row in rows)]
    table = Table(title=f"{rows[0].backbone} at {rows[0].size} px, fp32, clips/s", title_justify="left")
    for column in ("threads", "batch", *shown, "ours of OpenVINO"):
        table.add_column(column, justify="right")
    for row in rows:
        rates = [f"{row.rates[name]:.2f}" if name in row.rates else "–" for name in shown]
        ratio = "–" if row.of_openvino is None else f"{row.of_openvino:.2f}"
        table.add_row(str(row.threads), str(row.batch), *rates, ratio)
    console().print(table)
    print_line(", ".join(f"{package} {version}" for package, version in peers.versions().items()))
    if json_path:
        with replacing(json_path) as temporary:
            temporary.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


@contextlib.contextmanager
def _stages() -> Iterator[Callable[[str], None]]:
    """Shows what is being measured: a line that changes on a terminal, else a line each, on stderr."""
    from aqa_cli.console import console, line

    on = console(stderr=True)
    if not on.is_terminal:
        yield lambda stage: say(f"measuring: {stage} …")
        return
    with on.status("measuring …") as status:
        yield lambda stage: status.update(line(f"measuring: {stage} …"))


def _print(result) -> None:
    from rich.table import Table

    from aqa_cli.console import console

    table = Table(
        title=f"{result.backbone} at {result.size} px, {result.precision}, {result.device}",
        title_justify="left",
    )
    table.add_column("measured")
    table.add_column("rate", justify="right")
    table.add_column("beside what is possible")
    table.add_row(
        f"decode only, {_counted(result.workers, 'thread')}",
        _rate(result.decode_clips),
        f"{result.decode_frames:.0f} frames/s; {1000 * result.decode_core_seconds:.1f} ms of one core a clip",
    )
    table.add_row(
        "compute, eager reference",
        _rate(result.eager_clips),
        f"{result.eager_of_gemm:.0%} of the GEMM ceiling",
    )
    table.add_row(
        "compute, ours",
        _rate(result.compute_clips),
        f"{result.compute_of_gemm:.0%} of the GEMM ceiling, {result.compute_of_eager:.2f} times the"
        " reference",
    )
    table.add_row(
        "end to end",
        _rate(result.end_to_end_clips),
        f"{result.end_to_end_of_bound:.0%} of the bound {_rate(result.bound_clips)}",
    )
    ceiling = f"best of square matrix products: {result.gemm_size}"
    table.add_row("GEMM ceiling", f"{result.gemm_gflops:,.0f} GFLOP/s", ceiling)
    table.add_row("limiting", result.limiting, f"{result.clip_gflop:.1f} GFLOP a clip")
    on_gpu = "" if result.peak_gpu_memory is None else f"{_gib(result.peak_gpu_memory)} on the GPU"
    table.add_row("peak memory", _gib(result.peak_memory), on_gpu)
    console().print(table)
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items() if version)
    print_line(
        f"Batches of {result.batch_size}, {_counted(result.threads, 'compute thread')} on"
        f" {_counted(result.cores, 'core')}, {result.end_to_end_count} clips end to end. {versions}."
    )
    if abs(result.drift) > _DRIFT:
        say(
            f"The machine became {abs(result.drift):.0%} {'faster' if result.drift > 0 else 'slower'} while"
            " it was measured; ratios are uncertain by as much. Measure again with more --seconds, or when"
            " it has nothing else to do."
        )
    for warning in result.warnings:
        say(f"Warning: {warning}")


def _rate(clips: float) -> str:
    return f"{clips:.{1 if clips >= 10 else 2}f} clips/s"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _gib(size: int | None) -> str:
    return "not known" if size is None else f"{size / 2**30:.2f} GiB"


if __name__ == "__main__":
    main()
