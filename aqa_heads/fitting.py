"""The epochs of a run: every part of the model trained, validated, stopped when it no longer improves, and kept at its best."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field

import numpy as np
import torch
from torch import nn

from .best_weights import BestWeights
from .configuration import TrainingConfig
from .errors import DivergedError
from .frugal_lstm import FrugalLstmEncoder, ordinary_parameters
from .losses import CAPTION_WEIGHT, Loss, assessment_loss, captioner_loss, multitask_loss
from .metrics import accuracy, relative_l2, spearman
from .model import AqaModel
from .predictions import Predictions, caption_loss_per_token, predict
from .run_folder import BEST, Work
from .runs import Epoch
from .targets import Batch, Split, TrainingData

_LOSSES = {"assessment": assessment_loss, "captioner": captioner_loss, "model": multitask_loss}


@dataclass
class Part:
    """Weights that are trained together and share nothing with other parts.

    Args:
        name: `assessment` (encoder and heads), `captioner`, or `model`.
        optimisers: of its parameters; some encoders bring their own.
        best: its weights where the validation samples liked them best.
        best_value: what it reached there, the higher the better; None as long as nothing is chosen.
        stopped: it has not improved for so long that it is no longer trained.
    """

    name: str
    modules: nn.Module
    optimisers: list
    best: BestWeights
    best_value: float | None = None
    best_epoch: int | None = None
    stopped: bool = False
    losses: dict[str, float] = field(default_factory=dict)

    def judge(self, epoch: int, value: float | None, patience: int) -> None:
        """Keep the weights if `value` is the best so far; stop after `patience` epochs without a better one."""
        if value is None:
            return
        if self.best_value is None or value > self.best_value:
            self.best_value, self.best_epoch = value, epoch
            self.best.keep(self.modules)
        self.stopped = epoch - self.best_epoch >= patience

    def step(self, loss: torch.Tensor) -> None:
        for parameter in self.modules.parameters():
            parameter.grad = None
        loss.backward()
        for optimiser in self.optimisers:
            optimiser.step()

    def state(self) -> dict:
        return {
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "best": self.best.state(),
            "numbers": [self.best_value, self.best_epoch, self.stopped],
            "losses": self.losses,
        }

    def restore(self, state: Mapping) -> None:
        for optimiser, stored in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(stored)
        self.best.restore(state["best"])
        self.best_value, self.best_epoch, self.stopped = state["numbers"]
        self.losses = dict(state["losses"])


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

    What is random in an epoch (order, views, dropout) follows from seed, epoch and part alone, so an interrupted run goes on as if
    it had not been, and parts do not change each other.

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
    elif model.heads is not None and model.heads.direct is not None and not model.class_names and len(data.val):
        # What training starts from may be better than where it goes. Class heads know nothing yet: with them it is no choice.
        try:
            parts[0].judge(0, _value(parts[0].name, _evaluate(model, data, parts)), config.patience)
        except FloatingPointError as error:
            raise _diverged(0, error, config) from None
    for number in range(len(epochs) + 1, config.epochs + 1):
        if all(part.stopped for part in parts):
            break
        started = time.perf_counter()
        for part in parts:
            if not part.stopped:
                part.losses = _train_epoch(model, part, data.train, config, number)
        try:
            row = _losses(parts) | _evaluate(model, data, [part for part in parts if not part.stopped])
        except FloatingPointError as error:
            raise _diverged(number, error, config) from None
        for part in parts:
            if not part.stopped:
                part.judge(number, _value(part.name, row), config.patience)
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
    # The last step's weights are in no training loss. Their ends tell without a copy of them.
    ends = [end for parameter in model.parameters() for end in parameter.detach().aminmax()]
    if not torch.stack(ends).isfinite().all():
        raise _diverged(len(epochs), "a weight is not finite", config)
    return epochs, parts


def _diverged(epoch: int, why: object, config: TrainingConfig) -> DivergedError:
    return DivergedError(
        f"training diverged in epoch {epoch} ({why}); try an --lr below {config.lr:g} or a --caption-lr below {config.caption_lr:g}"
    )


def _part(name: str, modules: nn.Module, config: TrainingConfig, work: Work) -> Part:
    lr = config.caption_lr if name == "captioner" else config.lr
    ordinary = torch.optim.AdamW(ordinary_parameters(modules), lr=lr, weight_decay=config.weight_decay, fused=True)
    frugal = [
        module.set_optimiser(lr, weight_decay=config.weight_decay, seed=config.seed)
        for module in modules.modules()
        if isinstance(module, FrugalLstmEncoder)
    ]
    return Part(name, modules, [ordinary, *frugal], BestWeights(work.path / BEST.format(name)))


def _train_epoch(model: AqaModel, part: Part, split: Split, config: TrainingConfig, number: int) -> dict[str, float]:
    model.train()
    sums = LossSums()
    generator = torch.Generator().manual_seed(_seed(config.seed, number))
    order = torch.randperm(len(split.labelled), generator=generator)
    # After the order, and not from torch's global numbers: more views change neither order nor dropout.
    views = split.draw_views(generator)
    torch.manual_seed(_seed(config.seed, number, list(_LOSSES).index(part.name)))
    for chosen in order.split(config.batch_size):
        batch = split.batch([split.labelled[index] for index in chosen.tolist()], views)
        loss = _LOSSES[part.name](model, batch)
        total = loss.total
        if total is None:  # no sample of this batch has a label of this part's tasks
            continue
        part.step(total)
        sums.add(loss, batch)
    return sums.means()


def _evaluate(model: AqaModel, data: TrainingData, parts: Sequence[Part]) -> dict[str, float | None]:
    """The columns of an `Epoch` that are measured after it: on held-out samples if there are any, else on the test samples.

    Args:
        parts: those that are still trained; of others there is nothing new to say.
    """
    row = dict.fromkeys(
        ("val_spearman", "val_relative_l2", "val_class_accuracy", "val_caption_loss_per_token", "test_spearman",
         "test_relative_l2")
    )  # fmt: skip
    held_out = bool(len(data.val))
    split, prefix = (data.val, "val") if held_out else (data.test, "test")
    names = {part.name for part in parts}
    if names - {"captioner"}:
        row |= _assess(model, split, prefix)
    if held_out and names - {"assessment"}:
        loss = row["val_caption_loss_per_token"] = caption_loss_per_token(model, split)
        if loss is not None and not math.isfinite(loss):
            raise FloatingPointError("the loss of the validation captions is not finite")
    return row


def _assess(model: AqaModel, split: Split, prefix: str) -> dict[str, float | None]:
    row = {}
    predictions = predict(model, split.clips, factor=split.factor)
    if predictions.score is not None:
        predicted, true = scored(predictions, split)
        if not np.isfinite(predicted).all():
            raise FloatingPointError("a predicted score is not finite")
        row = {f"{prefix}_spearman": spearman(predicted, true), f"{prefix}_relative_l2": relative_l2(predicted, true)}
    if prefix == "val":
        row["val_class_accuracy"] = _class_accuracy(predictions, split)
    return row


def scored(predictions: Predictions, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true scores, in points, of the samples that have both; empty if scores are not predicted."""
    if predictions.score is None:
        return np.empty(0), np.empty(0)
    true = np.array(
        [np.nan if sample.final_score is None else sample.final_score for sample in split.samples], np.float64
    )
    both = ~np.isnan(true) & ~np.isnan(split.factor)
    return predictions.score[both], true[both]


