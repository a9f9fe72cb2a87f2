"""What a trained model says of samples."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from aqa_cache.annotations import Sample
from aqa_cache.short_repr import short_repr

from ..captions.vocabulary import Vocabulary
from ..data.batches import Split, pad_clips
from ..networks.model import AqaModel
from ..networks.score_heads.known import known_of
from ..networks.score_heads.seam import ScorePrediction
from .uncertainty import interval_of_distribution, interval_of_spread

BATCH_SIZE = 64


@dataclass(frozen=True)
class Predictions:
    """One entry per sample.

    Args:
        score: `(samples,)` float64 in points, NaN where the difficulty is needed and not known; None if the
            model has no score head.
        classes: class names by column.
        captions: None if the model has no captioner or was not asked for captions.
        contributions: per sample `(clips,)`, the encoder's weights of the clips; None where it has none.
        attention: per sample `(words, clips)`, the captioner's weights at every word of its caption; None
            where it has none.
        spread: `(samples,)` float64, a standard deviation of the score in points; None where the score head
            has none.
        interval: `(samples, 2)` float64, between which points 90 % of the scores are to lie; None where there
            is no spread.
        fallen_back: `(samples,)` bool, of which something that the score head reads was not known; None: of
            none. fallback: what it did there, in words.
        distribution: the score's points and their probabilities, both `(samples, bins)` float64; None where
            the score head has none.
        probabilities: by column `(samples, classes)` float64, in the order of the model's class names.
        encoded: `(samples, width)` float32, what the encoder gives; None where it was not asked for, or there
            is none.
    """

    score: np.ndarray | None
    classes: dict[str, list[str]]
    captions: list[str] | None = None
    contributions: list[np.ndarray] | None = None
    attention: list[np.ndarray] | None = None
    spread: np.ndarray | None = None
    distribution: tuple[np.ndarray, np.ndarray] | None = None
    interval: np.ndarray | None = None
    fallen_back: np.ndarray | None = None
    fallback: str = ""
    probabilities: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    encoded: np.ndarray | None = None

    __repr__ = short_repr


@torch.no_grad()
def predict(
    model: AqaModel,
    clips: Sequence[torch.Tensor],
    vocabulary: Vocabulary | None = None,
    *,
    factor: np.ndarray | None = None,
    beam: int = 1,
    samples: Sequence[Sample] | None = None,
    encode: bool = False,
) -> Predictions:
    """Score, classes and, with a vocabulary, captions of samples; neighbours change at most the last bits.

    Args:
        model: left in the mode, training or evaluation, in which it was given.
        clips: features of each sample, `(clips, dim)` float32, on the model's device.
        factor: `(samples,)`, what the score head's answers are multiplied by; None: 1.
        beam: captions kept at every word; 1 is greedy.
        samples: what annotations say of them, for a score head that needs difficulty or key; None: nothing.
        encode: give what the encoder gives, too.
    """
    training = model.training
    model.eval()
    words = vocabulary if model.captioner is not None else None
    said = _Said(model)
    for start in range(0, len(clips), BATCH_SIZE):
        chosen = range(start, min(start + BATCH_SIZE, len(clips)))
        features, lengths = pad_clips([clips[index] for index in chosen])
        of_these = [samples[index] if samples is not None else None for index in chosen]
        said.add_answers(features, lengths, of_these, encode)
        said.add_contributions(features, lengths)
        if words is not None:
            said.add_captions(features, lengths, words, beam)
    model.train(training)
    predictions = Predictions(
        None,
        said.classes,
        None if words is None else said.captions,
        said.contributions or None,
        said.attention or None,
        probabilities={name: _array(batches) for name, batches in said.probabilities.items()},
        encoded=np.concatenate(said.encoded) if said.encoded else None,
    )
    if model.heads is None or model.heads.score is None:
        return predictions
    return replace(predictions, **_joined(said.scores, factor), fallback=model.heads.score.fallback)


class _Said:
    """What a model says, gathered batch by batch."""

    def __init__(self, model: AqaModel):
        self._model = model
        self.scores: list[ScorePrediction] = []
        self.classes: dict[str, list[str]] = {name: [] for name in model.class_names}
        self.probabilities: dict[str, list[torch.Tensor]] = {name: [] for name in model.class_names}
        self.encoded: list[np.ndarray] = []
        self.contributions: list[np.ndarray] = []
        self.captions: list[str] = []
        self.attention: list[np.ndarray] = []

    def add_answers(
        self,
        features: torch.Tensor,
        lengths: torch.Tensor,
        samples: Sequence[Sample | None],
        encode: bool,
    ) -> None:
        """Those of the heads, and where asked for the encoder's output."""
        model = self._model
        if model.heads is None:
            return
        known = None
        if model.heads.score is not None:
            known = known_of(samples, model.heads.score, model.class_names, features.device)
        inside = model.encode(features, lengths)
        score, classes = model.heads(inside, known)
        if encode:
            self.encoded.append(inside.pooled.float().cpu().numpy())
        if score is not None:
            self.scores.append(score)
        for name, logits in classes.items():
            self.classes[name] += [model.class_names[name][number] for number in _values(logits.argmax(1))]
            self.probabilities[name].append(logits.double().softmax(1))

    def add_contributions(self, features: torch.Tensor, lengths: torch.Tensor) -> None:
        model = self._model
        if model.encoder is None or not model.encoder.weighs_clips:
            return
        weights = model.encoder.contributions(model.seen(features, lengths), lengths)
        self.contributions += [
            row[:n].cpu().numpy() for row, n in zip(weights, _values(lengths), strict=True)
        ]

    def add_captions(
        self, features: torch.Tensor, lengths: torch.Tensor, words: Vocabulary, beam: int
    ) -> None:
        generated = self._model.generate(features, lengths, beam=beam)
        hypotheses = [words.decode(numbers) for numbers in _values(generated.words)]
        self.captions += hypotheses
        if generated.attention is not None:
            self.attention += [
                row[: len(caption.split()), :n].cpu().numpy()
                for row, caption, n in zip(generated.attention, hypotheses, _values(lengths), strict=True)
            ]


