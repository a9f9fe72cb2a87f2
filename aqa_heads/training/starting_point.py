"""What training starts from, and what needs no steps: the new model, closed forms, the ridge start, the
pre-trained encoder, the prepared score head.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from aqa_cache.annotations import Sample

from ..data.batches import Split, pad_clips
from ..data.folds import penalty_folds
from ..data.mirror import Mirror
from ..data.training_data import TrainingData
from ..errors import TrainingError
from ..networks import rank_losses
from ..networks.architecture import Architecture
from ..networks.encoders.seam import Encoder, mean_of
from ..networks.encoders.statistics import StatisticsEncoder
from ..networks.frugal_lstm import FrugalLstmEncoder
from ..networks.model import FRUGAL_HIDDEN, AddedLoss, AqaModel
from ..networks.score_heads.by_name import score_head_class
from ..networks.score_heads.known import key_of, known_of
from ..networks.score_heads.seam import Encoded, Known, ScoreHead
from ..settings.experiments import KNOWN_LOSSES, LOSSES, REGRESSION
from ..settings.resolved import ResolvedConfig
from .block_weights import choose_block_weights
from .pretraining import pretrain
from .references import LinearReference, fit_at, fit_reference, left_out_spread

_BATCH_SIZE = 64
# In units of the score scale, of a ridge regression that seems to say all.
_LEAST_SPREAD = 0.05
# What a checkpoint keeps of how training was begun, beside the weights.
STARTED = ("pretraining_losses", "statistics", "ridge_start")


def make_model(config: ResolvedConfig, record: dict[str, Any], data: TrainingData) -> AqaModel:
    """The model of a run, untrained, from torch's random numbers.

    Args:
        record: what `describe` gives; is told how the score head was made.

    Raises:
        TrainingError: its score head needs what the samples or the encoder do not have.
    """
    if "score" in data.tasks:
        head = score_head_class(config.score_head)
        asked = config.score_options
        if options := {**asked, **head.sized_by(_scored(data.train), **asked)}:
            record["score_options"] = options
    model = AqaModel(Architecture.from_record(record, len(data.vocabulary or ())))
    if model.has_score:
        if config.loss is not None:
            model.added_loss = AddedLoss(_loss(config.loss), config.loss_weight)
        _check_needs(model.heads.score, model.encoder, config, data)
    return model


def fit_standardiser(model: AqaModel, data: TrainingData, config: ResolvedConfig) -> None:
    """Set the model's standardiser, where there is to be one, from the training samples' clips.

    On plain views, as what is evaluated: the model's input then means the same whatever it was trained on.
    """
    if config.standardise:
        model.standardiser.fit(data.train.clips)


def prepare_start(
    model: AqaModel,
    data: TrainingData,
    config: ResolvedConfig,
    record: dict[str, Any],
    checkpoint: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Bring a newly made model to where its training starts, unless `checkpoint` does so; tells the record.

    Returns:
        what a checkpoint has to keep of it.
    """
    kept = {}
    if config.pretrain_epochs and model.encoder is not None:
        losses = _pretrain(model, data, config) if checkpoint is None else checkpoint["pretraining_losses"]
        record["pretraining_losses"] = kept["pretraining_losses"] = losses
    if isinstance(model.encoder, StatisticsEncoder):
        note = _weigh_statistics(model, data, config) if checkpoint is None else checkpoint["statistics"]
        kept["statistics"] = note
        record["notes"].append(note)
    if record["direct"]:
        note = _start_from_ridge(model, data, config) if checkpoint is None else checkpoint["ridge_start"]
        kept["ridge_start"] = note
        record["notes"].append(note)
    if model.has_score:
        notes = _prepare_score_head(model, data) if checkpoint is None else checkpoint.get("score_head") or []
        kept["score_head"] = notes
        record["notes"] += notes
    return kept


def remember(model: AqaModel, data: TrainingData) -> None:
    """Let the score head keep anew what it wants to have of the training samples, as they are encoded now."""
    if model.has_score and _overrides(model.heads.score, "remember"):
        model.heads.score.remember(*_encoded_training_samples(model, data.train))


