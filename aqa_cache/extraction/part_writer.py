"""Saving finished samples as parts, beside the work of the thread that makes them."""

import os
import socket
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..cache_file.feature_spec import FeatureSpec
from ..cache_file.record import Record
from ..cache_file.writer import write_cache

PART_SAMPLES, PART_SECONDS, PART_BYTES = 64, 30.0, 1 << 25


class PartWriter:
    """Saves finished samples as parts, every `PART_SAMPLES` samples, `PART_SECONDS` seconds or `PART_BYTES`
    bytes.

    A part is written at once, beside the work of the calling thread; a process that is killed loses at most
    what came after the last one.

    Args:
        spec, numerics, views: of the records.
    """

    def __init__(self, folder: Path, spec: FeatureSpec, numerics: dict[str, Any], views: Sequence[str]):
        self._folder, self._spec, self._numerics, self._views = folder, spec, numerics, views
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="parts")
        self._written: Future | None = None
        self._unsaved: list[Record] = []
        self._bytes, self._saved_at = 0, time.monotonic()
        # The latest part is believed, and clocks of other hosts, or this one's after a correction, may be
        # ahead.
        self._latest = max((int(path.name[:20]) for path in folder.glob(f"{'[0-9]' * 20}-*.h5")), default=0)

    def add(self, record: Record) -> None:
        """Keep a finished sample, and save a part if it is time for one.

        Raises:
            AqaError: a part cannot be written.
        """
        self._unsaved.append(record)
        self._bytes += sum(
            4 * view.features.shape[0] * view.features.shape[1] for view in record.views if view
        )
        if len(self._unsaved) >= PART_SAMPLES or self._bytes >= PART_BYTES:
            self._save()

    def tick(self) -> None:
        """Save a part if the last one is long ago; to be called while nothing may be added for hours.

        Raises:
            AqaError: a part cannot be written.
        """
        if self._unsaved and time.monotonic() - self._saved_at > PART_SECONDS:
            self._save()

    def close(self) -> None:
        """Save what has not been saved yet."""
        try:
            self._save()
            self._wait()
        finally:
            self._writer.shutdown()

    def _save(self) -> None:
        self._wait()  # for the part before: no more than two are in memory
        if self._unsaved:
            self._latest = max(time.time_ns(), self._latest + 1)
            # Host and process in the name, so that no run writes over a part of another.
            path = self._folder / f"{self._latest:020d}-{socket.gethostname()}-{os.getpid()}.h5"
            self._written = self._writer.submit(
                write_cache,
                path,
                self._unsaved,
                self._spec,
                views=self._views,
                numerics=self._numerics,
                dtype="float32",
            )
        self._unsaved, self._bytes, self._saved_at = [], 0, time.monotonic()

    def _wait(self) -> None:
        if self._written is not None:
            written, self._written = self._written, None
            written.result()
