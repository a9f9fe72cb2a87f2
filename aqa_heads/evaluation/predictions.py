"""What a trained model says of samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..captions.vocabulary import Vocabulary
from ..data.training_data import Split, pad_clips
from ..networks.model import AqaModel

BATCH_SIZE = 64


@dataclass(frozen=True)
class Predictions:
    """One entry per sample.

    Args:
        score: `(samples,)` float64 in points, NaN where the difficulty is needed and not known; None if the
            model has no score head.
        classes: class names by column.
        captions: None if the model has no captioner or was not asked to speak.
        contributions: per sample `(clips,)`, the encoder's weights of the clips; None where it has none.
        attention: per sample `(words, clips)`, the captioner's weights at every word of its caption; None
            where it has none.
    """

    score: np.ndarray | None
    classes: dict[str, list[str]]
    captions: list[str] | None = None
    contributions: list[np.ndarray] | None = None
    attention: list[np.ndarray] | None = None


@torch.no_grad()
def predict(
    model: AqaModel,
    clips: Sequence[torch.Tensor],
    vocabulary: Vocabulary | None = None,
    *,
    factor: np.ndarray | None = None,
    beam: int = 1,
) -> Predictions:
    """Score, classes and, with a vocabulary, captions of samples; neighbours change at most the last bits.

    Args:
        model: left in the mode, training or evaluation, in which it was given.
        clips: features of each sample, `(clips, dim)` float32, on the model's device.
        factor: `(samples,)`, what the score head's answers are multiplied by; None: 1.
        beam: captions kept at every word; 1 is greedy.
    """
    training = model.training
    model.eval()
    scores, classes, captions, contributions, attention = (
        [],
        {name: [] for name in model.class_names},
        [],
        [],
        [],
    )
    words = vocabulary if model.captioner is not None else None
    weigh = getattr(model.encoder, "contributions", None)
    for start in range(0, len(clips), BATCH_SIZE):
        features, count = pad_clips(
            [clips[index] for index in range(start, min(start + BATCH_SIZE, len(clips)))]
        )
        output = model(features, count)
        if output.score is not None:
            scores.append(output.score.double().cpu().numpy() * model.score_scale + model.score_centre)
        for name, logits in output.classes.items():
            classes[name] += [model.class_names[name][number] for number in logits.argmax(1).tolist()]
        if weigh is not None:
            weights = weigh(model.seen(features, count), count)
            contributions += [row[:n].cpu().numpy() for row, n in zip(weights, count.tolist(), strict=True)]
        if words is not None:
            spoken = model.speak(features, count, beam=beam)
            said = [words.decode(numbers) for numbers in spoken.words.tolist()]
            captions += said
            if spoken.attention is not None:
                attention += [
                    row[: len(caption.split()), :n].cpu().numpy()
                    for row, caption, n in zip(spoken.attention, said, count.tolist(), strict=True)
                ]
    model.train(training)
    score = None
    if model.has_score:
        score = (np.concatenate(scores) if scores else np.empty(0)) * (1.0 if factor is None else factor)
    captions = None if words is None else captions
    return Predictions(score, classes, captions, contributions or None, attention or None)


@torch.no_grad()
def caption_loss_per_token(model: AqaModel, split: Split) -> float | None:
    """Mean negative log-likelihood in nats of the words of the captions of `split`, `<eos>` included.

    None where no caption is there to be told, or nobody to tell it.
    """
    if model.captioner is None:
        return None
    training = model.training
    model.eval()
    told, words = 0.0, 0
    for start in range(0, len(split), BATCH_SIZE):
        batch = split.batch(range(start, min(start + BATCH_SIZE, len(split))))
        if batch.heard is not None and batch.following is not None:
            told += float(
                model.caption_loss(batch.features, batch.count, batch.heard, batch.following, batch.positions)
            )
            words += len(batch.following)
    model.train(training)
    return told / words if words else None
