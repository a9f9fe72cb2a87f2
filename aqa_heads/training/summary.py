"""What `summary.json` says of a run: its results on the test samples, beside the floors and the audit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import eq
from typing import Any

import numpy as np

from ..captions.caption_metrics import caption_metrics_or_why
from ..captions.vocabulary import unigram_loss
from ..data.batches import NO_CLASS
from ..data.training_data import TrainingData
from ..evaluation.audit import Audit
from ..evaluation.bootstrap import spearman_interval
from ..evaluation.conformal import share_interval
from ..evaluation.floors import judge_ceiling, score_floors
from ..evaluation.metric_intervals import metric_intervals
from ..evaluation.metrics import (
    accuracy,
    kendall,
    mean_absolute_error,
    pearson,
    per_group,
    relative_l2,
    spearman,
)
from ..evaluation.predictions import Predictions
from ..evaluation.uncertainty import uncertainty
from ..runs.tables import Epoch
from .choosing.choice import Choice, ChosenPart
from .epoch_results import scored, true_scores

METRICS = {
    "spearman": spearman,
    "kendall": kendall,
    "pearson": pearson,
    "relative_l2": relative_l2,
    "mae": mean_absolute_error,
}


def summarise(
    data: TrainingData,
    predictions: Mapping[str, Predictions],
    choice: Choice,
    audit: Audit,
    caption_loss: float | None,
    meteor: bool = True,
) -> dict[str, Any]:
    """The results for `summary.json`, on the test split. Accuracies are shares, 0 to 1.

    Args:
        predictions: by split.
        caption_loss: of the test captions, nats per token.
    """
    tested = predictions["test"]
    predicted, true = scored(tested, data.test)
    columns = {name: _class_columns(name, tested, data) for name in tested.classes}
    # Floors are fitted on all samples that are not tested: they are the same for every row and seed.
    known = [sample for split in (data.train, data.val) for sample in split.samples]
    scored_test = [
        s for s, factor in zip(data.test.samples, data.test.factor, strict=True) if not np.isnan(factor)
    ]
    all_scored = len(scored_test) == len(data.test)
    captions, caption_notes = _caption_results(data, tested, meteor)
    notes = [*_score_notes(data, predicted, true), *caption_notes]
    notes += [
        f"no test sample has a class in column {name!r}: its accuracy is not defined"
        for name, (said, *_) in columns.items()
        if not said
    ]
    if tested.fallen_back is not None and (count := int(tested.fallen_back.sum())):
        notes.append(f"{count} of {len(data.test)} test samples {tested.fallback}")
    notes += [_choice_note(part) for part in choice.parts if choice.validated and part.epoch in (None, 0)]
    epochs, refit = choice.epochs, choice.refit
    groups = [sample.group for sample in scored_test if sample.final_score is not None]
    return {
        **{name: metric(predicted, true) for name, metric in METRICS.items()},
        "interval": spearman_interval(true, predicted) if len(true) else None,
        "intervals": metric_intervals(true, predicted),
        "per_group": per_group(predicted, true, groups) if len(true) and any(groups) else {},
        **_uncertainty(tested, data),
        "class_accuracy": {name: accuracy(said, true) for name, (said, true, _) in columns.items()},
        "class_intervals": {
            name: share_interval(sum(map(eq, said, true)), len(true))
            for name, (said, true, _) in columns.items()
            if true
        },
        "majority_accuracy": {
            name: accuracy([majority] * len(true), true) for name, (_, true, majority) in columns.items()
        },
        "captions": captions,
        "caption_loss_per_token": caption_loss,
        "unigram_loss": _unigram_loss(data),
        "train_loss": refit["train_loss"] if refit else epochs[-1].train_loss if epochs else None,
        "chosen": {
            part.name: {"epoch": part.epoch, "metric": part.metric, "value": part.value}
            for part in choice.parts
            if part.epoch is not None
        },
        "epochs": len(epochs),
        **({"penalty": dict(choice.penalty)} if choice.penalty else {}),
        **({} if refit is None else {"refit": {name: refit[name] for name in ("steps", "epochs")}}),
        "best_test_spearman": _best_on_test(epochs),
        "n_train": len(data.train.labelled),
        "n_val": choice.validated,
        "n_test": len(data.test),
        "floors": audit.floors if all_scored else score_floors(known, scored_test),
        "ceiling": audit.ceiling if len(data.test) else judge_ceiling([]),
        "audit": audit.record(),
        "notes": notes,
    }


def _uncertainty(tested: Predictions, data: TrainingData) -> dict[str, Any]:
    """How good the spread is; nothing where the score head has none."""
    if tested.spread is None:
        return {}
    both, true = true_scores(data.test)
    made = tested.distribution and tuple(each[both] for each in tested.distribution)
    said = (each[both] for each in (tested.score, tested.spread, tested.interval))
    return {"uncertainty": uncertainty(true, *said, made)}


def _choice_note(part: ChosenPart) -> str:
    if part.epoch == 0:
        return f"the best on the validation samples is the state before the first step: {part.why_start}"
    return (
        f"nothing could be chosen for the {part.name}: on the validation samples its metric is not defined;"
        " its last epoch is reported"
    )


def _score_notes(data: TrainingData, predicted: np.ndarray, true: np.ndarray) -> list[str]:
    notes = []
    if len(data.test) and "score" in data.tasks and not len(true):
        notes.append("no test sample has a final_score: spearman, relative_l2 and mae are not defined")
    if len(true) == 1:
        notes.append("1 test sample has a final_score: spearman and relative_l2 are not defined")
    if len(true) > 1 and np.ptp(predicted) == 0:
        notes.append("spearman is not defined: the predictions of all test samples are equal")
    if len(true) > 1 and np.ptp(true) == 0:
        notes.append("spearman and relative_l2 are not defined: all test scores are equal")
    return notes


def _caption_results(
    data: TrainingData, predictions: Predictions, meteor: bool
) -> tuple[dict[str, Any] | None, list[str]]:
    """Caption metrics on the test samples that have a reference, and what is to be said of them."""
    if predictions.captions is None:
        return None, []
    pairs = [
        (said, [sample.caption])
        for said, sample in zip(predictions.captions, data.test.samples, strict=True)
        if sample.words
    ]
    if not pairs:
        return None, ["no test sample has a caption: caption metrics are not defined"]
    metrics = caption_metrics_or_why(*map(list, zip(*pairs, strict=True)), meteor=meteor)
    return metrics.record(), [f"captions: {note}" for note in metrics.notes]


def _unigram_loss(data: TrainingData) -> float | None:
    """Loss of the test captions under the training captions' word frequencies, in nats per token."""
    if data.vocabulary is None:
        return None
    trained, tested = ([s.caption for s in split.samples if s.words] for split in (data.train, data.test))
    loss = unigram_loss(trained, tested, data.vocabulary)
    return None if np.isnan(loss) else loss


def _best_on_test(epochs: Sequence[Epoch]) -> dict[str, Any] | None:
    tested = [
        epoch for epoch in epochs if epoch.test_spearman is not None and np.isfinite(epoch.test_spearman)
    ]
    best = max(tested, key=lambda epoch: epoch.test_spearman, default=None)
    if best is None:
        return None
    return {
        "spearman": best.test_spearman,
        "epoch": best.epoch,
        "note": "chosen on the test set, not for reporting",
    }


def _class_columns(
    name: str, predictions: Predictions, data: TrainingData
) -> tuple[list[str], list[str], str]:
    """Predicted and true classes of the test samples that have one, and the most frequent training class."""
    labelled = [index for index, sample in enumerate(data.test.samples) if name in sample.classes]
    counts = Counter(number for number in data.train.classes[name].tolist() if number != NO_CLASS)
    majority = min(counts, key=lambda number: (-counts[number], number))
    return (
        [predictions.classes[name][index] for index in labelled],
        [data.test.samples[index].classes[name] for index in labelled],
        data.class_names[name][majority],
    )
