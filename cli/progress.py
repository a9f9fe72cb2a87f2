"""What a person sees while a command works."""

import contextlib
from collections.abc import Callable, Iterator

import click


def say(line: str) -> None:
    """One line that a person should know, on stderr, so that a result on stdout stays clean."""
    click.echo(line, err=True)


@contextlib.contextmanager
def extraction_progress() -> Iterator[Callable]:
    """A bar with clips per second and time left; nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("clips"), TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("extracting", total=None, rate="")

        def update(state) -> None:
            elapsed = bar.tasks[0].elapsed or 0
            rate = f"{state.clips / elapsed:.1f}/s" if elapsed and state.clips else ""
            bar.update(task, completed=state.clips, total=state.clips_total, rate=rate)

        yield update
