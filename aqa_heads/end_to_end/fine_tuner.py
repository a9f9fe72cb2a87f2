"""One step of end-to-end training."""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import nn

from aqa_cache.inference import TORCH_DTYPES, set_precision

from ..configuration import TrainingConfig
from ..frugal_lstm import frugal_optimisers, ordinary_parameters
from ..losses import Loss, multitask_loss
from ..model import AqaModel
from ..targets import Batch, Split
from .backbone_features import BackboneFeatures
from .frame_views import FrameViews
from .recomputation import RecomputedFeatures
from .trainable import training_mode

_AUTOCAST = ("fp16", "bf16")


class FineTuner:
    """A backbone and a model of its features, trained together.

    Args:
        features: of a backbone as `trainable.prepare` leaves it.
        model: on the same device.
        config: of the run.

    Attributes:
        modules (nn.ModuleDict): all that is trained.
        optimisers (list): one AdamW with a learning rate for the backbone, one for encoder and heads and one for the captioner;
            an encoder that has its own optimiser beside it.
        chunk (int): clips that go through the backbone at a time.
        skipped (int): steps that were not taken as a gradient was not finite in fp16.
    """

    def __init__(self, features: BackboneFeatures, model: AqaModel, config: TrainingConfig):
        self._features, self.model, self._tuning = features, model, config.fine_tuning
        self.backbone, self.processes, self._device = features.backbone, features.processes, features.device
        backbone = self.backbone
        heads = {name: module for part in model.parts.values() for name, module in part.items()}
        self.modules = nn.ModuleDict({"backbone": backbone, **heads})
        spoken = {id(parameter) for parameter in model.captioner.parameters()} if model.captioner is not None else set()
        ordinary = ordinary_parameters(model)
        groups = (
            (config.fine_tuning.backbone_lr, [p for p in backbone.parameters() if p.requires_grad]),
            (config.lr, [p for p in ordinary if id(p) not in spoken]),
            (config.caption_lr, [p for p in ordinary if id(p) in spoken]),
        )
        self._heads = ordinary
        self._optimiser = torch.optim.AdamW(
            [{"params": parameters, "lr": lr} for lr, parameters in groups if parameters],
            weight_decay=config.weight_decay,
            fused=True,
        )
        self._frugal = frugal_optimisers(model, config.lr, weight_decay=config.weight_decay, seed=config.seed)
        self.optimisers = [self._optimiser, *self._frugal]
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self._tuning.precision == "fp16")
        self.chunk = self._tuning.chunk_on(self._device.type)
        self.skipped = 0

    @property
    def part_name(self) -> str:
        """What the one part is called: it is chosen by the score if there is one, else by the classes, else by the captions."""
        return "captioner" if self.model.heads is None else "model"

    def step(self, split: Split, chosen: Sequence[int], views: Sequence[int], seed: int) -> tuple[Loss, Batch]:
        """Train on the samples `chosen`, each in its view; every process gives the same and ends with the same weights.

        Each process runs the backbone on the clips of its share. The heads, which are small beside it, all run on all samples:
        so each loss is divided by how many samples of the whole step have the label, and only the backbone's gradient has to be
        summed over the processes.

        Args:
            views: per sample of the split the number of its view.
            seed: of everything random in this step.

        Returns:
            The loss and the batch.
        """
        training_mode(self.backbone, self._tuning.batch_norm)
        self.model.train()
        set_precision(self._device, self._tuning.precision)
        mine, counts = self._features.dealt(split.views, chosen)
        features = self.recomputed(split.views, [(index, views[index], clip) for index, clip in mine], seed)
        leaf = torch.cat(self.processes.gather_rows(features.forward(), counts)).requires_grad_()
        batch = split.batch_of(chosen, self._features.by_sample(split.views, chosen, leaf))
        torch.manual_seed(seed)
        loss = multitask_loss(self.model, batch)
        if loss.total is None:  # no sample of this batch has a label
            return loss, batch
        self.forget_gradients()
        loss.total.backward()
        first = sum(counts[: self.processes.rank])
        gradient = leaf.grad[first : first + len(mine)]
        # What has no graph needs no factor: only the backbone computes in fp16, and a power of two changes no other bit.
        factor = self._scaler.scale(torch.ones((), device=self._device))
        features.backward(gradient * factor)
        self.processes.sum_gradients(self.backbone.parameters())
        if self._scaler.is_enabled():
            for parameter in self._heads:
                if parameter.grad is not None:
                    parameter.grad *= factor
        self._take_step()
        return loss, batch

    def recomputed(
        self, frames: FrameViews, clips: Sequence[tuple[int, int, int]], seed: int = 0
    ) -> RecomputedFeatures:
        """The features of clips, each a sample's index, its view and the clip's number, and the way back to the backbone."""
        return RecomputedFeatures(
            self.backbone,
            partial(self._features.load, frames, clips),
            len(clips),
            self.chunk,
            self._features.dim,
            seed=seed + self.processes.rank,
            autocast=TORCH_DTYPES[self._tuning.precision] if self._tuning.precision in _AUTOCAST else None,
        )

    def state(self) -> dict:
        """For a checkpoint, beside that of its optimisers."""
        return {
            "model": self.model.state_dict(),
            "backbone": self.backbone.state_dict(),
            "scaler": self._scaler.state_dict(),
            "skipped": self.skipped,
        }

    def restore(self, state: Mapping) -> None:
        self.model.load_state_dict(state["model"])
        self.backbone.load_state_dict(state["backbone"])
        self._scaler.load_state_dict(dict(state["scaler"]))
        self.skipped = state["skipped"]

    def forget_gradients(self) -> None:
        for parameter in self.modules.parameters():
            parameter.grad = None

    def _take_step(self) -> None:
        self._scaler.step(self._optimiser)
        before = self._scaler.get_scale()
        self._scaler.update()
        self.skipped += self._scaler.get_scale() < before
        for optimiser in self._frugal:
            optimiser.step()
