"""Where a run is written: hidden until it is finished, with what is needed to go on after an interruption."""

import contextlib
import json
import math
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aqa_cache.disk.atomic import replacing
from aqa_cache.disk.links import refuse_link
from aqa_cache.disk.locks import FileLock
from aqa_cache.errors import AqaError

from ..errors import DivergedError, RunError
from .checkpoint import read_checkpoint, write_checkpoint

_CHECKPOINT = "checkpoint.pt"
# How far an unfinished run is, for whoever watches it; at most once in so many seconds.
PROGRESS = "progress.json"
_TELL_EVERY = 5.0
HIDDEN_END = ".unfinished"
BEST = "best_{}.safetensors"
FOLD = "fold_{}.pt"
_WHILE_UNFINISHED = (_CHECKPOINT, PROGRESS, BEST.format("*"), FOLD.format("*"))
# So that saving takes no more than a twentieth of the time.
_SAVING_SHARE = 20


def check_run_folder(folder: Path, overwrite: bool, resume: bool = False) -> None:
    """Whether a run may be written to `folder`.

    Raises:
        AqaError: it, or the hidden folder beside it, is a link.
        RunError: it exists and `overwrite` was not asked for, or it is something else than a run; or a run
            that is to be written there was interrupted, and neither `overwrite` nor `resume` was asked for;
            or it cannot be looked at.
    """
    try:
        refuse_link(folder, "a run folder")
        refuse_link(hidden_folder(folder), "the folder of an unfinished run")
        if not was_interrupted(folder) or overwrite or resume:
            _check_target(folder, overwrite or resume)
            return
    except OSError as error:  # unreadable, or a name that is too long
        raise RunError(f"{folder}: cannot be looked at ({error.strerror}); choose another --out") from None
    raise RunError(
        f"{folder}: a run of this name was interrupted; give --resume to go on with it, or --overwrite to"
        " begin again"
    )


def _check_target(folder: Path, replaces: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RunError(
            f"{folder}: is a file, but a run folder is to be written there; remove it or choose another --out"
        )
    if os.path.ismount(folder):
        raise RunError(
            f"{folder}: is where a disk is mounted, which a finished run cannot replace; give an --out inside"
            " it"
        )
    if not any(folder.iterdir()):
        return
    if not (folder / "summary.json").is_file():
        raise RunError(
            f"{folder}: exists and is not a run folder (no summary.json in it); remove it or choose another"
            " --out"
        )
    if not replaces:
        raise RunError(
            f"{folder}: this run exists; give --overwrite to replace it, or another --out to keep it"
        )


def was_interrupted(folder: Path) -> bool:
    """Whether there is a checkpoint of a run that is to be written to `folder`."""
    return (hidden_folder(folder) / _CHECKPOINT).exists()


class Work:
    """The hidden folder of a run that is being trained.

    Args:
        path: the folder; it takes the run's name when the run is finished.
        seconds: between checkpoints, at least.
    """

    def __init__(self, path: Path, seconds: float):
        self.path = path
        self._seconds, self._next = seconds, time.monotonic() + seconds
        self._told = float("-inf")

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint; None if there is none.

        Raises:
            RunError: it is damaged, or cannot be read.
        """
        return self.fetch(_CHECKPOINT)

    def fetch(self, name: str) -> dict[str, Any] | None:
        """What was stored under `name`; None if nothing was.

        Raises:
            RunError: it is damaged, or cannot be read.
        """
        path = self.path / name
        return read_checkpoint(path) if os.path.lexists(path) else None

    def save(self, state: Callable[[], Mapping[str, Any]], now: bool = False) -> bool:
        """Keep `state()` as the checkpoint, if it is time or has to be `now`; whether that was so."""
        if not (now or self.due):
            return False
        self.store(_CHECKPOINT, state)
        return True

    def forget(self) -> None:
        """Remove what was stored: the run begins again, and nothing of it may go into the new one."""
        _remove(self.path, *_WHILE_UNFINISHED)

    def tell(self, epoch: int, epochs: int, val_spearman: float | None) -> None:
        """Leave a note of how far the run is, unless there is a fresh one. A disk that cannot take it does
        not stop the run.
        """
        if time.monotonic() - self._told < _TELL_EVERY:
            return
        self._told = time.monotonic()
        known = val_spearman is not None and math.isfinite(val_spearman)
        said = {"epoch": epoch, "epochs": epochs, "val_spearman": val_spearman if known else None}
        with contextlib.suppress(OSError, AqaError), replacing(self.path / PROGRESS) as temporary:
            temporary.write_text(json.dumps(said), encoding="utf-8")

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() >= self._next

    def store(self, name: str, state: Callable[[], Mapping[str, Any]]) -> None:
        """Keep `state()` under `name`, for `fetch`."""
        started = time.monotonic()
        write_checkpoint(self.path / name, state())
        ended = time.monotonic()
        self._next = ended + max(self._seconds, _SAVING_SHARE * (ended - started) if self._seconds else 0)


@contextmanager
def new_run_folder(
    folder: Path, overwrite: bool, resume: bool = False, seconds: float = 60.0
) -> Iterator[Work]:
    """A hidden folder beside `folder` that takes its place when the block ends well.

    When it does not, the hidden folder stays if it holds a checkpoint, and vanishes if it does not or if
    training diverged, which it would do again. It also stays if the run is finished and cannot take its
    place.

    Raises:
        RunError: as `check_run_folder`; another process is training this run; or nothing can be written
            there.
        AqaError: a link lies where the run, its hidden folder or its lock is to be.
    """
    check_run_folder(folder, overwrite, resume)
    hidden = hidden_folder(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f".{folder.name}.lock"))
        mine = lock.acquire(run=folder.name)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from None
    if not mine:
        raise RunError(
            f"{folder}: another process is training this run ({lock.holder()}); wait for it, or choose"
            " another --out"
        )
    finished = False
    try:
        check_run_folder(folder, overwrite, resume)  # another process may have ended just before
        if not resume or not was_interrupted(folder):
            shutil.rmtree(hidden, ignore_errors=True)
        hidden.mkdir(exist_ok=True)
        _remove(hidden, ".*.tmp")  # of a process that was killed while it wrote
        yield Work(hidden, seconds)
        _check_target(folder, overwrite or resume)
        finished = True
        _publish(hidden, folder)
    except DivergedError:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    except OSError as error:
        raise RunError(f"{folder}: the run cannot be finished: {error}") from None
    finally:
        if not finished and not was_interrupted(folder):
            shutil.rmtree(hidden, ignore_errors=True)
        lock.release()


def _remove(folder: Path, *patterns: str) -> None:
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)  # several processes may do so


def hidden_folder(folder: Path) -> Path:
    """Where a run is written until it is finished."""
    return folder.with_name(f".{folder.name}{HIDDEN_END}")


def _publish(hidden: Path, folder: Path) -> None:
    """Nothing is removed before what replaces it is in place."""
    replaced = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.old")
    there = folder.exists()
    try:
        if there:
            os.rename(folder, replaced)
        try:
            os.rename(hidden, folder)
        except OSError:
            if there:
                os.rename(replaced, folder)
            raise
    except OSError as error:
        raise RunError(
            f"{folder}: the finished run cannot be put there ({error.strerror}); it lies in {hidden}: move it"
            " to where you want it"
        ) from None
    # The run is there: what cannot be removed does no harm.
    shutil.rmtree(replaced, ignore_errors=True)
    with contextlib.suppress(OSError):
        _remove(folder, *_WHILE_UNFINISHED)
