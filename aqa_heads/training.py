"""Train one run: a row of Table 1 on the features of a cache."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from aqa_cache.cache import FeatureCache
from aqa_cache.devices import pick_device, process_peak_memory

from .configuration import TrainingConfig
from .errors import TrainingError
from .losses import CAPTION_WEIGHT, Loss, multitask_loss
from .metrics import relative_l2, spearman
from .model import AqaModel
from .predictions import Predictions, predict
from .records import describe, prediction_columns, scored, summarise
from .runs import Epoch, Run, new_run_folder, read_run, write_run
from .targets import Batch, Split, TrainingData, read_training_data, usable_tasks

_NO_MEMORY = ("can't allocate memory", "size calculation overflowed")


def train(
    config: TrainingConfig,
    *,
    say: Callable[[str], None] = lambda line: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Run:
    """Train one run and write its folder.

    On the CPU the same config on the same features gives the same bits, for the same number of threads. The caller's
    random numbers are left as they were.

    Args:
        say: is given each line that a person should read, before training.
        on_epoch: is given each epoch when it is over.

    Raises:
        AqaError: the config, the cache or the run folder cannot be used, or the loss diverged; nothing is written.

    Example::

        from aqa_heads import TrainingConfig, train

        run = train(TrainingConfig("feats.h5", experiment="7", epochs=20))
        print(run.summary["spearman"], run.folder)
    """
    started = time.perf_counter()
    device = pick_device(config.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with _cpu_threads(config.threads), FeatureCache(config.features) as cache:
        asked, config = config.tasks, replace(config, tasks=usable_tasks(cache, config.tasks))
        folder = config.run_folder(cache.meaning.backbone)
        with new_run_folder(folder, config.overwrite) as temporary:
            data = read_training_data(cache, asked, config.views)
            record = describe(config, cache, data, device)
            for line in record["notes"]:
                say(line)
            random_devices = [device] if device.type == "cuda" else []
            with _out_of_memory_explained(device), torch.random.fork_rng(devices=random_devices):
                torch.manual_seed(config.seed)
                model = AqaModel.from_config(record, len(data.vocabulary or ()))
                if config.standardise:
                    # On plain views, as what is evaluated: the model's input then means the same whatever it was trained on.
                    model.standardiser.fit([clips.numpy() for clips in data.train.clips])
                model.to(device)
                data = data.to(device)
                epochs = _fit(model, data, config, on_epoch)
                predictions = {
                    "train": predict(model, data.train.clips),
                    "test": predict(model, data.test.clips, data.vocabulary),
                }
            summary = summarise(data, predictions["test"], epochs) | {
                "parameters": model.parameter_count,
                "seconds": time.perf_counter() - started,
                "peak_memory_bytes": _peak_memory(device),
            }
            columns = prediction_columns(data, predictions)
            write_run(temporary, record, epochs, columns, summary, data.vocabulary, model)
    return read_run(folder)


def _fit(model: AqaModel, data: TrainingData, config: TrainingConfig, on_epoch: Callable[[Epoch], None]) -> list[Epoch]:
    optimiser = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    epochs = []
    for number in range(1, config.epochs + 1):
        started = time.perf_counter()
        losses = _train_epoch(model, optimiser, data.train, config.batch_size, _seed_of(config.seed, number))
        tested = predict(model, data.test.clips)
        if not math.isfinite(losses["train_loss"]) or not _all_finite(tested):
            raise TrainingError(
                f"training diverged in epoch {number} (a loss is not finite); try an --lr below {config.lr:g}"
            )
        predicted, true = scored(tested, data.test)
        metrics = {"test_spearman": spearman(predicted, true), "test_relative_l2": relative_l2(predicted, true)}
        epochs.append(Epoch(number, **losses, **metrics, seconds=time.perf_counter() - started))
        on_epoch(epochs[-1])
    # The last step's weights are in no training loss.
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        raise TrainingError(
            f"training diverged in epoch {config.epochs} (a weight is not finite); try an --lr below {config.lr:g}"
        )
    return epochs


def _train_epoch(model: AqaModel, optimiser: torch.optim.Optimizer, split: Split, batch_size: int, seed: int) -> dict:
    model.train()
    sums = LossSums()
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(split.labelled), generator=generator)
    # After the order, and not from torch's global numbers: more views change neither order nor dropout.
    views = split.draw_views(generator)
    for chosen in order.split(batch_size):
        batch = split.batch([split.labelled[index] for index in chosen.tolist()], views)
        loss = multitask_loss(model, batch)
        optimiser.zero_grad(set_to_none=True)
        loss.total.backward()
        optimiser.step()
        sums.add(loss, batch)
    return sums.means()


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
        """The losses of an `Epoch`, each the mean over all samples that have the label."""
        means, counts = {}, {}
        for key, batches in self._batches.items():
            weights = torch.tensor([count for _, count in batches], dtype=torch.float64)
            counts[key] = float(weights.sum())
            means[key] = float(torch.stack([part for part, _ in batches]).cpu().double() @ weights) / counts[key]
        score, caption = means.pop(("score",), None), means.pop(("caption",), None)
        classes = sum(means.values()) if means else None
        total = (score or 0.0) + (classes or 0.0) + CAPTION_WEIGHT * (caption or 0.0)
        per_word = None if caption is None else caption * counts["caption",] / self._words
        return {
            "train_loss": total,
            "train_score_loss": score,
            "train_class_loss": classes,
            "train_caption_loss": caption,
            "train_caption_loss_per_token": per_word,
        }


def _seed_of(seed: int, epoch: int) -> int:
    # torch's generators use 32 bits of a seed, so both numbers are mixed into them.
    return int(np.random.SeedSequence(seed, spawn_key=(epoch,)).generate_state(1)[0])


def _all_finite(predictions: Predictions) -> bool:
    return predictions.score is None or bool(np.isfinite(predictions.score).all())


@contextmanager
def _cpu_threads(number: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _out_of_memory_explained(device: torch.device) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # On the CPU torch raises a plain RuntimeError.
        known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not known and not any(words in str(error) for words in _NO_MEMORY):
            raise
        said = (str(error) or "out of memory").splitlines()[0]
        raise TrainingError(
            f"{device} has not enough memory ({said}); "
            "try a smaller --batch-size or --encoder-hidden" + ("" if device.type == "cpu" else ", or --device cpu")
        ) from None


def _peak_memory(device: torch.device) -> int | None:
    """Bytes: on a GPU those of its tensors since the run began, else those of the whole process since it began."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return process_peak_memory()
