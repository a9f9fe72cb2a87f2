"""What a cache holds of a sample: its annotations, its clips, and its video as it was."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..annotations import Sample
from ..errors import CacheError
from ..short_repr import short_repr


class StoredRows:
    """Rows of features that lie in a file; only slices of them are ever in memory.

    Args:
        read: given first row and row behind the last, reads `(rows, dim)` float32.
        shape: `(rows, dim)`.
    """

    def __init__(self, read: Callable[[int, int], np.ndarray], shape: tuple[int, int]):
        self._read, self.shape, self.ndim = read, shape, 2

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, step = rows.indices(len(self))
        assert step == 1, "rows are read in order"
        return self._read(start, stop)


@dataclass(frozen=True)
class ClipFeatures:
    """The clips of one view of one sample, in time order.

    Shape:
        - features: `(clips, dim)` float32, in memory or in a file; first_frame: `(clips,)` int64, 0-based in
          the video; pts_seconds: `(clips,)` float64, presentation time of the first frame, NaN where the
          source has no times.
    """

    features: np.ndarray | StoredRows
    first_frame: np.ndarray
    pts_seconds: np.ndarray

    __repr__ = short_repr


@dataclass(frozen=True)
class Record:
    """What the cache holds of one sample.

    Args:
        sample: its annotations.
        views: one entry per view of the cache; None where the sample has no such view.
        reason: why the sample has no features; empty where it has.
        video_size: bytes of the video file, 0 for imported features and frame folders.
        video_mtime_ns: its time of modification, likewise.
        video_sha256: hex; empty where it was not asked for.
    """

    sample: Sample
    views: list[ClipFeatures | None] = field(default_factory=list[ClipFeatures | None])
    reason: str = ""
    video_size: int = 0
    video_mtime_ns: int = 0
    video_sha256: str = ""

    __repr__ = short_repr

    @property
    def ok(self) -> bool:
        return not self.reason

    @property
    def features(self) -> np.ndarray:
        """Of the plain view, `(clips, dim)` float32.

        Raises:
            CacheError: the sample has none; its reason says why.
        """
        if not self.views or self.views[0] is None:
            raise CacheError(f"{self.sample.sample_id}: has no features: {self.reason}")
        return self.views[0].features[:]
