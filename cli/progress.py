"""What a person sees while a command works."""

import contextlib
import time
from collections.abc import Callable, Iterator

from .terminal import say

LINE_SECONDS = 60


@contextlib.contextmanager
def extraction_progress(
    downloading: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext,
) -> Iterator[Callable]:
    """A bar with clips per second and time left; where stderr is no terminal, a line a minute. A download of
    weights before that has a bar, or lines, of its own.

    Args:
        downloading: gives a context in which weights are downloaded.
    """
    from aqa_cache.weights.download import watched_downloads

    from .console import console

    def inside(watcher):
        @contextlib.contextmanager
        def both(name: str) -> Iterator[Callable[[int, int | None], None]]:
            with downloading(), watcher(name) as tell:
                yield tell

        return both

    on = console(stderr=True)
    if not on.is_terminal:
        with watched_downloads(inside(download_lines)):
            yield _Lines()
        return
    with _bar(on, "extracting", _clip_columns(), rate="") as (bar, task):

        def update(state) -> None:
            elapsed = bar.tasks[0].elapsed or 0
            rate = f"{state.clips / elapsed:.1f}/s" if elapsed and state.clips else ""
            bar.update(task, completed=state.clips, total=state.clips_total, rate=rate)

        @contextlib.contextmanager
        def download_bar(name: str) -> Iterator[Callable[[int, int | None], None]]:
            bar.stop()  # a terminal has room for one at a time
            try:
                with _bar(on, name, _download_columns()) as (own, downloaded):
                    yield lambda received, total: own.update(downloaded, completed=received, total=total)
            finally:
                bar.start()

        with watched_downloads(inside(download_bar)):
            yield update


@contextlib.contextmanager
def _bar(on, name: str, columns: tuple, **fields) -> Iterator[tuple]:
    """A bar with one task, and the task."""
    from rich.progress import Progress

    with Progress(*columns, console=on, transient=True) as bar:
        yield bar, bar.add_task(name, total=None, **fields)


def _clip_columns() -> tuple:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("clips"),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )


def _download_columns() -> tuple:
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    return (
        TextColumn("downloading {task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )


def megabytes(received: int, total: int | None) -> str:
    """How much of a download has come, and how much there is, where that is known."""
    return f"{received / 1e6:.1f}{'' if total is None else f' of {total / 1e6:.1f}'} MB"


@contextlib.contextmanager
def download_lines(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Of a download, a line a minute."""
    started = told = time.monotonic()

    def tell(received: int, total: int | None) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told < LINE_SECONDS:
            return
        told = now
        say(f"{name}: {megabytes(received, total)}, {received / 1e6 / (now - started):.1f} MB/s")

    yield tell


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
        left = (state.clips_total - state.clips) / max(rate, 1e-9)
        say(
            f"{state.samples:,} of {state.samples_total:,} samples, {state.clips:,} of {state.clips_total:,}"
            f" clips, {rate:.1f} clips/s, {f'{left / 60:.0f} min' if left >= 60 else f'{left:.0f} s'} to go"
        )
