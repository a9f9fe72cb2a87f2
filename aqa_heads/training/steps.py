"""What a step of training does: on cached features, every part of the model by itself."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..data.batches import Batch, Split
from ..data.training_data import TrainingData
from ..networks.frugal_lstm import frugal_optimisers, ordinary_parameters
from ..networks.model import AqaModel
from ..runs.folder import BEST, Work
from ..settings.resolved import ResolvedConfig
from .best_weights import BestWeights
from .computing import threads_of_update, threads_worth
from .losses import Loss, assessment_loss, captioner_loss, multitask_loss
from .part import Part
from .processes import Processes

_LOSSES = {"assessment": assessment_loss, "captioner": captioner_loss, "model": multitask_loss}
# Numbers that dropout is seeded with; end to end has another, 3 (`end_to_end.steps`).
_SEED_OF = {"assessment": 0, "captioner": 1, "model": 2}
_WINDOW = 4


class Steps(ABC):
    """What training on cached features and end to end do differently in an epoch.

    Attributes:
        model (AqaModel): that is trained.
        modules (nn.Module): all that is trained.
        shared (list): modules that are kept equal in all processes, buffers included.
        parts (list): the parts of it.
        train (Split): the samples that are trained on.
        processes (Processes): that train together.
        one_by_one (bool): each step is reported and may be checkpointed; what is random in it follows from
            seed, epoch and step.
        starts_trained (bool): what training starts from was trained before, and may be best.
    """

    model: AqaModel
    modules: nn.Module
    shared: list[nn.Module]
    parts: list[Part]
    train: Split
    processes: Processes
    one_by_one: bool
    starts_trained: bool = False

    @abstractmethod
    def begin_epoch(self, part: Part, epoch: int) -> None:
        """Called before the first step of a part in an epoch."""

    @abstractmethod
    def take(
        self, part: Part, chosen: Sequence[int], views: Sequence[int], epoch: int, step: int
    ) -> tuple[Loss, Batch]:
        """Train `part` on the samples `chosen`, each in its view; returns the loss and the batch.

        Args:
            views: per sample of the split the number of its view.
        """

    def threads(self, part: Part) -> int | None:
        """That share a step of `part` on the CPU; None: all that torch may use."""
        return None

    def evaluated(self, data: TrainingData, names: Sequence[str]) -> TrainingData:
        """`data` with the features that the splits named have now."""
        return data

    def state(self) -> dict[str, Any]:
        """For a checkpoint, beside the parts."""
        return {"model": self.model.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])


class CachedSteps(Steps):
    """Steps on cached features: parts share no weight, so each is trained by itself.

    What is random in an epoch (order, views, dropout) follows from seed, epoch and part alone; which clips of
    a sample are seen from seed, epoch and sample.

    Args:
        data: on the model's device.
        work: where best weights that are too large for memory are kept.
    """

    one_by_one = False

    def __init__(
        self,
        model: AqaModel,
        data: TrainingData,
        config: ResolvedConfig,
        work: Work,
        processes: Processes,
    ):
        self.model = self.modules = model
        self.shared = [model]
        self.train, self.processes, self._seed = data.train, processes, config.seed
        self._max_clips = config.max_clips
        self.parts = [_part(name, modules, config, work) for name, modules in model.parts.items()]
        self._threads = {part.name: _threads(part, data.train, config) for part in self.parts}

    def begin_epoch(self, part: Part, epoch: int) -> None:
        self.model.train()
        torch.manual_seed(seed_of(self._seed, epoch, _SEED_OF[part.name]))

    def take(
        self, part: Part, chosen: Sequence[int], views: Sequence[int], epoch: int, step: int
    ) -> tuple[Loss, Batch]:
        # The captioner sees every clip that the caption may speak of.
        most = None if part.name == "captioner" else self._max_clips
        batch = self.train.batch(chosen, views) if most is None else self._windows(chosen, views, epoch, most)
        loss = _LOSSES[part.name](self.model, batch)
        if (total := loss.total) is not None:  # else no sample of it has a label of this part's tasks
            part.step(total)
        return loss, batch

    def threads(self, part: Part) -> int | None:
        return self._threads[part.name]

    def _windows(self, chosen: Sequence[int], views: Sequence[int], epoch: int, most: int) -> Batch:
        seen = []
        for index in chosen:
            clips, name = self.train.views.read(index, views[index]), self.train.samples[index].sample_id
            seen.append(clips[window_of(len(clips), most, self._seed, epoch, name)])
        return self.train.batch_of(chosen, seen)


def _threads(part: Part, split: Split, config: ResolvedConfig) -> int | None:
    """See `Steps.threads`."""
    if next(part.modules.parameters()).device.type != "cpu":
        return None
    clips = np.mean([split.views.clip_count(index) for index in split.labelled])
    if config.max_clips is not None:
        clips = min(clips, config.max_clips)
    words = np.mean([len(split.captions[index]) for index in split.labelled])
    # How often a sample uses each weight; the optimiser uses it once more a step.
    uses = {"encoder": clips, "projection": clips, "heads": 1, "captioner": words}
    samples = min(config.batch_size, len(split.labelled))
    weights = {
        name: sum(weight.numel() for weight in module.parameters())
        for name, module in part.modules.named_children()
    }
    return threads_worth(sum(count * (samples * uses[name] + 1) for name, count in weights.items()))


def steps_of(split: Split, config: ResolvedConfig, epoch: int) -> tuple[list[list[int]], list[int]]:
    """The samples of every step of an epoch, and for every sample of the split the number of the view it is
    seen in.
    """
    generator = torch.Generator().manual_seed(seed_of(config.seed, epoch))
    order = torch.randperm(len(split.labelled), generator=generator)
    # After the order, and not from torch's global numbers: more views change neither order nor dropout.
    views = split.draw_views(generator)
    steps = [
        [split.labelled[index] for index in chosen.tolist()] for chosen in order.split(config.batch_size)
    ]
    return steps, views


def window_of(clips: int, most: int, seed: int, epoch: int, sample_id: str) -> slice:
    """Which of a sample's clips it is trained on in an epoch: `most` in a row, every start equally likely;
    all of them where there are no more.
    """
    if clips <= most:
        return slice(0, clips)
    sample = zlib.crc32(sample_id.encode("utf-8", "surrogatepass"))
    generator = np.random.default_rng(seed_of(seed, epoch, _WINDOW, sample))
    start = int(generator.integers(clips - most + 1))
    return slice(start, start + most)


def seed_of(*numbers: int) -> int:
    """A seed that follows from all of the numbers."""
    # torch's generators use 32 bits of a seed, so all numbers are mixed into them.
    return int(np.random.SeedSequence(numbers[0], spawn_key=numbers[1:]).generate_state(1)[0])


def _part(name: str, modules: nn.Module, config: ResolvedConfig, work: Work) -> Part:
    lr = config.caption_lr if name == "captioner" else config.lr
    ordinary = torch.optim.AdamW(
        ordinary_parameters(modules), lr=lr, weight_decay=config.weight_decay, fused=True
    )
    frugal = frugal_optimisers(modules, lr, weight_decay=config.weight_decay, seed=config.seed)
    best = BestWeights(work.path / BEST.format(name))
    weights = sum(weight.numel() for weight in modules.parameters())
    return Part(name, modules, [ordinary, *frugal], best, update_threads=threads_of_update(weights))