def _prepare_score_head(model: AqaModel, data: TrainingData) -> list[str]:
    """Returns what is to be said of it."""
    notes = None
    if _overrides(model.heads.score, "prepare"):
        notes = model.heads.score.prepare(*_encoded_training_samples(model, data.train))
    remember(model, data)
    return list(notes or ())


def _loss(name: str) -> Callable:
    return getattr(rank_losses, LOSSES[name]) if name in LOSSES else KNOWN_LOSSES.find(name)


def _overrides(head: ScoreHead, method: str) -> bool:
    return getattr(type(head), method) is not getattr(ScoreHead, method)


@torch.no_grad()
def _encoded_training_samples(model: AqaModel, train: Split) -> tuple[Encoded, Known, torch.Tensor]:
    """All training samples that have a score, as the model sees them when it is evaluated."""
    scored = (~train.score.isnan()).nonzero()[:, 0].tolist()
    training, batches = model.training, []
    model.eval()
    for start in range(0, len(scored), _BATCH_SIZE):
        chosen = scored[start : start + _BATCH_SIZE]
        batches.append(model.encode(*pad_clips([train.clips[index] for index in chosen])))
    model.train(training)

    def joined(name: str) -> torch.Tensor | None:
        values = [getattr(batch, name) for batch in batches]
        return None if values[0] is None else torch.cat(values)

    encoded = Encoded(**{name: joined(name) for name in ("pooled", "mean", "parts", "shared", "direct")})
    device = encoded.pooled.device
    samples, everyone = [train.samples[index] for index in scored], torch.arange(len(scored), device=device)
    known = known_of(samples, model.heads.score, model.class_names, device, everyone)
    return encoded, known, train.score[scored].to(device)


def _scored(train: Split) -> list[Sample]:
    return [
        sample for sample, score in zip(train.samples, train.score.tolist(), strict=True) if score == score
    ]


def _check_needs(head: ScoreHead, encoder: Encoder, config: ResolvedConfig, data: TrainingData) -> None:
    """Raise a TrainingError with all that the head needs and does not find."""
    name, names = config.score_head, {**data.class_names, **head.key_names}
    samples = _scored(data.train)
    found = {
        "parts": encoder.parts is not None,
        "marks": any(mark == mark for sample in samples for mark in sample.judges),
        "difficulty": any(sample.difficulty is not None for sample in samples),
        "key": any((key := key_of(sample, head.key, names)) == key for sample in samples),
    }
    where = {
        "parts": f"an encoder with parts, not {config.encoder}; give another --encoder",
        "marks": "judges' marks, which no training sample has; fill in the columns judge_1, …",
        "difficulty": "the difficulty, which no training sample has; fill in the column difficulty",
        "key": f"a key to pair samples by, but no training sample has a {head.key}; fill in that column",
    }
    if unknown := sorted((head.needs | head.reads) - where.keys()):
        raise TrainingError(
            f"score head {name}: needs or reads {', '.join(unknown)}, expected any of {', '.join(where)}"
        )
    if lacking := [where[need] for need in where if need in head.needs and not found[need]]:
        raise TrainingError(
            f"{config.features}: the score head {name} needs {'; and it needs '.join(lacking)}; or take"
            " another --score-head"
        )
    if config.fine_tuning is not None and _overrides(head, "remember"):
        raise TrainingError(
            f"the score head {name} keeps features of training samples, which change while the backbone is"
            " trained; train it on cached features, or take another --score-head"
        )


def fit_closed_form(
    model: AqaModel, data: TrainingData, config: ResolvedConfig, penalty: Mapping[str, Any] | None = None
) -> LinearReference:
    """Put the reference's weights into the linear score head.

    Args:
        penalty: `chosen` of another fit; None: it is chosen.
    """
    features, scores = _seen_by_linear_path(model, data)
    if penalty is not None:
        reference = fit_at(config.experiment, features, scores, penalty)
    else:
        reference = _fit(config.experiment, features, scores, data, config.seed)
    _set(model.heads.score, reference.weights, reference.bias)
    return reference


