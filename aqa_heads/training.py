"""Train one run: a row of Table 1, or a reference, on the features of a cache."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch

from aqa_cache.cache import FeatureCache
from aqa_cache.devices import pick_device

from .audit import Audit, audit, frames_of_features
from .caption_metrics import why_no_caption_metrics
from .computing import Clock, cpu_threads, deterministic, out_of_memory_explained, peak_memory
from .configuration import TrainingConfig
from .errors import TrainingError
from .fitting import Part, fit
from .frugal_lstm import FrugalLstmEncoder
from .model import FRUGAL_HIDDEN, AqaModel
from .predictions import Predictions, caption_loss_per_token, predict
from .pretraining import pretrain
from .records import describe, result_tables, summarise
from .references import LinearReference, fit_reference
from .resuming import finished_run, identity_of, last_checkpoint
from .run_folder import Work, new_run_folder
from .runs import Epoch, Run, read_run, write_run
from .targets import TrainingData, read_training_data, usable_tasks


def train(
    config: TrainingConfig,
    *,
    say: Callable[[str], None] = lambda line: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Run:
    """Train one run and write its folder.

    On one machine the same config on the same features gives the same bits, for the same number of threads. The caller's
    random numbers are left as they were.

    Args:
        say: is given each line that a person should read, before training.
        on_epoch: is given each epoch when it is over.

    Raises:
        AqaError: the config, the cache or the run folder cannot be used, a test sample is a training sample too, or the loss
            diverged; the folder is then not written.

    Example::

        from aqa_heads import TrainingConfig, train

        run = train(TrainingConfig("feats.h5", experiment="7", epochs=20))
        print(run.summary["spearman"], run.folder)
    """
    device = pick_device(config.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with cpu_threads(config.threads), deterministic(device), FeatureCache(config.features) as cache:
        backbone = cache.meaning.backbone
        asked, config = config, replace(config, tasks=usable_tasks(cache, config))
        folder = config.run_folder(backbone)
        identity = identity_of(config, cache, device)
        if config.resume and (finished := finished_run(folder, identity)) is not None:
            say(f"{folder} is finished already")
            return finished
        with new_run_folder(folder, config.overwrite, config.resume, config.checkpoint_seconds, say) as work:
            checkpoint = last_checkpoint(work, folder, identity, say)
            clock = Clock()
            data = read_training_data(cache, asked)
            audited = _audited(data, config, cache)
            record = describe(config, cache, data, device, audited) | {"identity": identity}
            for line in [*record["notes"], *_said_before(data, audited)]:
                say(line)
            random_devices = [device] if device.type == "cuda" else []
            with out_of_memory_explained(device), torch.random.fork_rng(devices=random_devices):
                torch.manual_seed(config.seed)
                model = AqaModel.from_config(record, len(data.vocabulary or ()))
                if config.standardise:
                    # On plain views, as what is evaluated: the model's input then means the same whatever it was trained on.
                    model.standardiser.fit(data.train.clips)
                model.to(device)
                data = data.to(device)
                clock.lap("preparing")
                epochs, parts = _fit(model, data, config, work, on_epoch, identity, checkpoint, record)
                clock.lap("training")
                predictions = _predict(model, data, config)
                caption_loss = caption_loss_per_token(model, data.test)
            summary = summarise(data, predictions, epochs, parts, audited, caption_loss, config.meteor)
            clock.lap("evaluating")
            summary |= {
                "parameters": model.parameter_count,
                "seconds": clock.record(),
                "peak_memory_bytes": peak_memory(device),
            }
            write_run(work.path, record, epochs, result_tables(data, predictions), summary, data.vocabulary, model)
    return read_run(folder)


def _fit(
    model: AqaModel,
    data: TrainingData,
    config: TrainingConfig,
    work: Work,
    on_epoch: Callable[[Epoch], None],
    identity: Mapping,
    checkpoint: Mapping | None,
    record: dict,
) -> tuple[list[Epoch], list[Part]]:
    if config.row.closed_form:
        record["notes"].append(_fit_closed_form(model, data, config))
        return [], []
    kept = {"identity": identity}
    if config.pretrain_epochs and model.encoder is not None:
        losses = _pretrain(model, data, config) if checkpoint is None else checkpoint["pretraining_losses"]
        record["pretraining_losses"] = kept["pretraining_losses"] = losses
    if record["direct"]:
        note = _start_from_ridge(model, data, config) if checkpoint is None else checkpoint["ridge_start"]
        kept["ridge_start"] = note
        record["notes"].append(note)
    return fit(model, data, config, work, on_epoch, kept=kept, checkpoint=checkpoint)


def _fit_closed_form(model: AqaModel, data: TrainingData, config: TrainingConfig) -> str:
    """Put the reference's weights into the linear score head; returns how they were chosen."""
    reference = _linear(config.experiment, model, data, config.seed)
    _set(model.heads.score, reference.weights, reference.bias)
    return reference.note


