"""The epochs of a run: every part of the model trained, validated, stopped when it no longer improves, and
kept at its best.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import astuple

import numpy as np
import torch
from torch import nn

from ..data.training_data import Split, TrainingData
from ..errors import DivergedError
from ..networks.frugal_lstm import frugal_optimisers, ordinary_parameters
from ..networks.model import AqaModel
from ..runs.folder import BEST, Work
from ..runs.format import Epoch
from ..settings.training import TrainingConfig
from .best_weights import BestWeights
from .epoch_results import evaluate, losses_of, value_of
from .loss_sums import LossSums
from .losses import assessment_loss, captioner_loss, multitask_loss
from .part import Part

_LOSSES = {"assessment": assessment_loss, "captioner": captioner_loss, "model": multitask_loss}


def fit(
    model: AqaModel,
    data: TrainingData,
    config: TrainingConfig,
    work: Work,
    on_epoch: Callable[[Epoch], None],
    *,
    kept: Mapping,
    checkpoint: Mapping | None = None,
) -> tuple[list[Epoch], list[Part]]:
    """Train `model`, from `checkpoint` on if there is one, and leave it at what is to be reported.

    What is random in an epoch (order, views, dropout) follows from seed, epoch and part alone, so an
    interrupted run goes on as if it had not been, and parts do not change each other.

    Args:
        work: where checkpoints are written.
        kept: what else a checkpoint holds, plain JSON.
        checkpoint: what an interrupted run of the same config wrote.

    Returns:
        All epochs, and the parts with what was chosen.

    Raises:
        DivergedError: a loss, weight or prediction is not finite.
    """
    parts = [_part(name, modules, config, work) for name, modules in model.parts.items()]
    epochs: list[Epoch] = []
    if checkpoint is not None:
        model.load_state_dict(checkpoint["model"])
        for part in parts:
            part.restore(checkpoint["parts"][part.name])
        epochs = [Epoch(*row) for row in checkpoint["epochs"]]
        del checkpoint
    elif start_may_be_best(model, data):
        try:
            parts[0].judge(0, value_of(parts[0].name, evaluate(model, data, parts)), config.patience)
        except FloatingPointError as error:
            raise diverged(0, error, config) from None
    for number in range(len(epochs) + 1, config.epochs + 1):
        if all(part.stopped for part in parts):
            break
        started = time.perf_counter()
        for part in parts:
            if not part.stopped:
                part.losses = _train_epoch(model, part, data.train, config, number)
        try:
            row = losses_of(parts) | evaluate(model, data, [part for part in parts if not part.stopped])
        except FloatingPointError as error:
            raise diverged(number, error, config) from None
        for part in parts:
            if not part.stopped:
                part.judge(number, value_of(part.name, row), config.patience)
        epochs.append(Epoch(epoch=number, **row, seconds=time.perf_counter() - started))
        on_epoch(epochs[-1])
        work.save(
            lambda: {
                **kept,
                "model": model.state_dict(),
                "parts": {part.name: part.state() for part in parts},
                "epochs": [list(astuple(epoch)) for epoch in epochs],
            }
        )
    for part in parts:
        if part.best_epoch is not None:
            part.best.put_back(part.modules)
    check_finite(model, len(epochs), config)
    return epochs, parts


def start_may_be_best(model: AqaModel, data: TrainingData) -> bool:
    """Whether what training starts from may be better than where it goes, and is a choice.

    Class heads know nothing yet: with them it is none.
    """
    return (
        model.heads is not None
        and model.heads.direct is not None
        and not model.class_names
        and len(data.val) > 0
    )


def check_finite(module: nn.Module, epoch: int, config: TrainingConfig) -> None:
    """Raise DivergedError where a weight is not finite: those of the last step are in no training loss."""
    # Their ends tell without a copy of them.
    ends = [end for parameter in module.parameters() for end in parameter.detach().aminmax()]
    if not torch.stack(ends).isfinite().all():
        raise diverged(epoch, "a weight is not finite", config)


def diverged(epoch: int, why: object, config: TrainingConfig) -> DivergedError:
    rates = f"an --lr below {config.lr:g} or a --caption-lr below {config.caption_lr:g}"
    if config.fine_tuning is not None:
        rates = f"a --backbone-lr below {config.fine_tuning.backbone_lr:g}, {rates}"
    return DivergedError(f"training diverged in epoch {epoch} ({why}); try {rates}")


def _part(name: str, modules: nn.Module, config: TrainingConfig, work: Work) -> Part:
    lr = config.caption_lr if name == "captioner" else config.lr
    ordinary = torch.optim.AdamW(
        ordinary_parameters(modules), lr=lr, weight_decay=config.weight_decay, fused=True
    )
    frugal = frugal_optimisers(modules, lr, weight_decay=config.weight_decay, seed=config.seed)
    return Part(name, modules, [ordinary, *frugal], BestWeights(work.path / BEST.format(name)))


def steps_of(split: Split, config: TrainingConfig, epoch: int) -> tuple[list[list[int]], list[int]]:
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


def _train_epoch(
    model: AqaModel, part: Part, split: Split, config: TrainingConfig, number: int
) -> dict[str, float]:
    model.train()
    sums = LossSums()
    steps, views = steps_of(split, config, number)
    torch.manual_seed(seed_of(config.seed, number, list(_LOSSES).index(part.name)))
    for chosen in steps:
        batch = split.batch(chosen, views)
        loss = _LOSSES[part.name](model, batch)
        total = loss.total
        if total is None:  # no sample of this batch has a label of this part's tasks
            continue
        part.step(total)
        sums.add(loss, batch)
    return sums.means()


def seed_of(*numbers: int) -> int:
    # torch's generators use 32 bits of a seed, so all numbers are mixed into them.
    return int(np.random.SeedSequence(numbers[0], spawn_key=numbers[1:]).generate_state(1)[0])
