"""The features of a sample under way: in memory, or, where a sample is too long for that, in a nameless
file.
"""

import os
import tempfile
import weakref
from pathlib import Path

import numpy as np

from ..cache_file.reader import ClipFeatures, StoredRows
from ..errors import AqaError

SPILL_BYTES = 1 << 23


class Collected:
    """The clips of one view of a sample, as they come.

    Args:
        scratch: folder of the nameless file; None: the system's.

    Attributes:
        finite (bool): whether all values so far are.
    """

    def __init__(self, scratch: Path | None):
        self._scratch, self._file = scratch, None
        self._first_frames: list[int] = []
        self._times: list[float] = []
        self._features: list[np.ndarray] = []
        self.finite = True

    def __len__(self) -> int:
        return len(self._first_frames)

    def append(self, first_frame: int, pts_seconds: float, feature: np.ndarray) -> None:
        self._first_frames.append(first_frame)
        self._times.append(pts_seconds)
        self._features.append(feature)
        self.finite = self.finite and bool(np.isfinite(feature).all())
        if len(self._features) * feature.nbytes >= SPILL_BYTES:
            self._file = self._file or _NamelessFile(self._scratch, feature.size)
            self._file.append(self._features)
            self._features = []

    def features(self, count: int) -> ClipFeatures:
        """The first `count` clips."""
        index = np.array(self._first_frames[:count], np.int64), np.array(self._times[:count], np.float64)
        if self._file is None:
            return ClipFeatures(np.stack(self._features[:count]), *index)
        if self._features:
            self._file.append(self._features)
            self._features = []
        return ClipFeatures(StoredRows(self._file.read, (count, self._file.dim)), *index)


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
