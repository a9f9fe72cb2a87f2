"""The exact gradient of a backbone in the memory of a few clips: features are computed twice, and only the
second time for good.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from ..errors import TrainingError

# Between the passes nothing differs but rounding, unless the backbone, or what it is fed, is another one the
# second time.
MAX_DEVIATION = 0.05


class RecomputedFeatures:
    """Features of all clips of a batch, and the gradient of the backbone that made them, chunk by chunk.

    ::

        recomputed = RecomputedFeatures(backbone, load, clips=18, chunk=1, dim=8192)
        features = recomputed.forward()  # without a graph, but for the last chunk
        loss(heads(features)).backward()  # ends at the features
        recomputed.backward(features.grad)  # each chunk forward again, and back

    It costs a second forward pass of all chunks but the last, and keeps the activations of one chunk. A batch
    of one chunk is plain backpropagation.

    The gradient is the one of plain backpropagation, whatever heads and loss do with the features of several
    clips: the loss is taken once, of all features, and the sum over clips, which is what the gradient of a
    shared weight is, is taken chunk by chunk. What that rests on:

    - No clip's feature depends on another clip. Batch norm in training mode is the exception: each chunk has
      its own statistics, so the gradient is exact for *that* function, which is another one for every chunk
      size. The running statistics are updated in the first pass alone, once per chunk.
    - The second pass repeats the first. Dropout and stochastic depth are seeded by `seed` and the chunk's
      number, so they do; plain backpropagation over the same chunks with the same seeds (`chunk_seed`) gives
      the same gradient, and one over other chunks another draw. A backbone that draws elsewhere is refused.
    - Rounding. In float64 the two agree to about 1e-13. In float32 batches of other sizes are rounded
      otherwise, and where that decides between two inputs of a maximum, or the sign before a ReLU, the
      gradient takes another path; benchmarks/RESULTS.md says how far that goes. With a lower `autocast` both
      passes are rounded alike; the gradient of a 16-bit feature is 16-bit, too.

    Args:
        backbone: `(batch, 3, frames, height, width)` to `(batch, dim)`, in the mode it is to train in.
        load: the backbone's input of clips `[start, stop)`, on its device. It is called once per pass, the
            last chunk's once in all, and must give the same both times.
        clips: in the batch, 0 or more; chunk: how many of them are in memory at once; dim: size of one clip
            feature.
        seed: of the backbone's random numbers. The caller's are left as they were.
        autocast: dtype in which the backbone computes where autocast says so; None: in that of its weights.

    Source: Gao et al. 2021, arXiv:2101.06983, GradCache. Differs: the last chunk's graph is kept.
    """

    def __init__(
        self,
        backbone: nn.Module,
        load: Callable[[int, int], torch.Tensor],
        clips: int,
        chunk: int,
        dim: int,
        *,
        seed: int = 0,
        autocast: torch.dtype | None = None,
    ):
        assert clips >= 0 and chunk >= 1, f"{clips} clips in chunks of {chunk}"
        self._backbone, self._load, self._dim = backbone, load, dim
        self._bounds = [(start, min(start + chunk, clips)) for start in range(0, clips, chunk)]
        self._seed, self._autocast = seed, autocast
        weight = next(backbone.parameters())
        self._device, self._dtype = weight.device, torch.promote_types(weight.dtype, torch.float32)
        self._features: torch.Tensor | None = None
        self._last: torch.Tensor | None = None

    def forward(self) -> torch.Tensor:
        """Features of all clips, `(clips, dim)`, float64 where the backbone is and else float32: a leaf that
        requires a gradient.
        """
        self._last = None
        done = []
        with torch.no_grad():
            done += [self._run(number) for number in range(len(self._bounds) - 1)]
        if self._bounds:
            with torch.enable_grad():
                self._last = self._run(len(self._bounds) - 1)
            done.append(self._last.detach())
        # Also where there is one chunk a tensor of its own, so that nobody can change what the graph has
        # kept.
        self._features = torch.cat([torch.empty(0, self._dim, dtype=self._dtype, device=self._device), *done])
        return self._features.detach().requires_grad_()

    def backward(self, gradient: torch.Tensor) -> None:
        """Add to `.grad` of the backbone's parameters what `gradient` at the features means for them.

        Shape:
            - gradient: `(clips, dim)`, of the features that `forward` returned, any multiple of it included.

        Raises:
            TrainingError: the backbone gave other features in the second pass.
        """
        assert self._features is not None, "forward() comes before backward(), each time"
        assert gradient.shape == self._features.shape, (
            f"got {gradient.shape}, expected {self._features.shape}"
        )
        features, last, self._features, self._last = self._features, self._last, None, None
        if last is None or not last.requires_grad:  # no clip, or nothing of the backbone is trained
            return
        # The last chunk comes first: its activations have to go before those of another come.
        last.backward(gradient[slice(*self._bounds[-1])])
        del last
        deviations = []
        for number, bounds in enumerate(self._bounds[:-1]):
            with torch.enable_grad(), _statistics_kept(self._backbone):
                again = self._run(number)
            again.backward(gradient[slice(*bounds)])
            deviations.append((again.detach() - features[slice(*bounds)]).abs().max())
        if deviations:
            self._check(float(torch.stack(deviations).max()), float(features.abs().max()))

    def _run(self, number: int) -> torch.Tensor:
        clips = self._load(*self._bounds[number])
        kind = self._device.type
        # No weight is cast twice in a pass: a cache would only hold what was cast for longer.
        computing = torch.autocast(
            kind, self._autocast, enabled=self._autocast is not None, cache_enabled=False
        )
        with self._random_numbers(number), computing:
            return self._backbone(clips).to(self._dtype)

    @contextmanager
    def _random_numbers(self, number: int) -> Iterator[None]:
        on_gpu = self._device.type == "cuda"
        with torch.random.fork_rng(devices=[self._device] if on_gpu else []):
            seed = chunk_seed(self._seed, number)
            # Not torch.manual_seed, which also seeds the GPUs that are not ours.
            torch.default_generator.manual_seed(seed)
            if on_gpu:
                with torch.cuda.device(self._device):
                    torch.cuda.manual_seed(seed)
            yield

    def _check(self, deviation: float, largest: float) -> None:
        # Features that are not finite are for the caller to find, who does so with every loss.
        if deviation > MAX_DEVIATION * largest:
            raise TrainingError(
                "the backbone gave other features for the same clips when it was run again (largest"
                f" difference {deviation:.3g}, largest feature {largest:.3g}), so its gradient would be"
                " wrong; give a --clip-chunk that takes all clips of a batch at once, or let the backbone"
                " draw random numbers from torch's generators alone"
            )


def chunk_seed(seed: int, number: int) -> int:
    """What torch's generators are seeded with before the backbone runs on the chunk of this number, in 32
    bits.
    """
    return int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1)[0])


@contextmanager
def _statistics_kept(backbone: nn.Module) -> Iterator[None]:
    """In the block layers that normalise by statistics of their input do so, and do not record them."""
    layers = [
        layer
        for layer in backbone.modules()
        if layer.training and getattr(layer, "track_running_stats", False)
    ]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
