"""Train one run end to end: the backbone of a feature cache, and the heads."""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from aqa_cache.backbones.inference import MIN_COSINE, Parity
from aqa_cache.backbones.registry import get_backbone
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.clips.preprocess import Preprocessing
from aqa_cache.frame_store.store import FrameStore, prepare_frames
from aqa_cache.machine.devices import pick_device
from aqa_cache.video.decoding import DECODE_TIMEOUT
from aqa_cache.weights.resolving import Weights, load_weights
from aqa_cache.weights.starting import starting_weights
from aqa_cache.weights.tuned import write_tuned_backbone

from ..data.leaks import frames_of_features
from ..data.training_data import TrainingData, read_training_data, usable_tasks
from ..errors import DivergedError, TrainingError
from ..evaluation.audit import Audit
from ..evaluation.predictions import caption_loss_per_token
from ..networks.model import AqaModel
from ..runs.folder import Work, hidden_folder, new_run_folder
from ..runs.format import Epoch, Run, read_run, write_run
from ..settings.training import TrainingConfig
from ..training.computing import Clock, cpu_threads, out_of_memory_explained, peak_memory
from ..training.description import describe, result_tables, summarise
from ..training.part import Part
from ..training.resuming import finished_run, identity_of, last_checkpoint
from ..training.run import check_leaks, predict_splits, said_before
from ..training.starting_point import fit_standardiser, prepare_start
from .backbone_features import BATCH_SIZE, BackboneFeatures
from .description import describe_tuning, edge_notes, skipped_notes, tuning_notes
from .estimate import check_duration
from .fine_tuner import FineTuner, chunk_of, trains_itself
from .fitting import Fitting
from .frame_views import FrameViews, views_apart
from .listener import Listener, Step
from .precision import products_in
from .processes import Processes
from .trainable import prepare
from .warm_start import read_warm_start, start_warm

_SPLITS = ("train", "val", "test")
_LESS_MEMORY = "a smaller --clip-chunk, --freeze-until, or a smaller --batch-size or --encoder-hidden"


