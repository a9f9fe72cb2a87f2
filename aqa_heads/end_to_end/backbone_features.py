"""The features that a backbone gives as it is, of samples shared among processes."""

import collections
import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from aqa_cache.backbones import for_inference
from aqa_cache.inference import AUTO_BATCH_SIZES, SLOTS, Model, OutOfMemory, set_precision
from aqa_cache.preprocess import Preprocessing, normalise

from ..targets import TrainingData
from .frame_views import FrameViews, FreshFeatures
from .processes import Processes


class BackboneFeatures:
    """A backbone and the frames it is shown.

    Args:
        backbone: on the processes' device.
        frames: by split name those of its samples.
        preprocessing: of the frames.
        dim: size of one clip feature.
        processes: among which samples are shared.
    """

    def __init__(
        self,
        backbone: nn.Module,
        frames: Mapping[str, FrameViews],
        preprocessing: Preprocessing,
        dim: int,
        processes: Processes,
    ):
        self.backbone, self.frames, self.dim, self.processes = backbone, frames, dim, processes
        self.device = processes.device
        self._preprocessing = preprocessing
        self._batch_sizes = list(AUTO_BATCH_SIZES[self.device.type])

    def with_features(self, data: TrainingData, names: Sequence[str]) -> TrainingData:
        """`data` with the features that the backbone gives now, for the splits that are named; all processes take part.

        They are computed as extraction does it, in float32, so that they are what a cache made with this backbone holds.
        """
        ready = for_inference(copy.deepcopy(self.backbone), self.device, torch.float32)
        set_precision(self.device, "fp32")
        fresh = {}
        for name in names:
            if not len(data.splits[name]):
                continue
            split, frames = data.splits[name], self.frames[name]
            indices = range(len(split))
            mine, counts = self.dealt(frames, indices)
            rows = torch.cat(self.processes.gather_rows(self._infer(ready, frames, mine), counts))
            fresh[name] = replace(split, views=FreshFeatures(self.by_sample(frames, indices, rows)))
        return replace(data, **fresh)

    def of_sample(self, name: str, index: int) -> torch.Tensor:
        """Those of the plain view of one sample of the split `name`, `(clips, dim)`; by this process alone."""
        ready = for_inference(copy.deepcopy(self.backbone), self.device, torch.float32)
        set_precision(self.device, "fp32")
        frames = self.frames[name]
        return self._infer(ready, frames, [(index, clip) for clip in range(frames.clip_count(index))])

    def dealt(self, frames: FrameViews, indices: Sequence[int]) -> tuple[list[tuple[int, int]], list[int]]:
        """The clips of this process's samples, each a sample's index and the clip's number; how many clips every process has."""
        mine = [(index, clip) for index in self.processes.share(indices) for clip in range(frames.clip_count(index))]
        return mine, [sum(map(frames.clip_count, share)) for share in self._shares(indices)]

    def _shares(self, indices: Sequence[int]) -> list[Sequence[int]]:
        return [indices[rank :: self.processes.count] for rank in range(self.processes.count)]

    def by_sample(self, frames: FrameViews, indices: Sequence[int], rows: torch.Tensor) -> list[torch.Tensor]:
        """The clips of each sample out of the rows of all processes, one after the other; in the order of `indices`."""
        dealt = [index for share in self._shares(indices) for index in share]
        parts = rows.split([frames.clip_count(index) for index in dealt])
        by_index = dict(zip(dealt, parts, strict=True))
        return [by_index[index] for index in indices]

    def load(self, frames: FrameViews, clips: Sequence[tuple[int, int, int]], start: int, stop: int) -> torch.Tensor:
        pixels = torch.from_numpy(np.stack([frames.clip(*clip) for clip in clips[start:stop]]))
        if self.device.type == "cuda":
            # Pinned, so that the copy waits for its turn on the device and not here: the next chunk is read meanwhile.
            pixels = pixels.pin_memory()
        return normalise(pixels.to(self.device, non_blocking=True), self._preprocessing)

    def _infer(self, ready: nn.Module, frames: FrameViews, clips: Sequence[tuple[int, int]]) -> torch.Tensor:
        """Features of the plain view of clips, `(clips, dim)`, in batches of the largest size that memory holds."""
        while True:
            model = Model(ready, self.device, "fp32", self._preprocessing, self._batch_sizes[0])
            made, in_flight = [], collections.deque()
            try:
                for start in range(0, len(clips), model.batch_size):
                    batch = clips[start : start + model.batch_size]
                    in_flight.append(model.submit([frames.clip(index, 0, clip) for index, clip in batch]))
                    if len(in_flight) == SLOTS:
                        made.append(in_flight.popleft().wait())
            except OutOfMemory:
                if len(self._batch_sizes) == 1:
                    raise
                self._batch_sizes.pop(0)
                torch.cuda.empty_cache()
                continue
            made += [features.wait() for features in in_flight]
            rows = np.concatenate(made) if made else np.empty((0, self.dim), np.float32)
            return torch.from_numpy(rows).to(self.device)
