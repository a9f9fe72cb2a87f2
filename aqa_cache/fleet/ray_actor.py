"""What runs in each actor of Ray: one worker, which decodes and computes, so that no frame leaves it."""

import contextlib
import logging
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..backbones.names import KNOWN_BACKBONES
from ..cache_file.feature_spec import FeatureSpec
from ..errors import AqaError
from ..extraction.configuration import ExtractionConfig
from ..extraction.pipeline import Progress
from ..extraction.source import Source
from ..extraction.sources import videos_at
from ..logs import handled
from ..machine.heap import keep_freed_memory
from ..machine.threads import cpu_threads
from ..video.held import Videos
from .part_place import PartPlace
from .units import Unit
from .worker import UnitDone, Worker


@dataclass(frozen=True)
class Task:
    """What every actor of a run is told.

    Args:
        backbone: as the person spelt it, who may have named a module.
        videos: a path, or a URL; url: of the place.
        engine_before: see `Worker`.
    """

    config: ExtractionConfig
    backbone: str
    videos: str
    url: str
    engine_before: str | None


@dataclass(frozen=True)
class Loaded:
    """What the features of an actor are, and where it runs."""

    spec: FeatureSpec
    views: list[str]
    numerics: dict[str, Any]
    row_bytes: int
    described: str
    host: str
    node: str


@dataclass(frozen=True)
class Standing:
    """What an actor has to tell.

    Args:
        done: the units that were put since it was asked last; said: what was logged, likewise, each line
            with its level.
        clips, clips_total: of the hand that it works on.
        refused: why nothing more can be done; empty where that is not so.
    """

    done: list[UnitDone]
    said: list[tuple[int, str]]
    clips: int
    clips_total: int
    refused: str = ""


class Extractor:
    """An actor; `standing` and `stop` are called while `do` runs."""

    def __init__(self, task: Task):
        self._task, self._stop, self._lock = task, threading.Event(), threading.Lock()
        self._done: list[UnitDone] = []
        self._said: list[tuple[int, str]] = []
        self._clips = self._clips_total = 0
        self._kept = contextlib.ExitStack()
        self._kept.enter_context(handled(self._collect))

    def load(self) -> Loaded | str:
        """Load the backbone; why that cannot be, where it cannot."""
        import ray

        task, config = self._task, self._task.config
        host = socket.gethostname()
        keep_freed_memory()  # the process is this actor's
        try:
            KNOWN_BACKBONES.give(task.backbone)
            source = _source_of(task.videos)
            self._videos: Videos = self._kept.enter_context(source.held((), config.cache_bytes))
            with cpu_threads(config.threads):
                place = PartPlace(task.url)
                place.put_kept()
                self._worker = worker = Worker(config, place, task.engine_before)
        except AqaError as error:
            return f"{host}: {error}"
        node = ray.get_runtime_context().get_node_id()
        kind = worker.spec, worker.views, worker.numerics, worker.row_bytes, worker.described
        return Loaded(*kind, host, node)

    def do(self, units: Sequence[Unit], hashes: Mapping[str, str]) -> Standing:
        """Make and put a hand of units."""
        self._clips = self._clips_total = 0
        try:
            with cpu_threads(self._task.config.threads):
                self._worker.do(
                    units,
                    self._videos,
                    hashes=hashes,
                    done=self._is_done,
                    progress=self._is_at,
                    stop=self._stop,
                )
        except AqaError as error:
            return self.standing(f"{socket.gethostname()}: {error}")
        return self.standing()

    def standing(self, refused: str = "") -> Standing:
        with self._lock:
            done, self._done = self._done, []
            said, self._said = self._said, []
        return Standing(done, said, self._clips, self._clips_total, refused)

    def stop(self) -> None:
        """Finish the batch in flight, and put what is done."""
        self._stop.set()

    def close(self) -> None:
        """Remove the videos that were fetched; what is logged is collected no more."""
        self._kept.close()

    def _is_done(self, unit: UnitDone) -> None:
        with self._lock:
            self._done.append(unit)

    def _is_at(self, progress: Progress) -> None:
        self._clips, self._clips_total = progress.clips, progress.clips_total

    def _collect(self, record: logging.LogRecord) -> None:
        with self._lock:
            self._said.append((record.levelno, record.getMessage()))


def _source_of(videos: str) -> Source:
    """Where the videos are, as this node sees it.

    Raises:
        AqaError: it does not.
    """
    source = videos_at(videos)
    if not source.far and not Path(videos).is_dir():
        raise AqaError(
            f"{videos}: is not there on this node of the cluster; give VIDEOS that all nodes see, a URL or a"
            " shared disk"
        )
    return source
