"""What is shown of an extraction into a place."""


def place_summary(result, config) -> None:
    """A table of what one process did.

    Args:
        result: an `aqa_cache.fleet.driver.PlaceExtraction`; config: of it.
    """
    from rich.table import Table

    from .console import console

    table = Table(title=result.url, title_justify="left", show_header=False)
    shard = f" of shard {config.shard}" if config.shard.count > 1 else ""
    earlier = f", {result.reused} of them earlier" if result.reused else ""
    table.add_row("samples", f"{result.done} of {result.samples}{shard}{earlier}")
    if result.failures:
        table.add_row("without features", f"{len(result.failures)} failed")
    seconds = result.seconds - result.loading_seconds
    rate = f" ({result.clips / seconds:.1f} a second)" if result.clips else ""
    table.add_row(
        "clips", f"{result.clips} in {seconds:.1f} s{rate}, after {result.loading_seconds:.1f} s of loading"
    )
    table.add_row("parts", f"{result.parts} put")
    table.add_row("features", f"{result.meaning.backbone}, {result.meaning.dim} values per clip")
    table.add_row("weights", f"{result.meaning.weights}, SHA-256 {result.meaning.weights_sha256[:12]}…")
    table.add_row("fingerprint", result.meaning.fingerprint[:12] + "…")
    console().print(table)
