"""The losses of an epoch, from those of its batches."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch

from ..data.batches import Batch
from .losses import Loss


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
            self._words += len(batch.targets)

    def means(self) -> dict[str, float]:
        """The losses of an `Epoch` that there are, each the mean over all samples that have the label."""
        means, counts = {}, {}
        for key, batches in self._batches.items():
            weights = torch.tensor([count for _, count in batches], dtype=torch.float64)
            counts[key] = float(weights.sum())
            parts = torch.stack([part.cpu().double() for part, _ in batches])
            means[key] = float(parts @ weights) / counts[key]
        score, caption = means.pop(("score",), None), means.pop(("caption",), None)
        losses = {
            "train_score_loss": score,
            "train_class_loss": sum(means.values()) if means else None,
            "train_caption_loss": caption,
            "train_caption_loss_per_token": caption and caption * counts["caption",] / self._words,
        }
        return {name: value for name, value in losses.items() if value is not None}

    def state(self) -> dict[str, Any]:
        """For a checkpoint, plain numbers."""
        batches = [
            [list(key), [(float(part), count) for part, count in batches]]
            for key, batches in self._batches.items()
        ]
        return {"batches": batches, "words": self._words}

    def restore(self, state: Mapping[str, Any]) -> None:
        for key, batches in state["batches"]:
            self._batches[tuple(key)] = [(torch.tensor(part), count) for part, count in batches]
        self._words = state["words"]
