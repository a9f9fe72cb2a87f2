"""What is shown of an extraction into a place."""

import sys
from typing import NoReturn

from aqa_cache.logs import log_failures

from .extraction_summary import add_features, add_work
from .terminal import say


def end_of_place(result, config, stop) -> NoReturn:
    """What a process that put parts says at its end, and its exit code."""
    place_summary(result, config)
    log_failures(result.failures)
    if result.stopped and stop.is_set():
        say("Stopped. What is done is put; run the same command again to go on.")
        sys.exit(stop.exit_code or 1)
    say(f"When all processes have ended: aqa-data merge {result.url} feats.h5")
    # Of several processes the merge tells what failed: a scheduler ends all at the first that fails.
    sys.exit(1 if result.failures and config.shard.count == 1 else 0)


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
    add_work(table, result)
    table.add_row("parts", f"{result.parts} put")
    add_features(table, result.spec)
    console().print(table)