def _class_accuracy(predictions: Predictions, split: Split) -> float | None:
    shares = []
    for name, said in predictions.classes.items():
        labelled = [index for index, sample in enumerate(split.samples) if name in sample.classes]
        if labelled:
            true = [split.samples[index].classes[name] for index in labelled]
            shares.append(accuracy([said[index] for index in labelled], true))
    return float(np.mean(shares)) if shares else None


def _value(part: str, row: Mapping) -> float | None:
    """What a part is chosen by, the higher the better; None where nothing can be said."""
    if part == "captioner":
        loss = row["val_caption_loss_per_token"]
        return None if loss is None else -loss
    value = row["val_spearman"] if row["val_spearman"] is not None else row["val_class_accuracy"]
    return None if value is None or math.isnan(value) else value


def _losses(parts: Sequence[Part]) -> dict[str, float | None]:
    """The training losses of an `Epoch`; a part that is no longer trained has none but counts in their sum."""
    row = dict.fromkeys(("train_score_loss", "train_class_loss", "train_caption_loss", "train_caption_loss_per_token"))
    total = 0.0
    for part in parts:
        total += part.losses.get("train_score_loss", 0.0) + part.losses.get("train_class_loss", 0.0)
        total += CAPTION_WEIGHT * part.losses.get("train_caption_loss", 0.0)
        if not part.stopped:
            row |= part.losses
    if not math.isfinite(total):
        raise FloatingPointError("a loss is not finite")
    return {"train_loss": total} | row


class LossSums:
    """The losses of an epoch's batches, kept on the device until their means are asked for."""

    def __init__(self):
        self._batches: dict[tuple[str, ...], list[tuple[torch.Tensor, int]]] = defaultdict(list)
        self._words = 0

    def add(self, loss: Loss, batch: Batch) -> None:
        if loss.score is not None:
            self._batches["score",].append((loss.score.detach(), len(batch.scored)))
        for name, part in loss.classes.items():
            self._batches["class", name].append((part.detach(), len(batch.classified[name])))
        if loss.caption is not None:
            self._batches["caption",].append((loss.caption.detach(), batch.captions))
            self._words += len(batch.following)

    def means(self) -> dict[str, float]:
        """The losses of an `Epoch` that there are, each the mean over all samples that have the label."""
        means, counts = {}, {}
        for key, batches in self._batches.items():
            weights = torch.tensor([count for _, count in batches], dtype=torch.float64)
            counts[key] = float(weights.sum())
            means[key] = float(torch.stack([part for part, _ in batches]).cpu().double() @ weights) / counts[key]
        score, caption = means.pop(("score",), None), means.pop(("caption",), None)
        losses = {
            "train_score_loss": score,
            "train_class_loss": sum(means.values()) if means else None,
            "train_caption_loss": caption,
            "train_caption_loss_per_token": caption and caption * counts["caption",] / self._words,
        }
        return {name: value for name, value in losses.items() if value is not None}


def _seed(*numbers: int) -> int:
    # torch's generators use 32 bits of a seed, so all numbers are mixed into them.
    return int(np.random.SeedSequence(numbers[0], spawn_key=numbers[1:]).generate_state(1)[0])