def fine_tune(
    config: TrainingConfig,
    *,
    say: Callable[[str], None] = lambda line: None,
    on_stage: Callable[[str], None] = lambda stage: None,
    on_frames: Callable[[int, int], None] = lambda done, total: None,
    on_step: Callable[[Step], None] = lambda step: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Run:
    """Train backbone and heads together and write the run's folder; started by torchrun, by several processes
    at once.

    The folder holds what every run's does, and `backbone.safetensors`, which `aqa-extract --weights` takes.
    On a CPU the same config gives the same bits, also after an interruption; on a GPU the backward pass of a
    pooling has no such form.

    Args:
        config: with `fine_tuning`.
        say: is given each line that a person should read, before training; of several processes, in the
            first.
        on_stage: is told what begins: `decoding frames`, `training`, `evaluating`, …
        on_frames: samples whose frames are decoded, of how many, while they are.
        on_step: after every step; on_epoch: when an epoch is over.

    Raises:
        AqaError: the config, the cache, the videos or the run folder cannot be used, a test sample is a
            training sample too, it would take days, or the loss diverged; the folder is then not written.

    Source: Parmar & Morris 2019, C3D-AVG-MTL. Differs: in the memory of a few clips (`RecomputedFeatures`),
    with validation, and with different learning rates for backbone and heads.

    Example::

        from aqa_heads import FineTuning, TrainingConfig, fine_tune

        run = fine_tune(TrainingConfig("feats.h5", fine_tuning=FineTuning("videos"), epochs=20))
        print(run.summary["spearman"], run.folder / "backbone.safetensors")
    """
    if config.fine_tuning is None:
        raise TrainingError(
            "fine_tuning is not set; give FineTuning(videos), or call aqa_heads.train for cached features"
        )
    with Processes.from_environment(pick_device(config.device)) as processes:
        listener = Listener(say, on_stage, on_frames, on_step, on_epoch) if processes.main else Listener()
        with ExitStack() as stack:
            stack.enter_context(cpu_threads(config.threads))
            with processes.agree():
                cache = stack.enter_context(FeatureCache(config.features))
            task = _Task.of(config, cache, processes, listener)
            folder = task.config.run_folder(cache.meaning.backbone, cache.meaning.tuned_in)
            if task.only_first(lambda: config.resume and finished_run(folder, task.identity) is not None):
                listener.say(f"{folder} is finished already")
                return read_run(folder)
            work = Work(hidden_folder(folder), float("inf"))
            with processes.agree():
                if processes.main:
                    work = stack.enter_context(
                        new_run_folder(
                            folder, config.overwrite, config.resume, config.checkpoint_seconds, say
                        )
                    )
            with processes.agree():
                checkpoint = [last_checkpoint(work, folder, task.identity, listener.say)]
            _train(task, work, checkpoint, stack)
        processes.gather(None)  # none reads the folder before the first has published it
        return read_run(folder)


@dataclass(frozen=True)
class _Task:
    """What is to be done, on what, by whom.

    Args:
        asked: the config as it was given; config: without the tasks that have no label.
        weights: of the backbone, where training starts.
        identity: what must agree for a run to be the same one.
    """

    asked: TrainingConfig
    config: TrainingConfig
    cache: FeatureCache
    weights: Weights
    identity: dict
    processes: Processes
    listener: Listener

    @classmethod
    def of(
        cls, asked: TrainingConfig, cache: FeatureCache, processes: Processes, listener: Listener
    ) -> "_Task":
        tuning = asked.fine_tuning
        weights = _first_then_others(
            processes, lambda: starting_weights(cache.meaning, cache.path, tuning.weights, listener.say)
        )
        with processes.agree():
            config = replace(asked, tasks=usable_tasks(cache, asked))
            identity = identity_of(config, cache, processes.device)
            # What paths stand for, not how they are written.
            asked_of = identity["fine_tuning"]
            del asked_of["weights"], asked_of["warm_start"], asked_of["clip_chunk"]
            asked_of["weights_sha256"] = weights.sha256
            # it may be gone when the run is resumed
            if (warm := _sha256_of_run(tuning.warm_start)) is not None:
                asked_of["warm_start_sha256"] = warm
            # A chunk's statistics are part of the function, the chunk as such is not.
            (asked_of if tuning.batch_norm == "chunk" else identity)["clip_chunk"] = chunk_of(
                config, processes.device
            )
            identity["processes"] = processes.count
        return cls(asked, config, cache, weights, identity, processes, listener)

    @property
    def device(self) -> torch.device:
        return self.processes.device

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing.from_record(self.cache.meaning.preprocessing)

    @property
    def same_backbone(self) -> bool:
        """Whether training starts from the weights that made the cached features."""
        return self.weights.sha256 == self.cache.meaning.weights_sha256

    def only_first(self, act: Callable):
        """What `act` gives in the first process, in all of them."""
        done = None
        with self.processes.agree():
            if self.processes.main:
                done = act()
        return self.processes.tell(done)


@dataclass(frozen=True)
class _Made:
    """What is there before any video is opened, so that a mistake is said before hours of decoding."""

    data: TrainingData
    audited: Audit
    record: dict
    backbone: nn.Module
    model: AqaModel
    warm: Run | None


def _train(task: _Task, work: Work, checkpoint: list[Mapping | None], stack: ExitStack) -> None:
    """Train, evaluate, and write all files.

    Args:
        checkpoint: the only place that has it, so that it can be let go: it may be as large as memory.
    """
    clock, config, listener, processes = Clock(), task.config, task.listener, task.processes
    if task.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(task.device)
    random_devices = [task.device] if task.device.type == "cuda" else []
    with (
        out_of_memory_explained(task.device, _LESS_MEMORY),
        torch.random.fork_rng(devices=random_devices),
        products_in("fp32", task.device),
    ):
        with processes.agree():
            made = _make(task, checkpoint[0])
            data, model, record = made.data.to(task.device), made.model, made.record
            tuner = FineTuner(made.backbone, model, task.preprocessing, task.cache.dim, config, processes)
            if task.device.type == "cpu":
                listener.on_stage("trying a step")
                epochs = config.epochs - len(checkpoint[0]["epochs"] if checkpoint[0] else ())
                clip_len = task.cache.meaning.clip_rule["clip_len"]
                check_duration(tuner, data, config, epochs, clip_len, task.preprocessing.crop)
        listener.on_stage("decoding frames")
        store = _first_then_others(processes, lambda: stack.enter_context(_frames(task)))
        held_out = [*data.val.samples, *data.test.samples]
        views = views_apart(
            config.fine_tuning.views, data.train.samples, held_out, frames_of_features(task.cache, plain=True)
        )
        frames = {name: FrameViews(store, split.samples) for name, split in data.splits.items()}
        frames["train"] = FrameViews(store, data.train.samples, views)
        edges = edge_notes(
            frames["train"], [s.sample_id for s in data.train.samples], len(config.fine_tuning.views)
        )
        for line in edges:
            listener.say(line)
        record["notes"] += edges
        features = BackboneFeatures(
            made.backbone,
            frames,
            task.preprocessing,
            task.cache.dim,
            processes,
            _evaluated_at_once(config, tuner),
        )
        listener.on_stage("computing features")
        data = _with_starting_features(task, features, data)
        with processes.agree():
            kept = {"identity": task.identity, **_start(task, made, data, checkpoint[0])}
        clock.lap("preparing")
        fitting = Fitting(tuner, features, data, frames["train"], config, work, kept)
        if checkpoint[0] is not None:
            fitting.restore(checkpoint[0])
        checkpoint.clear()
        epochs, part = fitting.fit(listener)
        clock.lap("training")
        listener.on_stage("evaluating")
        data = features.with_features(data, _SPLITS)
        with processes.agree():
            if processes.main:
                _write(task, made, tuner, data, epochs, part, work.path, clock)


def _evaluated_at_once(config: TrainingConfig, tuner: FineTuner) -> int:
    """Clips: as many as in extraction, fewer where memory is what counts."""
    return (
        min(BATCH_SIZE, tuner.chunk) if trains_itself(config) or config.fine_tuning.clip_chunk else BATCH_SIZE
    )


def _make(task: _Task, checkpoint: Mapping | None) -> _Made:
    """The data, the backbone and the model, and every line that a person should know of them, said.

    Raises:
        AqaError: some of it cannot be trained with.
    """
    config, tuning = task.config, task.config.fine_tuning
    data = read_training_data(task.cache, task.asked)
    audited = check_leaks(data, config, task.cache, task.weights.learned)
    record = describe(config, task.cache, data, task.device, audited) | {"identity": task.identity}
    backbone = get_backbone(task.cache.meaning.backbone).build()
    load_weights(backbone, task.cache.meaning.backbone, task.weights)
    frozen = prepare(backbone, tuning.freeze_until, tuning.batch_norm)
    record["fine_tuning"] |= describe_tuning(
        config, task.cache, task.weights, backbone, frozen, task.processes
    )
    record["notes"] += tuning_notes(config, task.weights, backbone, record["fine_tuning"], task.device)
    warm = None
    if tuning.warm_start is not None and checkpoint is None:
        warm = read_warm_start(tuning.warm_start, record, data, task.same_backbone)
    for line in [*record["notes"], *said_before(data, audited)]:
        task.listener.say(line)
    torch.manual_seed(config.seed)
    model = AqaModel.from_config(record, len(data.vocabulary or ()))
    return _Made(data, audited, record, backbone.to(task.device), model.to(task.device), warm)


def _first_then_others(processes: Processes, make: Callable):
    """What `make` gives, in the first process before it is asked in the others: they find on disk what it has
    put there.
    """
    made = None
    for first in (True, False):
        with processes.agree():
            if processes.main == first:
                made = make()
    return made


def _frames(task: _Task) -> FrameStore:
    """The frames of all samples, made by the first process if they are not there."""
    tuning = task.config.fine_tuning
    path = Path(tuning.frames or task.cache.path.with_suffix(".frames.h5"))
    if task.processes.main:
        prepare_frames(
            path,
            task.cache,
            Path(tuning.videos),
            tuning.views,
            workers=tuning.workers,
            decode_timeout=tuning.decode_timeout or DECODE_TIMEOUT,
            say=task.listener.say,
            progress=task.listener.on_frames,
        )
    store = FrameStore(path)
    if not set(tuning.views) <= set(store.views):
        raise TrainingError(
            f"{path}: another run has just decoded frames of another augmentation into it; run again, or give"
            " --frames with another name"
        )
    return store


def _with_starting_features(task: _Task, features: BackboneFeatures, data: TrainingData) -> TrainingData:
    """The features of the backbone as it starts: those of the cache, if it is the one that made them.

    Raises:
        TrainingError: it should be, but the first sample says otherwise.
    """
    if not task.same_backbone:
        return features.with_features(data, _SPLITS)
    with task.processes.agree():
        expected = data.train.clips[0].cpu().numpy()
        same = Parity.between(features.of_sample("train", 0).cpu().numpy(), expected)
        if not same.cosine >= MIN_COSINE:
            raise TrainingError(
                f"{task.cache.path}: the features of {data.train.samples[0].sample_id} made from its video"
                f" now are not those in the cache (cosine {same.cosine:.4f}, expected at least {MIN_COSINE}):"
                " the video has changed, or the cache says something else than what made it; extract again"
            )
    return data


def _start(task: _Task, made: _Made, data: TrainingData, checkpoint: Mapping | None) -> dict:
    """Bring the heads to where training starts; what a checkpoint has to keep of it."""
    record, model = made.record, made.model
    fit_standardiser(model, data, task.config)
    if task.config.fine_tuning.warm_start is None:
        return prepare_start(model, data, task.config, record, checkpoint)
    note = start_warm(model, made.warm) if checkpoint is None else checkpoint["warm_start"]
    task.listener.say(note)
    record["notes"].append(note)
    return {"warm_start": note}


def _write(
    task: _Task,
    made: _Made,
    tuner: FineTuner,
    data: TrainingData,
    epochs: list[Epoch],
    part: Part,
    path: Path,
    clock: Clock,
) -> None:
    model, config, meaning = tuner.model, task.config, task.cache.meaning
    if tuner.steps and tuner.skipped == tuner.steps:
        raise DivergedError(
            f"none of the {tuner.steps} steps could be taken, as a gradient was not finite in"
            f" {config.fine_tuning.precision} each time; train for more steps, or with --precision bf16, tf32"
            " or fp32"
        )
    predictions = predict_splits(model, data, config)
    caption_loss = caption_loss_per_token(model, data.test)
    summary = summarise(data, predictions, epochs, [part], made.audited, caption_loss, config.meteor)
    summary["notes"] += skipped_notes(tuner, config.fine_tuning.precision)
    clock.lap("evaluating")
    summary |= {
        "parameters": model.parameter_count + made.record["fine_tuning"]["trained_parameters"],
        "seconds": clock.record(),
        "peak_memory_bytes": peak_memory(task.device),
    }
    task.listener.on_stage("writing")
    # Without validation, no epoch was chosen.
    trained_on, chosen_on = (
        [sample.sample_id for sample in split.samples] for split in (data.train, data.val)
    )
    tuned = task.weights.fine_tuned(
        meaning.backbone, task.preprocessing, meaning.clip_rule, trained_on, chosen_on
    )
    write_tuned_backbone(path, tuner.backbone, tuned)
    tables = result_tables(data, predictions)
    write_run(path, made.record, epochs, tables, summary, data.vocabulary, model)


def _sha256_of_run(folder: str | Path | None) -> str | None:
    """Of a run's weights; None if there is no such run (any more)."""
    path = None if folder is None else Path(folder) / "model.safetensors"
    if path is None or not path.is_file():
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