def _start_from_ridge(model: AqaModel, data: TrainingData, config: ResolvedConfig) -> str:
    """Put a ridge regression into the direct path of the score; returns what was done."""
    features, scores = _seen_by_linear_path(model, data)
    reference = _fit("ridge", features, scores, data, config.seed)
    scale = model.score_scale
    _set(model.heads.direct, reference.weights / scale, (reference.bias - model.score_centre) / scale)
    if config.score_head != REGRESSION:
        left = left_out_spread(features, scores, reference) / scale
        model.heads.score.start_with_spread(max(left, _LEAST_SPREAD))
    replaced = model.encoder.replaces_mean
    seen = f"what the encoder {config.encoder} gives" if replaced else "the mean clip features"
    return (
        f"the score starts from a ridge regression of {seen} (--no-ridge-start: from nothing)."
        f" {reference.note}"
    )


def _weigh_statistics(model: AqaModel, data: TrainingData, config: ResolvedConfig) -> str:
    """Decide from the training samples how much mean, spread and number of the clips count; returns what was
    decided.
    """
    encoder, train = model.encoder, data.train
    raw = _of_each(
        train, range(len(train)), lambda clips, lengths: encoder.raw(model.seen(clips, lengths), lengths)
    )
    samples, scores = _scored(train), train.score.double().numpy()
    weights = choose_block_weights(
        [block.numpy() for block in raw.split(encoder.sizes, 1)],
        scores,
        penalty_folds(samples, data.choice.mirror or Mirror(), config.seed, data.frames) if samples else None,
    )
    encoder.weigh(raw.mean(0), weights)
    names = ("their mean", "their standard deviation", "their number")
    used = [name for name, weight in zip(names, weights, strict=True) if weight]
    why = "with these held-out scores are predicted best" if samples else "there is no score to choose by"
    return f"of the clips the encoder gives {' and '.join(used)}: {why}"


def _fit(
    name: str, features: np.ndarray, scores: np.ndarray, data: TrainingData, seed: int
) -> LinearReference:
    """The closed form `name` of the training samples with a score, its penalty chosen as they validate."""
    samples = _scored(data.train)
    if data.choice.mirror is None:
        return fit_reference(name, features, scores, [sample.group for sample in samples], seed)
    folds = penalty_folds(samples, data.choice.mirror, seed, data.frames)
    return fit_reference(name, features, scores, [None] * len(samples), seed, folds)


def _seen_by_linear_path(model: AqaModel, data: TrainingData) -> tuple[np.ndarray, np.ndarray]:
    """What the linear path sees of the training samples with a score, the mean of the clips or what the
    encoder puts in its place, `(samples, dim)`; and their scores.
    """

    def seen(clips: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        if model.encoder.replaces_mean:
            return model.encode(clips, lengths).mean
        return mean_of(model.seen(clips, lengths), lengths)  # weights of clips are equal at the start

    scored = (~data.train.score.isnan()).nonzero()[:, 0].tolist()
    return _of_each(data.train, scored, seen).numpy(), data.train.score[scored].double().numpy()


@torch.no_grad()
def _of_each(
    train: Split, places: Sequence[int], of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """What `of` says of samples' clips, `(batch, clips, dim)`, and their numbers; on the CPU, one below the
    other.
    """
    return torch.cat(
        [
            of(*pad_clips([train.clips[place] for place in places[start : start + _BATCH_SIZE]])).cpu()
            for start in range(0, len(places), _BATCH_SIZE)
        ]
    )


@torch.no_grad()
def _set(layer: torch.nn.Linear, weights: np.ndarray, bias: float) -> None:
    layer.weight.copy_(torch.from_numpy(weights)[None])
    layer.bias.fill_(bias)


def _pretrain(model: AqaModel, data: TrainingData, config: ResolvedConfig) -> list[float]:
    if isinstance(model.encoder, FrugalLstmEncoder):
        raise TrainingError(
            f"an LSTM encoder {config.encoder_hidden} wide cannot be trained as an autoencoder; leave out"
            f" --pretrain-epochs, or give an --encoder-hidden below {FRUGAL_HIDDEN}"
        )
    with torch.no_grad():
        clips = []
        for sample in data.train.clips:
            lengths = torch.tensor([len(sample)], device=sample.device)
            clips.append(model.seen(sample.unsqueeze(0), lengths)[0])
    device = model.standardiser.mean.device
    return pretrain(
        model.encoder, clips, config.pretrain_epochs, config.lr, config.batch_size, config.seed, device
    )
