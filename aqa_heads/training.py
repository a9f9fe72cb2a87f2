"""Train one run: a row of Table 1, or a reference, on the features of a cache."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from aqa_cache import __version__
from aqa_cache.cache import FeatureCache
from aqa_cache.devices import pick_device, process_peak_memory

from .audit import Audit, audit, frames_of_features
from .caption_metrics import why_no_caption_metrics
from .configuration import TrainingConfig
from .errors import RunError, TrainingError
from .fitting import Part, fit
from .frugal_lstm import FrugalLstmEncoder
from .model import FRUGAL_HIDDEN, AqaModel
from .predictions import Predictions, caption_loss_per_token, predict
from .pretraining import pretrain
from .records import annotations_sha256, describe, features_sha256, result_tables, summarise
from .references import LinearReference, fit_reference
from .run_folder import Work, new_run_folder, was_interrupted
from .runs import Epoch, Run, read_run, write_run
from .targets import TrainingData, read_training_data, usable_tasks
from .vocabulary import Vocabulary

_NO_MEMORY = ("can't allocate memory", "size calculation overflowed")
# What a resumed run may have otherwise, at the price of its last bits.
_LAST_BITS = ("device", "threads", "torch", "aqa-cache")


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
    with _cpu_threads(config.threads), _deterministic(device), FeatureCache(config.features) as cache:
        backbone = cache.meaning.backbone
        asked, config = config, replace(config, tasks=usable_tasks(cache, config))
        folder = config.run_folder(backbone)
        identity = _identity(config, cache, device)
        if config.resume and (finished := _finished(folder, identity)) is not None:
            say(f"{folder} is finished already")
            return finished
        with new_run_folder(folder, config.overwrite, config.resume, config.checkpoint_seconds, say) as work:
            checkpoint = _checkpoint(work, folder, identity, say)
            clock = _Clock()
            data = read_training_data(cache, asked)
            audited = _audited(data, config, cache)
            record = describe(config, cache, data, device, audited) | {"identity": identity}
            for line in [*record["notes"], *_said_before(data, audited)]:
                say(line)
            random_devices = [device] if device.type == "cuda" else []
            with _out_of_memory_explained(device), torch.random.fork_rng(devices=random_devices):
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
                "peak_memory_bytes": _peak_memory(device),
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


def _identity(config: TrainingConfig, cache: FeatureCache, device: torch.device) -> dict:
    """What must agree for a run to be the same one; of `_LAST_BITS`, what only its last bits depend on."""
    words = None if config.vocabulary is None else Vocabulary.from_paper(config.vocabulary).words
    return {
        **json.loads(json.dumps(config.asked())),
        "fingerprint": cache.fingerprint,
        "annotations": annotations_sha256(cache),
        "features": features_sha256(cache),
        "words": words and hashlib.sha256("\n".join(words).encode()).hexdigest(),
        "aqa-cache": __version__,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),  # its own class of text is none that a checkpoint may hold
    }


def _finished(folder, identity: Mapping) -> Run | None:
    if was_interrupted(folder) or not (folder / "summary.json").is_file():
        return None
    run = read_run(folder)
    if different := _differences(run.config.get("identity") or {}, identity, but=_LAST_BITS):
        raise RunError(
            f"{folder}: this run exists, but is another one ({'; '.join(different)}); give --overwrite to replace it, or "
            "another --out to keep it"
        )
    return run


def _checkpoint(work: Work, folder, identity: Mapping, say: Callable[[str], None]) -> dict | None:
    checkpoint = work.load()
    if checkpoint is None:
        return None
    theirs = checkpoint["identity"]
    if different := _differences(theirs, identity, but=_LAST_BITS):
        raise RunError(
            f"{folder}: what was interrupted is another run ({'; '.join(different)}); give the same options and the same "
            "cache, or --overwrite to begin again"
        )
    say(f"goes on after epoch {len(checkpoint['epochs'])}")
    if different := _differences(theirs, identity):
        say(
            f"the run was begun otherwise ({'; '.join(different)}): its last bits are not those of one that was never stopped"
        )
    return checkpoint


def _differences(theirs: Mapping, mine: Mapping, but: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{name} was {theirs.get(name)}, is {value}"
        for name, value in mine.items()
        if name not in but and theirs.get(name) != value
    ]


class _Clock:
    """Seconds by stage."""

    def __init__(self):
        self._began = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._laps[stage], self._last = now - self._last, now

    def record(self) -> dict[str, float]:
        return self._laps | {"total": time.perf_counter() - self._began}


@contextmanager
def _cpu_threads(number: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    """On a GPU only algorithms that give the same bits every time; on the CPU all of ours do."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


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
