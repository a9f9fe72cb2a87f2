"""Train one run: a row of Table 1, or a reference, on the features of a cache."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.machine.devices import pick_device

from ..captions.caption_metrics import why_no_caption_metrics
from ..data.leaks import OF_BACKBONE, frames_of_features
from ..data.training_data import TrainingData, read_training_data, usable_tasks
from ..errors import TrainingError
from ..evaluation.audit import Audit, audit
from ..evaluation.predictions import Predictions, caption_loss_per_token, predict
from ..networks.model import AqaModel
from ..runs.folder import new_run_folder
from ..runs.format import Epoch, Run, read_run, write_run
from ..settings.training import TrainingConfig
from .computing import Clock, cpu_threads, deterministic, out_of_memory_explained, peak_memory
from .description import describe, result_tables, summarise
from .fitting import fit
from .resuming import finished_run, identity_of, last_checkpoint
from .starting_point import fit_closed_form, fit_standardiser, prepare_start


def train(
    config: TrainingConfig,
    *,
    say: Callable[[str], None] = lambda line: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Run:
    """Train one run and write its folder.

    On one machine the same config on the same features gives the same bits, for the same number of threads.
    The caller's random numbers are left as they were.

    Args:
        say: is given each line that a person should read, before training.
        on_epoch: is given each epoch when it is over.

    Raises:
        AqaError: the config, the cache or the run folder cannot be used, a test sample is a training sample
            too, or the loss diverged; the folder is then not written.

    Example::

        from aqa_heads import TrainingConfig, train

        run = train(TrainingConfig("feats.h5", experiment="7", epochs=20))
        print(run.summary["spearman"], run.folder)
    """
    if config.fine_tuning is not None:
        raise TrainingError("this config asks for end-to-end training, which aqa_heads.fine_tune does")
    device = pick_device(config.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with cpu_threads(config.threads), deterministic(device), FeatureCache(config.features) as cache:
        asked, config = config, replace(config, tasks=usable_tasks(cache, config))
        folder = config.run_folder(cache.meaning.backbone, cache.meaning.tuned_in)
        identity = identity_of(config, cache, device)
        if config.resume and (finished := finished_run(folder, identity)) is not None:
            say(f"{folder} is finished already")
            return finished
        with new_run_folder(folder, config.overwrite, config.resume, config.checkpoint_seconds, say) as work:
            checkpoint = last_checkpoint(work, folder, identity, say)
            clock = Clock()
            data = read_training_data(cache, asked)
            audited = check_leaks(data, config, cache)
            record = describe(config, cache, data, device, audited) | {"identity": identity}
            for line in [*record["notes"], *said_before(data, audited)]:
                say(line)
            random_devices = [device] if device.type == "cuda" else []
            with out_of_memory_explained(device), torch.random.fork_rng(devices=random_devices):
                torch.manual_seed(config.seed)
                model = AqaModel.from_config(record, len(data.vocabulary or ()))
                fit_standardiser(model, data, config)
                model.to(device)
                data = data.to(device)
                clock.lap("preparing")
                epochs, parts = [], []
                if config.row.closed_form:
                    record["notes"].append(fit_closed_form(model, data, config))
                else:
                    kept = {"identity": identity, **prepare_start(model, data, config, record, checkpoint)}
                    epochs, parts = fit(model, data, config, work, on_epoch, kept=kept, checkpoint=checkpoint)
                clock.lap("training")
                predictions = predict_splits(model, data, config)
                caption_loss = caption_loss_per_token(model, data.test)
            summary = summarise(data, predictions, epochs, parts, audited, caption_loss, config.meteor)
            clock.lap("evaluating")
            summary |= {
                "parameters": model.parameter_count,
                "seconds": clock.record(),
                "peak_memory_bytes": peak_memory(device),
            }
            write_run(
                work.path, record, epochs, result_tables(data, predictions), summary, data.vocabulary, model
            )
    return read_run(folder)


def predict_splits(model: AqaModel, data: TrainingData, config: TrainingConfig) -> dict[str, Predictions]:
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


def check_leaks(
    data: TrainingData, config: TrainingConfig, cache: FeatureCache, tuned: Mapping | None = None
) -> Audit:
    """The audit of the splits that are really used.

    Args:
        tuned: what the backbone was fine-tuned on before, where it is not the one that made the features
            (`aqa_cache.weights.resolving.Weights.learned`); empty: it was not. None: as the cache says.

    Raises:
        TrainingError: a test or validation sample is, in part, a training sample too, or the backbone learned
            from a test sample, and `allow_leak` was not asked for.
    """
    splits = {sample.sample_id: name for name, split in data.splits.items() for sample in split.samples}
    samples = [sample for split in data.splits.values() for sample in split.samples]
    audited = audit(
        samples, splits, frames_of_features(cache), cache.meaning.tuned if tuned is None else tuned
    )
    if audited.leaks and not config.allow_leak:
        of_backbone = [leak.why in OF_BACKBONE for leak in audited.leaks]
        advice = [] if all(of_backbone) else ["see them with aqa-data audit and take them out of one side"]
        if any(of_backbone):
            advice.append(
                "test on what the backbone has not seen (the split, fold and seed of its fine-tuning), or"
                " take other weights"
            )
        raise TrainingError(
            f"{cache.path}: {audited.leak_line}. A score on them says nothing: {'; '.join(advice)}; or give"
            " --allow-leak, which marks every number"
        )
    return audited


def said_before(data: TrainingData, audited: Audit) -> list[str]:
    lines = []
    if audited.leaks:
        tested = any(leak.split == "test" for leak in audited.leaks)
        what = (
            "every number is marked"
            if tested
            else "what is chosen on the held-out samples is chosen too easily"
        )
        lines.append(f"{audited.leak_line}: {what}")
    if audited.tuned_validation:
        lines.append(audited.tuned_validation_line)
    if data.vocabulary is not None and len(data.test) and (why := why_no_caption_metrics()):
        lines.append(why)
    return lines
