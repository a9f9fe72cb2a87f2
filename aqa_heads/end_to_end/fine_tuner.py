"""One step of end-to-end training."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from aqa_cache.clips.preprocess import Preprocessing

from ..data.batches import Batch, Split
from ..networks.frugal_lstm import frugal_optimisers, ordinary_parameters
from ..networks.model import AqaModel, is_frugal
from ..settings.fine_tuning import CLIP_CHUNKS
from ..settings.resolved import ResolvedConfig
from ..training.losses import Loss, multitask_loss
from ..training.processes import Processes
from .precision import autocast_dtype, products_in
from .recomputation import RecomputedFeatures
from .shared_clips import SharedClips
from .trainable import training_mode


class FineTuner:
    """A backbone and a model of its features, trained together.

    Args:
        backbone: as `trainable.prepare` leaves it, on the processes' device; model: on the same device.
        preprocessing: of the frames; dim: size of one clip feature.
        config: of the run.
        processes: among which the samples of a step are shared.

    Attributes:
        modules (nn.ModuleDict): all that is trained.
        optimisers (list): one AdamW with a learning rate for the backbone, one for encoder and heads and one
            for the captioner; an encoder that has its own optimiser beside it.
        steps (int): so far; skipped (int): those of them that were not taken, as a gradient was not finite in
            fp16.
    """

    def __init__(
        self,
        backbone: nn.Module,
        model: AqaModel,
        preprocessing: Preprocessing,
        dim: int,
        config: ResolvedConfig,
        processes: Processes,
    ):
        self.backbone, self.model, self.processes, self.chunk = (
            backbone,
            model,
            processes,
            chunk_of(config, processes.device),
        )
        self._preprocessing, self._dim, self._tuning, self._device = (
            preprocessing,
            dim,
            config.fine_tuning,
            processes.device,
        )
        heads = {name: module for part in model.parts.values() for name, module in part.items()}
        self.modules = nn.ModuleDict({"backbone": backbone, **heads})
        of_captioner = (
            {id(parameter) for parameter in model.captioner.parameters()}
            if model.captioner is not None
            else set()
        )
        ordinary = ordinary_parameters(model)
        groups = (
            (config.fine_tuning.backbone_lr, [p for p in backbone.parameters() if p.requires_grad]),
            (config.lr, [p for p in ordinary if id(p) not in of_captioner]),
            (config.caption_lr, [p for p in ordinary if id(p) in of_captioner]),
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
        self.steps = 0
        self.skipped = 0

    @property
    def part_name(self) -> str:
        """What the one part is called: it is chosen by the score if there is one, else by the classes, else
        by the captions.
        """
        return "captioner" if self.model.heads is None else "model"

    def step(
        self, split: Split, chosen: Sequence[int], views: Sequence[int], seed: int
    ) -> tuple[Loss, Batch]:
        """Train on the samples `chosen`, each in its view; every process gives the same.

        Each process runs the backbone on the clips of its share. The heads, which are small beside it, all
        run on all samples: so each loss is divided by how many samples of the whole step have the label, and
        only the backbone's gradient has to be summed over the processes. On a CPU all end with the same
        weights; on GPUs the last bits of the heads may part until `Processes.equalise`.

        Args:
            views: per sample of the split the number of its view.
            seed: of everything random in this step.

        Returns:
            The loss and the batch.
        """
        training_mode(self.backbone, self._tuning.batch_norm)
        self.model.train()
        clips = SharedClips(split.views, chosen, views, self._preprocessing, self.processes)
        features = self.recomputed(clips.load, len(clips.mine), seed)
        with products_in(self._tuning.precision, self._device):
            mine = features.forward()
        leaf = torch.cat(self.processes.gather_rows(mine, clips.counts)).requires_grad_()
        batch = split.batch_of(chosen, clips.by_sample(leaf))
        torch.manual_seed(seed)
        self.forget_gradients()
        with products_in("fp32", self._device):
            loss = multitask_loss(self.model, batch)
            if loss.total is None:  # no sample of this batch has a label
                return loss, batch
            loss.total.backward()
        first = sum(clips.counts[: self.processes.rank])
        # Heads and loss need no factor: only the backbone computes in fp16, and a power of two changes no
        # other bit.
        factor = self._scaler.scale(torch.ones((), device=self._device))
        with products_in(self._tuning.precision, self._device):
            features.backward(leaf.grad[first : first + len(mine)] * factor)
        self.processes.sum_gradients(self.backbone.parameters())
        if self._scaler.is_enabled():
            for parameter in self._heads:
                if parameter.grad is not None:
                    parameter.grad *= factor
        self._take_step()
        return loss, batch

    def recomputed(
        self, load: Callable[[int, int], torch.Tensor], clips: int, seed: int = 0
    ) -> RecomputedFeatures:
        """The features of so many clips that `load` gives, and the way back to the backbone."""
        return RecomputedFeatures(
            self.backbone,
            load,
            clips,
            self.chunk,
            self._dim,
            seed=seed + self.processes.rank,
            autocast=autocast_dtype(self._tuning.precision),
        )

    def state(self) -> dict[str, Any]:
        """For a checkpoint, beside that of its optimisers."""
        return {
            "model": self.model.state_dict(),
            "backbone": self.backbone.state_dict(),
            "scaler": self._scaler.state_dict(),
            "steps": [self.steps, self.skipped],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.backbone.load_state_dict(state["backbone"])
        self._scaler.load_state_dict(dict(state["scaler"]))
        self.steps, self.skipped = state["steps"]

    def forget_gradients(self) -> None:
        for parameter in self.modules.parameters():
            parameter.grad = None

    def _take_step(self) -> None:
        self._scaler.step(self._optimiser)
        before = self._scaler.get_scale()
        self._scaler.update()
        self.steps += 1
        self.skipped += self._scaler.get_scale() < before
        for optimiser in self._frugal:
            optimiser.step()


def chunk_of(config: ResolvedConfig, device: torch.device) -> int:
    """Clips at a time: as many as asked for, else by the device; one beside an encoder that fills the memory
    as it is.
    """
    return config.fine_tuning.clip_chunk or (1 if trains_itself(config) else CLIP_CHUNKS[device.type])


def trains_itself(config: ResolvedConfig) -> bool:
    """Whether the run's encoder is one that trains in its own backward pass."""
    return is_frugal(config.encoder, config.encoder_hidden)