def _start_from_ridge(model: AqaModel, data: TrainingData, config: TrainingConfig) -> str:
    """Put a ridge regression into the direct path of the score; returns what was done."""
    reference = _linear("ridge", model, data, config.seed)
    scale = model.score_scale
    _set(model.heads.direct, reference.weights / scale, (reference.bias - model.score_centre) / scale)
    return f"the score starts from a ridge regression of the mean clip features (--no-ridge-start: from nothing). {reference.note}"


@torch.no_grad()
def _linear(name: str, model: AqaModel, data: TrainingData, seed: int) -> LinearReference:
    """The closed form `name`, fitted to the mean of the clips, as the model sees them, of all training samples with a score."""
    scored = (~data.train.score.isnan()).nonzero()[:, 0].tolist()
    means = []
    for index in scored:
        clips = data.train.clips[index].unsqueeze(0)
        means.append(model.seen(clips, torch.tensor([clips.shape[1]], device=clips.device))[0].mean(0).cpu())
    groups = [data.train.samples[index].group for index in scored]
    return fit_reference(name, torch.stack(means).numpy(), data.train.score[scored].double().numpy(), groups, seed)


@torch.no_grad()
def _set(layer: torch.nn.Linear, weights: np.ndarray, bias: float) -> None:
    layer.weight.copy_(torch.from_numpy(weights)[None])
    layer.bias.fill_(bias)


def _pretrain(model: AqaModel, data: TrainingData, config: TrainingConfig) -> list[float]:
    if isinstance(model.encoder, FrugalLstmEncoder):
        raise TrainingError(
            f"an LSTM encoder {config.encoder_hidden} wide cannot be trained as an autoencoder; leave out --pretrain-epochs, or "
            f"give an --encoder-hidden below {FRUGAL_HIDDEN}"
        )
    with torch.no_grad():
        clips = []
        for sample in data.train.clips:
            count = torch.tensor([len(sample)], device=sample.device)
            clips.append(model.seen(sample.unsqueeze(0), count)[0])
    device = model.standardiser.mean.device
    return pretrain(model.encoder, clips, config.pretrain_epochs, config.lr, config.batch_size, config.seed, device)


def _predict(model: AqaModel, data: TrainingData, config: TrainingConfig) -> dict[str, Predictions]:
    """Of every split; captions of the test samples only."""
    return {
        name: predict(
            model,
            split.clips,
            data.vocabulary if name == "test" else None,
            factor=split.factor,
            beam=config.beam,
        )
        for name, split in data.splits.items()
    }


def _audited(data: TrainingData, config: TrainingConfig, cache: FeatureCache) -> Audit:
    """The audit of the splits that are really used.

    Raises:
        TrainingError: a test or validation sample is, in part, a training sample too, and `allow_leak` was not asked for.
    """
    splits = {sample.sample_id: name for name, split in data.splits.items() for sample in split.samples}
    samples = [sample for split in data.splits.values() for sample in split.samples]
    audited = audit(samples, splits, frames_of_features(cache))
    if audited.leaks and not config.allow_leak:
        raise TrainingError(
            f"{cache.path}: {audited.leak_line}. A score on them says nothing. See them with aqa-data audit and take them out "
            "of one side; or give --allow-leak, which marks every number"
        )
    return audited


def _said_before(data: TrainingData, audited: Audit) -> list[str]:
    lines = []
    if audited.leaks:
        tested = any(leak.split == "test" for leak in audited.leaks)
        what = "every number is marked" if tested else "what is chosen on the held-out samples is chosen too easily"
        lines.append(f"{audited.leak_line}: {what}")
    if data.vocabulary is not None and len(data.test) and (why := why_no_caption_metrics()):
        lines.append(why)
    return lines
