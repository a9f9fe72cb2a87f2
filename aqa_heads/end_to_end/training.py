"""Train one run end to end: the backbone of a feature cache, and the heads."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from aqa_cache.backbones import get_backbone
from aqa_cache.cache import FeatureCache
from aqa_cache.configuration import DECODE_TIMEOUT
from aqa_cache.devices import pick_device
from aqa_cache.errors import AqaError
from aqa_cache.frame_store import FrameStore, prepare_frames
from aqa_cache.inference import MIN_COSINE, Parity
from aqa_cache.preprocess import Preprocessing
from aqa_cache.starting_weights import starting_weights
from aqa_cache.tuned_backbone import TunedBackbone, write_tuned_backbone
from aqa_cache.views import PLAIN, View, parse_views
from aqa_cache.weights import Weights, load_weights

from ..computing import Clock, cpu_threads, out_of_memory_explained, peak_memory
from ..configuration import TrainingConfig
from ..errors import TrainingError
from ..fine_tuning import NO_AUGMENT
from ..part import Part
from ..predictions import caption_loss_per_token
from ..records import describe, result_tables, summarise
from ..resuming import finished_run, identity_of, last_checkpoint
from ..run_folder import Work, hidden_folder, new_run_folder
from ..runs import Epoch, Run, read_run, write_run
from ..starting_point import prepare_start
from ..targets import TrainingData, read_training_data, usable_tasks
from ..training import check_leaks, new_model, predict_splits, said_before
from .backbone_features import BackboneFeatures
from .estimate import check_duration
from .fine_tuner import FineTuner
from .fitting import Fitting, Step
from .frame_views import FrameViews
from .processes import Processes
from .trainable import prepare
from .warm_start import warm_start

# Every split, in the order in which `TrainingData` has them.
_SPLITS = ("train", "val", "test")


def fine_tune(
    config: TrainingConfig,
    *,
    say: Callable[[str], None] = lambda line: None,
    on_frames: Callable[[int, int], None] = lambda done, total: None,
    on_step: Callable[[Step], None] = lambda step: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Run:
    """Train backbone and heads together and write the run's folder; started by torchrun, by several processes at once.

    The folder holds what every run's does, and `backbone.safetensors`, which `aqa-extract --weights` takes. On a CPU the same config
    gives the same bits, also after an interruption; on a GPU the backward pass of a pooling has no such form.

    Args:
        config: with `fine_tuning`.
        say: is given each line that a person should read, before training; of several processes, in the first.
        on_frames: samples whose frames are decoded, of how many, while they are.
        on_step: after every step; on_epoch: when an epoch is over.

    Raises:
        AqaError: the config, the cache, the videos or the run folder cannot be used, a test sample is a training sample too, it would
            take days, or the loss diverged; the folder is then not written.

    Source: Parmar & Morris 2019, C3D-AVG-MTL. Differs: in the memory of a few clips (`RecomputedFeatures`), with validation,
    and with different learning rates for backbone and heads.

    Example::

        from aqa_heads import FineTuning, TrainingConfig, fine_tune

        run = fine_tune(TrainingConfig("feats.h5", fine_tuning=FineTuning("videos"), epochs=20))
        print(run.summary["spearman"], run.folder / "backbone.safetensors")
    """
    if config.fine_tuning is None:
        raise TrainingError(
            "fine_tuning is not set; give FineTuning(videos), or call aqa_heads.train for cached features"
        )
    views = _views(config.fine_tuning.augment)
    with Processes.from_environment(pick_device(config.device)) as processes:
        if not processes.main:
            say = on_frames = on_step = on_epoch = lambda *_: None
        with ExitStack() as stack:
            stack.enter_context(cpu_threads(config.threads))
            with processes.agree():
                cache = stack.enter_context(FeatureCache(config.features))
                config, asked = replace(config, tasks=usable_tasks(cache, config)), config
            weights = _main_first(processes, lambda: _weights(cache, config, say))
            folder = config.run_folder(cache.meaning.backbone)
            identity = identity_of(config, cache, processes.device) | {
                "backbone_sha256": weights.sha256,
                "processes": processes.count,
            }
            finished = False
            with processes.agree():
                finished = processes.main and config.resume and finished_run(folder, identity) is not None
            if processes.tell(finished):
                say(f"{folder} is finished already")
                return read_run(folder)
            work = Work(hidden_folder(folder), float("inf"))
            with processes.agree():
                if processes.main:
                    work = stack.enter_context(
                        new_run_folder(folder, config.overwrite, config.resume, config.checkpoint_seconds, say)
                    )
            with processes.agree():
                checkpoint = last_checkpoint(work, folder, identity, say)
            frames_path = Path(config.fine_tuning.frames or _beside(config.features))
            frames = _main_first(
                processes,
                lambda: stack.enter_context(_frames(processes, frames_path, cache, config, views, say, on_frames)),
            )
            _Run(asked, config, cache, weights, frames, work, identity, processes, say, on_step, on_epoch).do(
                checkpoint
            )
        processes.gather(None)  # none reads the folder before the first has published it
        return read_run(folder)


def _views(augment: str) -> tuple[View, ...]:
    try:
        return (PLAIN,) if augment.strip() == NO_AUGMENT else parse_views(augment)
    except AqaError as error:
        raise TrainingError(f"--augment: {error}, or {NO_AUGMENT}") from None


def _main_first(processes: Processes, make: Callable):
    """What `make` gives, in the first process before it is asked in the others: they find on disk what it has put there."""
    made = None
    for main in (True, False):
        with processes.agree():
            if processes.main == main:
                made = make()
    return made


def _weights(cache: FeatureCache, config: TrainingConfig, say: Callable[[str], None]) -> Weights:
    return starting_weights(cache.meaning, Path(config.features), config.fine_tuning.weights, say)


def _beside(features: str | Path) -> Path:
    """Where the decoded frames of a cache lie."""
    return Path(features).with_suffix(".frames.h5")


def _frames(processes, path: Path, cache: FeatureCache, config: TrainingConfig, views, say, on_frames) -> FrameStore:
    tuning = config.fine_tuning
    if processes.main:
        prepare_frames(
            path,
            cache,
            Path(tuning.videos),
            views,
            workers=tuning.workers,
            decode_timeout=tuning.decode_timeout or DECODE_TIMEOUT,
            say=say,
            progress=on_frames,
        )
    store = FrameStore(path)
    if store.views != tuple(views):
        raise TrainingError(
            f"{path}: another run has just decoded frames of another augmentation into it; run again, or give --frames with another name"
        )
    return store


class _Run:
    """One run of one process, when everything it needs is there."""

    def __init__(
        self,
        asked: TrainingConfig,
        config: TrainingConfig,
        cache: FeatureCache,
        weights: Weights,
        frames: FrameStore,
        work: Work,
        identity: Mapping,
        processes: Processes,
        say: Callable[[str], None],
        on_step: Callable[[Step], None],
        on_epoch: Callable[[Epoch], None],
    ):
        self.asked, self.config, self.cache, self.weights, self.frames = asked, config, cache, weights, frames
        self.work, self.identity, self.processes = work, identity, processes
        self.say, self.on_step, self.on_epoch = say, on_step, on_epoch
        self.tuning, self.device, self.clock = config.fine_tuning, processes.device, Clock()

    def do(self, checkpoint: Mapping | None) -> None:
        """Train, evaluate, and write all files."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        with self.processes.agree():
            data = read_training_data(self.cache, self.asked)
            audited = check_leaks(data, self.config, self.cache)
            record = describe(self.config, self.cache, data, self.device, audited) | {"identity": self.identity}
            backbone = get_backbone(self.cache.meaning.backbone).build()
            load_weights(backbone, self.cache.meaning.backbone, self.weights)
            frozen = prepare(backbone, self.tuning.freeze_until, self.tuning.batch_norm)
        frames = {
            name: FrameViews(self.frames, split.samples, name == "train" and len(self.frames.views) > 1)
            for name, split in data.splits.items()
        }
        record["fine_tuning"] |= self._described(backbone, frozen)
        record["notes"] += self._notes(backbone, frozen, frames["train"])
        for line in [*record["notes"], *said_before(data, audited)]:
            self.say(line)
        random_devices = [self.device] if self.device.type == "cuda" else []
        with out_of_memory_explained(self.device), torch.random.fork_rng(devices=random_devices):
            torch.manual_seed(self.config.seed)
            backbone.to(self.device)
            features = BackboneFeatures(backbone, frames, self._preprocessing, self.cache.dim, self.processes)
            data = self._with_starting_features(features, data)
            model = new_model(record, data, self.config).to(self.device)
            data = data.to(self.device)
            tuner = FineTuner(features, model, self.config)
            with self.processes.agree():
                kept = self._start(model, data, record, checkpoint)
            self.clock.lap("preparing")
            fitting = Fitting(tuner, features, data, frames["train"], self.config, self.work, kept)
            if checkpoint is not None:
                fitting.restore(checkpoint)
            del checkpoint
            if self.device.type == "cpu":
                with self.processes.agree():
                    evaluated = data.val if len(data.val) else data.test
                    clips = sum(map(len, evaluated.clips))
                    check_duration(tuner, frames["train"], self.config, self.config.epochs - len(fitting.epochs), clips)
            epochs, part = fitting.fit(self.on_step, self.on_epoch)
            self.clock.lap("training")
            data = features.with_features(data, _SPLITS)
            with self.processes.agree():
                if self.processes.main:
                    self._write(tuner, data, record, epochs, part, audited)

    @property
    def _preprocessing(self) -> Preprocessing:
        return Preprocessing.from_record(self.cache.meaning.preprocessing)

    def _described(self, backbone: nn.Module, frozen: list[str]) -> dict:
        """For config.json, beside what was asked for."""
        return {
            "videos": str(self.tuning.videos),
            "started_from": self.weights.name,
            "started_sha256": self.weights.sha256,
            "frozen_layers": frozen,
            "parameters": sum(parameter.numel() for parameter in backbone.parameters()),
            "trained_parameters": sum(p.numel() for p in backbone.parameters() if p.requires_grad),
            "processes": self.processes.count,
            "clip_chunk": self.tuning.chunk_on(self.device.type),
            "preprocessing": self.cache.meaning.preprocessing,
            "clip_rule": self.cache.meaning.clip_rule,
        }

    def _notes(self, backbone: nn.Module, frozen: list[str], train: FrameViews) -> list[str]:
        notes = []
        if self.weights.name.startswith("random"):
            notes.append(
                f"the backbone starts from random weights ({self.weights.name}): what comes of it shows that training works, not what "
                "a trained backbone can do"
            )
        if frozen:
            share = self._described(backbone, frozen)
            notes.append(
                f"{', '.join(frozen)} keep their weights: {share['trained_parameters'] / share['parameters']:.0%} of the backbone's "
                "parameters are trained"
            )
        if any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in backbone.modules()):
            notes.append(
                "batch norm keeps the statistics that came with the weights (--batch-norm chunk: those of each chunk of clips)"
                if self.tuning.batch_norm == "frozen"
                else f"batch norm takes the statistics of each chunk of {self.tuning.chunk_on(self.device.type)} clips"
            )
        total = len(self.frames.views)
        if lacking := [index for index, count in enumerate(train.counts) if total > 1 and count < total]:
            notes.append(
                f"{len(lacking)} of {len(train)} training samples are at the edge of their video and are augmented in fewer than "
                f"the {total} ways (first: {train.sample_id(lacking[0])} in {train.counts[lacking[0]]})"
            )
        return notes

    def _with_starting_features(self, features: BackboneFeatures, data: TrainingData) -> TrainingData:
        """The features of the backbone as it starts: those of the cache, if it is the one that made them.

        Raises:
            TrainingError: it should be, but the first sample says otherwise.
        """
        if self.weights.sha256 != self.cache.meaning.weights_sha256:
            fresh = features.with_features(data, _SPLITS)
            return fresh.to(torch.device("cpu"))
        with self.processes.agree():
            expected = data.train.clips[0].numpy()
            made = features.of_sample("train", 0).cpu().numpy()
            same = Parity.between(made, expected)
            if not same.cosine >= MIN_COSINE:
                raise TrainingError(
                    f"{self.cache.path}: the features of {data.train.samples[0].sample_id} made from its video now are not those in the "
                    f"cache (cosine {same.cosine:.4f}, expected at least {MIN_COSINE}): the video has changed, or the cache says something else "
                    "than what made it; extract again"
                )
        return data

    def _start(self, model, data: TrainingData, record: dict, checkpoint: Mapping | None) -> dict:
        """Bring the heads to where training starts; what a checkpoint has to keep of it."""
        kept = {"identity": self.identity}
        if self.tuning.warm_start is None:
            return kept | prepare_start(model, data, self.config, record, checkpoint)
        note = (
            warm_start(model, self.tuning.warm_start, record, data) if checkpoint is None else checkpoint["warm_start"]
        )
        record["notes"].append(note)
        return kept | {"warm_start": note}

    def _write(self, tuner: FineTuner, data, record: dict, epochs: list[Epoch], part: Part, audited) -> None:
        model = tuner.model
        predictions = predict_splits(model, data, self.config)
        caption_loss = caption_loss_per_token(model, data.test)
        summary = summarise(data, predictions, epochs, [part], audited, caption_loss, self.config.meteor)
        if tuner.skipped:
            summary["notes"].append(
                f"{tuner.skipped} step(s) were left out, as a gradient was not finite in {self.tuning.precision}; the first few "
                "while its scale is found are usual"
            )
        self.clock.lap("evaluating")
        summary |= {
            "parameters": model.parameter_count + record["fine_tuning"]["trained_parameters"],
            "seconds": self.clock.record(),
            "peak_memory_bytes": peak_memory(self.device),
        }
        write_tuned_backbone(
            self.work.path,
            tuner.backbone,
            TunedBackbone(
                self.cache.meaning.backbone, self._preprocessing, self.cache.meaning.clip_rule, self.weights.name,
                self.weights.sha256,
            ),
        )  # fmt: skip
        tables = result_tables(data, predictions)
        write_run(self.work.path, record, epochs, tables, summary, data.vocabulary, model)
