"""The clips of a step or an evaluation, shared among processes sample by sample."""

from collections.abc import Sequence

import numpy as np
import torch

from aqa_cache.clips.preprocess import Preprocessing, normalise

from ..training.processes import Processes
from .frame_views import FrameViews


class SharedClips:
    """Who has which clips of some samples, their frames, and whose features are whose.

    Args:
        frames: of the split that the samples are of.
        indices: of the samples in the split.
        views: per sample of the split the number of its view; None: plain.
        preprocessing: of the frames.
        processes: among which the samples are dealt.

    Attributes:
        mine (list): the clips of this process, each as sample index, view and clip number.
        counts (list[int]): how many clips each process has.
    """

    def __init__(
        self,
        frames: FrameViews,
        indices: Sequence[int],
        views: Sequence[int] | None,
        preprocessing: Preprocessing,
        processes: Processes,
    ):
        self._frames, self._indices = frames, indices
        self._preprocessing, self._device = preprocessing, processes.device
        self._shares = [indices[rank :: processes.count] for rank in range(processes.count)]
        self.counts = [sum(map(frames.clip_count, share)) for share in self._shares]
        self.mine = [
            (index, views[index] if views else 0, clip)
            for index in self._shares[processes.rank]
            for clip in range(frames.clip_count(index))
        ]

    def pixels(self, start: int, stop: int) -> list[np.ndarray]:
        """Frames of this process's clips `[start, stop)`, each `(clip_len, size, size, 3)` uint8 RGB."""
        return [self._frames.clip(*clip) for clip in self.mine[start:stop]]

    def load(self, start: int, stop: int) -> torch.Tensor:
        """The backbone's input of this process's clips `[start, stop)`, `(clips, 3, clip_len, size, size)`
        float32 on the device.
        """
        pixels = torch.from_numpy(np.stack(self.pixels(start, stop)))
        if self._device.type == "cuda":
            # Pinned, so that the copy waits for its turn on the device and not here: the next chunk is read
            # meanwhile.
            pixels = pixels.pin_memory()
        return normalise(pixels.to(self._device, non_blocking=True), self._preprocessing)

    def by_sample(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """The clips' features of each sample, in the order of the indices.

        Shape:
            - rows: `(clips, dim)`, those of the first process, of the second, …
            - Output: per sample `(its clips, dim)`.
        """
        dealt = [index for share in self._shares for index in share]
        parts = dict(zip(dealt, rows.split([self._frames.clip_count(index) for index in dealt]), strict=True))
        return [parts[index] for index in self._indices]
