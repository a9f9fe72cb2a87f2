"""The features that a backbone gives as it is, computed as extraction does it."""

import collections
import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from aqa_cache.backbones.inference import SLOTS, Model, OutOfMemory
from aqa_cache.backbones.registry import for_inference
from aqa_cache.clips.preprocess import Preprocessing

from ..data.fresh_features import FreshFeatures
from ..data.training_data import TrainingData
from ..training.processes import Processes
from .frame_views import FrameViews
from .precision import products_in
from .shared_clips import SharedClips

# As extraction does on a CPU. On a GPU as many at a time keep it busy enough, and memory is for training.
BATCH_SIZE = 8


class BackboneFeatures:
    """A backbone and the frames it is shown.

    Args:
        backbone: on the processes' device.
        frames: by split name those of its samples.
        preprocessing: of the frames.
        dim: size of one clip feature.
        processes: among which samples are shared.
        batch_size: clips at a time, at most.
    """

    def __init__(
        self,
        backbone: nn.Module,
        frames: Mapping[str, FrameViews],
        preprocessing: Preprocessing,
        dim: int,
        processes: Processes,
        batch_size: int = BATCH_SIZE,
    ):
        self.backbone, self.dim, self.processes, self.preprocessing = backbone, dim, processes, preprocessing
        self._frames, self._batch_size = frames, batch_size

    def with_features(self, data: TrainingData, names: Sequence[str]) -> TrainingData:
        """`data` with the features that the backbone gives now, for the splits that are named; all processes
        take part.

        They are computed as extraction does it, in float32, so that they are what a cache made with this
        backbone holds.
        """
        fresh = {}
        for name in names:
            if not len(data.splits[name]):
                continue
            indices = range(len(data.splits[name]))
            clips = SharedClips(self._frames[name], indices, None, self.preprocessing, self.processes)
            rows = torch.cat(self.processes.gather_rows(self._infer(clips), clips.counts))
            fresh[name] = replace(data.splits[name], views=FreshFeatures(clips.by_sample(rows)))
        return replace(data, **fresh)

    def of_sample(self, name: str, index: int) -> torch.Tensor:
        """Those of the plain view of one sample of the split `name`, `(clips, dim)`; by this process
        alone.
        """
        alone = Processes(self.processes.device)
        return self._infer(SharedClips(self._frames[name], [index], None, self.preprocessing, alone))

    def _infer(self, clips: SharedClips) -> torch.Tensor:
        """Features of this process's clips, `(clips, dim)` float32, in batches of the largest size that
        memory holds.
        """
        device = self.processes.device
        ready = for_inference(copy.deepcopy(self.backbone), device, torch.float32)
        with products_in("fp32", device):
            while True:
                model = Model(ready, device, "fp32", self.preprocessing, self._batch_size)
                made, in_flight = [], collections.deque()
                try:
                    for start in range(0, len(clips.mine), model.batch_size):
                        in_flight.append(model.submit(clips.pixels(start, start + model.batch_size)))
                        if len(in_flight) == SLOTS:
                            made.append(in_flight.popleft().wait())
                except OutOfMemory:
                    if self._batch_size == 1:
                        raise
                    self._batch_size //= 2
                    torch.cuda.empty_cache()
                    continue
                made += [features.wait() for features in in_flight]
                rows = np.concatenate(made) if made else np.empty((0, self.dim), np.float32)
                return torch.from_numpy(rows).to(device)