def _joined(scores: Sequence[ScorePrediction], factor: np.ndarray | None) -> dict[str, Any]:
    """The predicted scores, of all batches together, times `factor`."""
    times = np.ones(1) if factor is None else factor
    joined: dict[str, Any] = {"score": _array([each.points for each in scores]) * times}
    if spreads := [each.spread for each in scores if each.spread is not None]:
        joined["spread"] = _array(spreads) * times
    if made := [each.distribution for each in scores if each.distribution is not None]:
        points = [each.points.expand_as(each.probabilities) for each in made]
        probabilities = _array([each.probabilities for each in made])
        joined["distribution"] = (_array(points) * times.reshape(-1, 1), probabilities)
    if intervals := [each.interval for each in scores if each.interval is not None]:
        joined["interval"] = _array(intervals) * times.reshape(-1, 1)
    elif "distribution" in joined:
        joined["interval"] = interval_of_distribution(*joined["distribution"])
    elif "spread" in joined:
        joined["interval"] = interval_of_spread(joined["score"], joined["spread"])
    if lacking := [each.fallen_back for each in scores if each.fallen_back is not None]:
        joined["fallen_back"] = _array(lacking) > 0
    return joined


def _values(numbers: Any) -> list[Any]:
    """The values of a tensor as numbers, or lists of them; torch's types do not say which."""
    return numbers.tolist()


def _array(batches: Sequence[torch.Tensor]) -> np.ndarray:
    return np.concatenate([batch.double().cpu().numpy() for batch in batches]) if batches else np.empty(0)


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
        if batch.inputs is not None and batch.targets is not None and batch.positions is not None:
            told += float(
                model.caption_loss(
                    batch.features, batch.lengths, batch.inputs, batch.targets, batch.positions
                )
            )
            words += len(batch.targets)
    model.train(training)
    return told / words if words else None
