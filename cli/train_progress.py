"""What a person sees while a run trains: a bar in a terminal, lines elsewhere."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aqa_cache.logs import handled
from aqa_heads.settings.resolved import ResolvedConfig

from .progress import LINE_SECONDS, megabytes

if TYPE_CHECKING:
    from rich.console import Console

    from aqa_heads.runs.tables import Epoch
    from aqa_heads.table import Planned, Shown
    from aqa_heads.training.listener import Listener, Step

_WATCHED = {"test_spearman": "test Spearman", "val_spearman": "validation Spearman"}
_CAPTION_LOSS = "val_caption_loss_per_token"


def showing(console: "Console") -> "Shown":
    """Who is told of the runs of a table: their progress on the console, and there what is logged, each
    line once.
    """
    said: set[str] = set()

    def hear(record: logging.LogRecord) -> None:
        if (line := record.getMessage()) not in said:
            # In a terminal between words; elsewhere a line is a line.
            console.print(line, style="yellow", soft_wrap=not console.is_terminal)
            said.add(line)

    @contextmanager
    def shown(planned: "Planned") -> "Iterator[Listener]":
        from aqa_cache.weights.download import watched_downloads
        from aqa_heads.training.listener import Listener

        config = planned.plan.config
        bar = (Bar if console.is_terminal else Lines)(config, planned.title, console)
        with bar as progress, handled(hear):
            if config.fine_tuning is None:
                yield Listener(on_epoch=progress.epoch)
            else:
                with watched_downloads(progress.download):
                    yield Listener(progress.stage, progress.frames, progress.step, progress.epoch)

    return shown


class _Pace:
    """Clips a second since the first step of this command, which is not counted: it is slower than the
    others.
    """

    def __init__(self, epochs: int):
        self._epochs = epochs
        self._started: tuple[float, int] | None = None

    def of(self, step: "Step") -> tuple[float | None, float | None, float | None]:
        """Clips a second; seconds to the end of the epoch, and to that of the last one. None: not known
        yet.
        """
        now = time.monotonic()
        self._started = self._started or (now, step.made)
        seconds, clips = now - self._started[0], step.made - self._started[1]
        if not seconds or not clips:
            return None, None, None
        rate, of_epoch = clips / seconds, step.clips_total - step.clips
        return rate, of_epoch / rate, (of_epoch + (self._epochs - step.epoch) * step.clips_total) / rate


class Bar:
    """In a terminal: a line with the label, and below it the stage or epoch that is under way, a bar, and
    what is known.
    """

    def __init__(self, config: ResolvedConfig, label: str, console: "Console"):
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        console.print(label, style="bold", soft_wrap=True)
        self._config, self._pace, self._began = config, _Pace(config.epochs), time.monotonic()
        # The bar alone gives way where a terminal is narrow.
        self._progress = Progress(
            TextColumn("{task.description:<12}", markup=False),
            BarColumn(bar_width=None, table_column=Column(max_width=20)),
            TextColumn("{task.fields[facts]}", markup=False),
            console=console,
        )
        self._task = self._progress.add_task("preparing …", total=None, facts="")
        self._clips, self._loss, self._watched = [], None, "val –"
        self._trained = ""  # the last epoch that was under way

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if kind is None and self._trained:
            self._show(self._trained, f"took {_clock(time.monotonic() - self._began)}")
        else:  # of a run that was finished before, or could not begin, no bar stays behind
            self._progress.live.transient = not self._trained
        self._progress.stop()

    def stage(self, text: str) -> None:
        if self._trained:
            self._show(f"{text} …")
        else:  # how much there is to do is not known
            self._progress.tasks[0].total = None
            self._progress.update(self._task, completed=0, description=f"{text} …", facts="")

    @contextmanager
    def download(self, name: str) -> Iterator[Callable[[int, int | None], None]]:
        began = time.monotonic()

        def tell(received: int, total: int | None) -> None:
            speed = received / 1e6 / max(time.monotonic() - began, 1e-9)
            facts = f"{megabytes(received, total)}  {_rate(speed)} MB/s"
            self._progress.update(self._task, completed=received, total=total, facts=facts)

        self.stage(f"downloading {name}")
        yield tell
        self.stage("preparing")

    def frames(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total, facts=f"{done:,}/{total:,} samples")

    def step(self, step: "Step") -> None:
        rate, _, left = self._pace.of(step)
        self._trained, self._loss = f"epoch {step.epoch}/{self._config.epochs}", step.loss
        self._clips = [f"{step.clips:,}/{step.clips_total:,} clips", f"{_rate(rate)}/s"]
        self._progress.update(self._task, completed=step.clips, total=step.clips_total)
        self._show(self._trained, f"{_clock(left)} left")

    def epoch(self, epoch: "Epoch") -> None:
        total = self._config.epochs
        self._trained, self._loss = f"epoch {epoch.epoch}/{total}", epoch.train_loss
        name, value = _watched(epoch)
        split, number = name.split("_")[0], _number(value, 3)
        if name == _CAPTION_LOSS:
            self._watched = f"{split} loss {number}"
        else:  # a correlation, between -1 and 1
            self._watched = f"{split} {number.replace('0.', '.')}"
        if not self._clips:
            self._progress.update(self._task, completed=epoch.epoch, total=total)
        self._show(self._trained, f"{_clock(epoch.seconds * (total - epoch.epoch))} left")

    def _show(self, description: str, *times: str) -> None:
        loss = "loss " + (f"{self._loss:#.3g}".rstrip(".") if _known(self._loss) else "–")
        facts = "  ".join([*self._clips, loss, self._watched, *times])
        self._progress.update(self._task, description=description, facts=facts)


class Lines:
    """Elsewhere: a line for the first epoch and about every tenth of them; end to end, one a minute of what
    is under way too.

    A thread counts the minutes, as what takes long need not call anything meanwhile.
    """

    def __init__(self, config: ResolvedConfig, label: str, console: "Console"):
        self._config, self._label, self._console = config, label, console
        self._pace, self._began, self._first = _Pace(config.epochs), time.monotonic(), None
        self._doing, self._since, self._at = "", 0.0, ""  # a stage, when it began, in which epoch
        self._step = ""  # what is to be said of the last step
        self._over = threading.Event()
        self._minutes = threading.Thread(target=self._count_minutes, name="minutes", daemon=True)

    def __enter__(self) -> "Lines":
        if self._config.fine_tuning is not None:
            self._minutes.start()
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self._over.set()
        if self._minutes.is_alive():
            self._minutes.join()

    def stage(self, text: str) -> None:
        self._doing, self._since, self._step = text, time.monotonic(), ""

    @contextmanager
    def download(self, name: str) -> Iterator[Callable[[int, int | None], None]]:
        def tell(received: int, total: int | None) -> None:
            self._doing = f"downloading {name}, {megabytes(received, total)}"

        self.stage(f"downloading {name}")
        yield tell
        self.stage("")

    def frames(self, done: int, total: int) -> None:
        self._doing = f"decoding frames, {done:,} of {total:,} samples are done"

    def step(self, step: "Step") -> None:
        rate, of_epoch, left = self._pace.of(step)
        self._at = f"epoch {step.epoch}/{self._config.epochs}, "
        speed = [] if rate is None else [f"{_rate(rate)} clips/s"]
        times = (
            []
            if rate is None
            else [f"{_time(of_epoch)} to the end of the epoch", f"at most {_time(left)} to go"]
        )
        facts = [
            f"{step.clips:,} of {step.clips_total:,} clips",
            *speed,
            f"loss {_number(step.loss, 3)}",
            *times,
        ]
        self._doing, self._step = "", self._at + ", ".join(facts)

    def epoch(self, epoch: "Epoch") -> None:
        self._doing = self._step = ""
        self._first = self._first or epoch.epoch
        total = self._config.epochs
        if epoch.epoch % max(1, total // 10) and epoch.epoch not in (self._first, total):
            return
        name, value = _watched(epoch)
        left = epoch.seconds * (total - epoch.epoch)
        self._print(
            f"epoch {epoch.epoch}/{total}, loss {_number(epoch.train_loss, 3)},"
            f" {_WATCHED.get(name, 'validation caption loss')} {_number(value, 4)},"
            f" {_time(time.monotonic() - self._began)}, at most {_time(left)} to go"
        )

    def _count_minutes(self) -> None:
        while not self._over.wait(LINE_SECONDS):
            self.say_what_is_done()

    def say_what_is_done(self) -> None:
        if self._step:
            self._print(self._step)
            self._step = ""  # it is old when a minute later there is no other
        elif self._doing:
            self._print(f"{self._at}{self._doing}, for {_time(time.monotonic() - self._since)} now")

    def _print(self, line: str) -> None:
        self._console.print(f"{self._label}: {line}", soft_wrap=True)


def _watched(epoch: "Epoch") -> tuple[str, float | None]:
    """What is watched after an epoch, and its value: of the score, or where that is no longer trained, of the
    captions.
    """
    if epoch.test_spearman is not None:
        name = "test_spearman"
    elif epoch.val_spearman is None and epoch.val_caption_loss_per_token is not None:
        name = _CAPTION_LOSS
    else:
        name = "val_spearman"
    return name, getattr(epoch, name)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _rate(rate: float | None) -> str:
    if rate is None:
        return "–"
    return f"{rate:.2g}" if rate < 1 else f"{rate:.1f}" if rate < 100 else f"{rate:,.0f}"


def _known(value: float | None) -> bool:
    return value is not None and value == value


def _number(value: float | None, digits: int) -> str:
    return f"{value:.{digits}f}" if _known(value) else "–"
