"""aqa-bench: how fast extraction is here."""

import json
from pathlib import Path

import click

from aqa_cli.errors import handle_errors
from aqa_cli.progress import say


@click.command(epilog="Example: aqa-bench --backbone c3d --seconds 10 --json bench.json")
@click.option(
    "--backbone", type=click.Choice(["c3d", "s3d"]), default="s3d", show_default=True, help="Network to measure."
)
@click.option("--size", type=int, default=112, show_default=True, help="Side of the frames in pixels.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "bf16"]),
    default="fp32",
    show_default=True,
    help="Of the arithmetic.",
)
@click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True, help="Clips in a batch.")
@click.option("--workers", type=click.IntRange(1), help="Decoding threads; by default half the cores.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    help="Time for each measurement.",
)
@click.option(
    "--json", "json_path", metavar="FILE", type=click.Path(path_type=Path), help="Write the figures to a file as well."
)
@handle_errors
def main(backbone, size, device, precision, batch_size, workers, seconds, json_path):
    """Measure extraction on this machine: decoding, the backbone, and both together, on a generated 640x360 H.264 video.

    Beside every rate stands what the machine could do: its matrix-product rate, measured in the same run with the same precision
    and threads. Weights are random; speed does not depend on them.
    """
    from aqa_cache.atomic import replacing
    from aqa_cache.errors import AqaError
    from aqa_cache.extraction import ExtractionConfig
    from aqa_cache.throughput import measure

    if json_path and not json_path.parent.is_dir():
        raise AqaError(f"{json_path}: the folder {json_path.parent} does not exist; make it first")
    config = ExtractionConfig(
        backbone=backbone, weights="random", size=size, device=device, precision=precision, batch_size=batch_size, workers=workers
    )  # fmt: skip
    result = measure(config, seconds, say=lambda line: say(f"measuring: {line} …"))
    _print(result)
    if json_path:
        with replacing(json_path) as temporary:
            temporary.write_text(json.dumps(result.record(), indent=2) + "\n")


def _print(result) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{result.backbone} at {result.size} px, {result.precision}, {result.device}", title_justify="left"
    )
    table.add_column("measured")
    table.add_column("rate", justify="right")
    table.add_column("of what is possible", justify="right")
    table.add_row("matrix product", f"{result.gemm_gflops:,.0f} GFLOP/s", "the ceiling")
    table.add_row(
        "backbone, as published",
        f"{result.eager_clips:.1f} clips/s",
        f"{result.eager_of_gemm:.0%} of the matrix product",
    )
    table.add_row(
        "backbone, as extracted with",
        f"{result.compute_clips:.1f} clips/s",
        f"{result.compute_of_gemm:.0%} of the matrix product",
    )
    table.add_row(
        f"decoding, {result.workers} thread(s)",
        f"{result.decode_clips:.1f} clips/s",
        f"{result.decode_frames:.0f} frames/s",
    )
    table.add_row(
        "end to end",
        f"{result.end_to_end_clips:.1f} clips/s",
        f"{result.end_to_end_of_bound:.0%} of the bound {result.bound_clips:.1f}",
    )
    Console().print(table)
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items() if version)
    click.echo(
        f"Limiting: {result.limiting}. {result.clip_gflop:.1f} GFLOP a clip, batches of {result.batch_size}, {result.threads} compute "
        f"threads, peak memory {(result.peak_memory or 0) / 2**30:.2f} GiB. {versions}."
    )


if __name__ == "__main__":
    main()
