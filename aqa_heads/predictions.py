"""What a trained model says of samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .model import AqaModel
from .targets import pad_clips
from .vocabulary import Vocabulary

BATCH_SIZE = 64


@dataclass(frozen=True)
class Predictions:
    """One entry per sample.

    Args:
        score: `(samples,)` float64 in points; None if the model has no score head.
        classes: class names by column.
        captions: None if the model has no captioner or was not asked to speak.
    """

    score: np.ndarray | None
    classes: dict[str, list[str]]
    captions: list[str] | None


@torch.no_grad()
def predict(model: AqaModel, clips: Sequence[torch.Tensor], vocabulary: Vocabulary | None = None) -> Predictions:
    """Score, classes and, with a vocabulary, captions of samples; neighbours change at most the last bits.

    Args:
        model: left in the mode, training or evaluation, in which it was given.
        clips: features of each sample, `(clips, dim)` float32, on the model's device.
    """
    training = model.training
    model.eval()
    scores, classes, captions = [], {name: [] for name in model.class_names}, []
    for start in range(0, len(clips), BATCH_SIZE):
        features, count = pad_clips(clips[start : start + BATCH_SIZE])
        output = model(features, count)
        if output.score is not None:
            scores.append(output.score.double().cpu().numpy() * model.score_scale)
        for name, logits in output.classes.items():
            classes[name] += [model.class_names[name][number] for number in logits.argmax(1).tolist()]
        if vocabulary is not None and model.captioner is not None:
            captions += [vocabulary.decode(numbers) for numbers in model.speak(features, count).tolist()]
    model.train(training)
    has_score = model.heads is not None and model.heads.score is not None
    return Predictions(
        (np.concatenate(scores) if scores else np.empty(0)) if has_score else None,
        classes,
        captions if vocabulary is not None and model.captioner is not None else None,
    )
