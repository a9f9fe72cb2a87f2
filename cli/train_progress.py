"""What a person sees while a run trains: a bar in a terminal, lines elsewhere."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from aqa_heads.configuration import TrainingConfig

from .progress import LINE_SECONDS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from aqa_heads.end_to_end.fitting import Step
    from aqa_heads.runs import Epoch, Run


def train_showing(config: TrainingConfig, label: str, console: "Console", said: set[str]) -> "Run":
    """Train one run with its progress on the console; lines in `said` are not said again."""

    def say(line: str) -> None:
        if line not in said:
            console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
            said.add(line)

    return (_train if config.fine_tuning is None else _fine_tune)(config, label, console, say)


def _train(config: TrainingConfig, label: str, console: "Console", say: Callable[[str], None]) -> "Run":
    from aqa_heads.training import train

    if not console.is_terminal:
        return train(config, say=say, on_epoch=_EpochLines(config, label, console))
    with _progress(console, counted=True) as progress:
        task = progress.add_task(label, total=config.epochs, loss="–", what="", value="")

        def show(epoch: "Epoch") -> None:
            progress.update(task, completed=epoch.epoch, **_fields(epoch))

        return train(config, say=say, on_epoch=show)


def _fine_tune(config: TrainingConfig, label: str, console: "Console", say: Callable[[str], None]) -> "Run":
    from aqa_heads.end_to_end.training import fine_tune

    if not console.is_terminal:
        lines = _StepLines(config, label, console)
        return fine_tune(config, say=say, on_frames=lines.frames, on_step=lines.step, on_epoch=lines.epoch)
    with _progress(console, counted=False) as progress:
        task = progress.add_task(label, total=None, loss="–", what="", value="")
        rate = _Rate()

        def frames(done: int, total: int) -> None:
            progress.update(task, description=f"Decoding the frames of sample {done:,} of {total:,}")

        def step(step: "Step") -> None:
            done = f"epoch {step.epoch}/{config.epochs}, {step.clips:,} of {step.clips_total:,} clips"
            progress.update(
                task,
                description=f"{label}: {done}, {rate.of(step):.1f} clips/s",
                total=config.epochs * step.clips_total,
                completed=(step.epoch - 1) * step.clips_total + step.clips,
                loss=_number(step.loss, 3),
            )

        return fine_tune(
            config,
            say=say,
            on_frames=frames,
            on_step=step,
            on_epoch=lambda epoch: progress.update(task, **_fields(epoch)),
        )


class _Rate:
    """Clips a second since the first step of this command, which is not counted: it is slower than the others."""

    def __init__(self):
        self._started: tuple[float, int] | None = None

    def of(self, step: "Step") -> float:
        now = time.monotonic()
        self._started = self._started or (now, step.made)
        seconds, clips = now - self._started[0], step.made - self._started[1]
        return clips / seconds if seconds else 0.0


class _EpochLines:
    """A line for the first epoch and about every tenth of them."""

    def __init__(self, config: TrainingConfig, label: str, console: "Console"):
        self.config, self.label, self.console = config, label, console
        self.started, self.first = time.monotonic(), None

    def __call__(self, epoch: "Epoch") -> None:
        if self.first is None:
            self.first = epoch.epoch
        total = self.config.epochs
        every = max(1, total // 10)
        if epoch.epoch % every and epoch.epoch not in (self.first, total):
            return
        seconds = time.monotonic() - self.started
        what, value = _watched(epoch)
        left = epoch.seconds * (total - epoch.epoch)
        self.print(
            f"epoch {epoch.epoch}/{total}, loss {_number(epoch.train_loss, 3)}, {what} {_number(value, 4)}, {_time(seconds)}, "
            f"at most {_time(left)} to go"
        )

    def print(self, line: str) -> None:
        self.console.print(f"{self.label}: {line}", markup=False, highlight=False, soft_wrap=True)


class _StepLines:
    """A line a minute while frames are decoded or an epoch is under way, and those of the epochs."""

    def __init__(self, config: TrainingConfig, label: str, console: "Console"):
        self._epochs, self._lines = config.epochs, _EpochLines(config, label, console)
        self.epoch = self._lines
        self._rate, self._told = _Rate(), time.monotonic()

    def frames(self, done: int, total: int) -> None:
        if self._is_time():
            self._lines.print(f"the frames of {done:,} of {total:,} samples are decoded")

    def step(self, step: "Step") -> None:
        rate = self._rate.of(step)
        if not rate or not self._is_time():
            return
        left = (self._epochs - step.epoch + 1) * step.clips_total - step.clips
        self._lines.print(
            f"epoch {step.epoch}/{self._epochs}, {step.clips:,} of {step.clips_total:,} clips, {rate:.2f} clips/s, loss "
            f"{_number(step.loss, 3)}, {_time((step.clips_total - step.clips) / rate)} to the end of the epoch, at most "
            f"{_time(left / rate)} to go"
        )

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._told < LINE_SECONDS:
            return False
        self._told = now
        return True


def _fields(epoch: "Epoch") -> dict[str, str]:
    what, value = _watched(epoch)
    return {"loss": _number(epoch.train_loss, 3), "what": what, "value": _number(value, 4)}


def _watched(epoch: "Epoch") -> tuple[str, float | None]:
    """What is watched after an epoch, and its value: of the score, or where that is no longer trained, of the captions."""
    if epoch.test_spearman is not None:
        return "test Spearman", epoch.test_spearman
    if epoch.val_spearman is None and epoch.val_caption_loss_per_token is not None:
        return "validation caption loss", epoch.val_caption_loss_per_token
    return "validation Spearman", epoch.val_spearman


def _progress(console: "Console", counted: bool) -> "Progress":
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        *([MofNCompleteColumn()] if counted else []),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("{task.fields[what]} {task.fields[value]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None or value != value else f"{value:.{digits}f}"
