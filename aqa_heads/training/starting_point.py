"""What training starts from, and what needs no steps: closed forms, the ridge start, the pre-trained
encoder.
"""

from collections.abc import Mapping

import numpy as np
import torch

from ..data.training_data import TrainingData
from ..errors import TrainingError
from ..networks.frugal_lstm import FrugalLstmEncoder
from ..networks.model import FRUGAL_HIDDEN, AqaModel
from ..settings.resolved import ResolvedConfig
from .pretraining import pretrain
from .references import LinearReference, fit_reference


def fit_standardiser(model: AqaModel, data: TrainingData, config: ResolvedConfig) -> None:
    """Set the model's standardiser, where there is to be one, from the training samples' clips.

    On plain views, as what is evaluated: the model's input then means the same whatever it was trained on.
    """
    if config.standardise:
        model.standardiser.fit(data.train.clips)


def prepare_start(
    model: AqaModel, data: TrainingData, config: ResolvedConfig, record: dict, checkpoint: Mapping | None
) -> dict:
    """Bring a newly made model to where its training starts, unless `checkpoint` does so; tells the record.

    Returns:
        what a checkpoint has to keep of it.
    """
    kept = {}
    if config.pretrain_epochs and model.encoder is not None:
        losses = _pretrain(model, data, config) if checkpoint is None else checkpoint["pretraining_losses"]
        record["pretraining_losses"] = kept["pretraining_losses"] = losses
    if record["direct"]:
        note = _start_from_ridge(model, data, config) if checkpoint is None else checkpoint["ridge_start"]
        kept["ridge_start"] = note
        record["notes"].append(note)
    return kept


def fit_closed_form(model: AqaModel, data: TrainingData, config: ResolvedConfig) -> str:
    """Put the reference's weights into the linear score head; returns how they were chosen."""
    reference = _linear(config.experiment, model, data, config.seed)
    _set(model.heads.score, reference.weights, reference.bias)
    return reference.note


def _start_from_ridge(model: AqaModel, data: TrainingData, config: ResolvedConfig) -> str:
    """Put a ridge regression into the direct path of the score; returns what was done."""
    reference = _linear("ridge", model, data, config.seed)
    scale = model.score_scale
    _set(model.heads.direct, reference.weights / scale, (reference.bias - model.score_centre) / scale)
    return (
        "the score starts from a ridge regression of the mean clip features (--no-ridge-start: from"
        f" nothing). {reference.note}"
    )


@torch.no_grad()
def _linear(name: str, model: AqaModel, data: TrainingData, seed: int) -> LinearReference:
    """The closed form `name`, fitted to the mean of the clips, as the model sees them, of all training
    samples with a score.
    """
    scored = (~data.train.score.isnan()).nonzero()[:, 0].tolist()
    means = []
    for index in scored:
        clips = data.train.clips[index].unsqueeze(0)
        means.append(model.seen(clips, torch.tensor([clips.shape[1]], device=clips.device))[0].mean(0).cpu())
    groups = [data.train.samples[index].group for index in scored]
    return fit_reference(
        name, torch.stack(means).numpy(), data.train.score[scored].double().numpy(), groups, seed
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
            count = torch.tensor([len(sample)], device=sample.device)
            clips.append(model.seen(sample.unsqueeze(0), count)[0])
    device = model.standardiser.mean.device
    return pretrain(
        model.encoder, clips, config.pretrain_epochs, config.lr, config.batch_size, config.seed, device
    )
