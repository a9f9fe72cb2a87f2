"""What is shown of an extraction into a cache."""

from aqa_cache.clips.rule import FROM_END


def extraction_summary(result, config) -> None:
    """A table of what one process did.

    Args:
        result: an `aqa_cache.Extraction`; config: of it.
    """
    from rich.table import Table

    from .console import console

    table = Table(title=str(result.path), title_justify="left", show_header=False)
    shard = f" of shard {config.shard}" if config.shard.count > 1 else ""
    earlier = f", {result.reused} of them earlier" if result.reused else ""
    if result.dtype is None:
        done = "stopped" if result.stopped else "done"
        table.add_row("samples", f"{result.samples}{shard}, {done}{earlier}; not published")
    else:
        table.add_row("samples", f"{result.samples}{shard}{earlier}")
        unavailable = len(result.failures) + result.missing
        if unavailable:
            table.add_row(
                "without features", f"{len(result.failures)} failed, {result.missing} not extracted yet"
            )
    add_work(table, result)
    if config.clip_rule.last_clip == FROM_END:
        table.add_row(
            "last clip", "ends with the sample's last frame, where frames are left over (--last-clip)"
        )
    add_features(table, result.spec, f", {result.dtype}" if result.dtype else "")
    console().print(table)


def add_work(table, result) -> None:
    """The row of how much was made, and how fast."""
    seconds = result.seconds - result.loading_seconds
    rate = f" ({result.clips / seconds:.1f} a second)" if result.clips else ""
    table.add_row(
        f"{_row(result.spec)}s",
        f"{result.clips} in {seconds:.1f} s{rate}, after {result.loading_seconds:.1f} s of loading",
    )


def add_features(table, spec, stored: str = "") -> None:
    """The rows of what the features are."""
    table.add_row("features", f"{spec.backbone}, {spec.dim} values per {_row(spec)}{stored}")
    table.add_row("weights", f"{spec.weights}, SHA-256 {spec.weights_sha256[:12]}…")
    table.add_row("fingerprint", spec.fingerprint[:12] + "…")


def _row(spec) -> str:
    """What a row of features stands for."""
    return "clip" if spec.step is None else "time step"
