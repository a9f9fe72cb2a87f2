"""The features of a sample under way: in memory, or, where a sample is too long for that, in a nameless
file.
"""

import os
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..cache_file.record import ClipFeatures, StoredRows
from ..errors import AqaError

SPILL_BYTES = 1 << 23


class SampleBuffer:
    """The clips of one view of a sample, as they come.

    Args:
        scratch: folder of the nameless file; None: the system's.

    Attributes:
        finite (bool): whether all values so far are.
    """

    def __init__(self, scratch: Path | None):
        self._scratch, self._file, self._clips = scratch, None, 0
        self._first_frames: list[int] = []
        self._times: list[float] = []
        self._features: list[np.ndarray] = []
        self.finite = True

    def __len__(self) -> int:
        """Clips."""
        return self._clips

    def append(self, first_frames: Sequence[int], times: Sequence[float], rows: np.ndarray) -> None:
        """Add a clip. Shape: rows: `(rows, dim)`, as many of each clip."""
        self._clips += 1
        self._first_frames += first_frames
        self._times += times
        self._features += list(rows)
        self.finite = self.finite and bool(np.isfinite(rows).all())
        if len(self._features) * rows[0].nbytes >= SPILL_BYTES:
            self._file = self._file or _NamelessFile(self._scratch, rows.shape[1])
            self._file.append(self._features)
            self._features = []

    def features(self, clips: int) -> ClipFeatures:
        """Those of the first `clips` clips, rows in the order of their first frames."""
        count = clips * (len(self._first_frames) // self._clips)
        first_frames = np.array(self._first_frames[:count], np.int64)
        times = np.array(self._times[:count], np.float64)
        # Time steps of overlapping clips interleave.
        order = np.argsort(first_frames, kind="stable")
        first_frames, times = first_frames[order], times[order]
        if self._file is None:
            return ClipFeatures(np.stack(self._features[:count])[order], first_frames, times)
        if self._features:
            self._file.append(self._features)
            self._features = []
        file = self._file

        def read(start: int, stop: int) -> np.ndarray:
            places = order[start:stop]
            first = int(places.min(initial=count))
            return file.read(first, int(places.max(initial=first - 1)) + 1)[places - first]

        return ClipFeatures(StoredRows(read, (count, file.dim)), first_frames, times)


class _NamelessFile:
    """Rows of float32 in a file that vanishes with this object, or with the process."""

    def __init__(self, folder: Path | None, dim: int):
        self.dim = dim
        self._handle, name = tempfile.mkstemp(dir=folder)
        os.unlink(name)
        weakref.finalize(self, os.close, self._handle)

    def append(self, rows: list[np.ndarray]) -> None:
        try:
            with open(self._handle, "ab", closefd=False) as file:
                file.write(np.stack(rows).tobytes())
        except OSError as error:
            raise AqaError(
                f"features of a long sample cannot be kept on disk ({error.strerror}); make room and run"
                " again"
            ) from None

    def read(self, start: int, stop: int) -> np.ndarray:
        content = os.pread(self._handle, (stop - start) * self.dim * 4, start * self.dim * 4)
        return np.frombuffer(content, np.float32).reshape(-1, self.dim)
