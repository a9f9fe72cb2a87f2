"""What a person sees while a command works, and what has failed at its end."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import click

LINE_SECONDS, FAILURES_SHOWN = 60, 20


def say(line: str) -> None:
    """One line that a person should know, on stderr, so that a result on stdout stays clean."""
    click.echo(line, err=True)


def say_failures(failures: Sequence[tuple[str, str]]) -> None:
    """List sample_id and reason of the samples that failed, the first twenty of them."""
    if not failures:
        return
    say(f"{len(failures)} sample(s) failed:")
    for _, reason in failures[:FAILURES_SHOWN]:
        say(f"  {reason}")
    if len(failures) > FAILURES_SHOWN:
        say(f"  … and {len(failures) - FAILURES_SHOWN} more; every reason is in the file")


@contextlib.contextmanager
def extraction_progress() -> Iterator[Callable]:
    """A bar with clips per second and time left; where stderr is no terminal, a line a minute."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("clips"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("extracting", total=None, rate="")

        def update(state) -> None:
            elapsed = bar.tasks[0].elapsed or 0
            rate = f"{state.clips / elapsed:.1f}/s" if elapsed and state.clips else ""
            bar.update(task, completed=state.clips, total=state.clips_total, rate=rate)

        yield update


class _Lines:
    """One line a minute."""

    def __init__(self):
        self._started = self._told = time.monotonic()

    def __call__(self, state) -> None:
        now = time.monotonic()
        if now - self._told < LINE_SECONDS:
            return
        self._told = now
        rate = state.clips / (now - self._started)
        say(
            f"{state.samples:,} of {state.samples_total:,} samples, {state.clips:,} of {state.clips_total:,}"
            f" clips, {rate:.1f} clips/s, {(state.clips_total - state.clips) / max(rate, 1e-9) / 60:.0f} min"
            " to go"
        )
