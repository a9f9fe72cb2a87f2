"""Runs that are not finished: being trained, or interrupted."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..runs.folder import HIDDEN_END, PROGRESS
from ..runs.record import read_json
from ..runs.schema import PROGRESS as PROGRESS_KINDS
from .results import DEEPEST


@dataclass(frozen=True)
class Unfinished:
    """A run that is being trained, or was interrupted.

    Args:
        name: of its folder to be.
        epoch, epochs: how far it is; None before its first epoch is done.
        validation: Spearman of the last epoch on the validation samples, where there is one.
        changed: when it was last heard of, in seconds since 1970.
    """

    name: str
    epoch: int | None
    epochs: int | None
    validation: float | None
    changed: float


def find_unfinished(folders: Sequence[str | Path]) -> list[Unfinished]:
    """Those among these folders and at most `DEEPEST` levels below them, by name."""
    found = {
        path.resolve(): _read(path) for folder in folders for path in _hidden_below(Path(folder), DEEPEST)
    }
    return sorted(found.values(), key=lambda run: run.name)


def _hidden_below(folder: Path, levels: int) -> Iterator[Path]:
    try:
        items = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError:  # find_runs says so
        return
    for item in items:
        if item.is_symlink() or not item.is_dir():
            continue
        if item.name.startswith(".") and item.name.endswith(HIDDEN_END):
            yield item
        elif levels > 1 and not item.name.startswith("."):
            yield from _hidden_below(item, levels - 1)


def _read(folder: Path) -> Unfinished:
    """What it says of itself; of a run that has said nothing yet, its name."""
    name, said, changed = folder.name.removeprefix(".").removesuffix(HIDDEN_END), {}, 0.0
    try:
        changed = os.stat(folder).st_mtime
        said = read_json(folder / PROGRESS, PROGRESS_KINDS)
        changed = os.stat(folder / PROGRESS).st_mtime
    except (OSError, ValueError):  # not there yet, or finished at this moment
        pass
    return Unfinished(name, said.get("epoch"), said.get("epochs"), said.get("val_spearman"), changed)
