"""A progress bar for whoever asks for one, in a script or a notebook."""

from typing import Protocol

from .short_repr import cut


class Extracting(Protocol):
    """What `extract` tells: clips that are made, of an estimate of all."""

    @property
    def clips(self) -> int: ...
    @property
    def clips_total(self) -> int: ...


class Training(Protocol):
    """What `train` tells: an epoch that is over."""

    @property
    def epoch(self) -> int: ...
    @property
    def train_loss(self) -> float | None: ...


class ProgressBar:
    """A bar on stderr, or in the notebook's cell, while it is open; a context manager.

    Example::

        with ProgressBar() as bar:
            extract("videos", "feats.h5", progress=bar)
        with ProgressBar() as bar:
            run = train(TrainingConfig("feats.h5"), on_epoch=bar)
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._bar = Progress(console=Console(stderr=True))
        self._task = self._bar.add_task("", total=None)

    def __repr__(self) -> str:
        return cut(f"<ProgressBar: {self._bar.tasks[0].description or 'not begun'}>")

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def __call__(self, state: Extracting | Training) -> None:
        """Show where the work stands."""
        total = getattr(state, "clips_total", None)
        if total is not None:
            done = getattr(state, "clips", 0)
            self._bar.update(self._task, description="extracting", completed=done, total=total)
            return
        epoch = getattr(state, "epoch", 0)
        loss = "" if (lost := getattr(state, "train_loss", None)) is None else f", loss {lost:.4g}"
        self._bar.update(self._task, description=f"epoch {epoch}{loss}", completed=epoch)
