"""Train one run end to end: the backbone of a feature cache, and the heads."""

import hashlib
import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar, cast

from aqa_cache.backbones.precision import MIN_COSINE, Parity
from aqa_cache.backbones.registry import get_backbone
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.clips.preprocess import Preprocessing
from aqa_cache.frame_store.preparation import prepare_frames
from aqa_cache.frame_store.reader import FrameStore
from aqa_cache.logs import silence
from aqa_cache.machine.devices import pick_device
from aqa_cache.machine.threads import cpu_threads
from aqa_cache.video.decoding import DECODE_TIMEOUT
from aqa_cache.weights.resolving import find_tuned, load_weights
from aqa_cache.weights.starting import starting_weights
from aqa_cache.weights.tuned import write_tuned_backbone

from ..data.leaks import frames_of_features
from ..data.training_data import TrainingData
from ..errors import DivergedError, TrainingError
from ..networks.model import AqaModel
from ..runs.folder import Work
from ..runs.format import Run
from ..runs.tables import Epoch
from ..settings.fine_tuning import FineTuning
from ..settings.training import TrainingConfig
from ..training.job import Job
from ..training.listener import Listener, Step
from ..training.plan import Plan, Planner
from ..training.processes import Processes
from ..training.starting_point import fit_standardiser
from ..training.steps import Steps
from .backbone_features import BATCH_SIZE, BackboneFeatures
from .description import describe_tuning, edge_notes, skipped_notes, tuning_notes
from .estimate import check_duration
from .fine_tuner import FineTuner, chunk_of, trains_itself
from .frame_views import FrameViews, views_apart
from .precision import products_in
from .steps import EndToEndSteps
from .trainable import prepare
from .warm_start import read_warm_start, start_warm

_log = logging.getLogger(__name__)


def fine_tune(
    config: TrainingConfig,
    *,
    on_stage: Callable[[str], None] = lambda stage: None,
    on_frames: Callable[[int, int], None] = lambda done, total: None,
    on_step: Callable[[Step], None] = lambda step: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Run:
    """Train backbone and heads together and write the run's folder; started by torchrun, by several processes
    at once, of which the first logs.

    The folder holds what every run's does, and `backbone.safetensors`, which `aqa-extract --weights` takes.
    On a CPU the same config gives the same bits, also after an interruption; on a GPU the backward pass of a
    pooling has no such form.

    Args:
        config: with `fine_tuning`.
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
    listener = Listener(on_stage, on_frames, on_step, on_epoch)
    with ExitStack() as stack:
        processes = stack.enter_context(Processes.from_environment(pick_device(config.device)))
        with processes.agree():
            cache = stack.enter_context(FeatureCache(cast("str | Path", config.features)))
            plan = plan_fine_tuning(Planner(cache), config)
        return _run(plan, cache, processes, listener)


def plan_fine_tuning(planner: Planner, config: TrainingConfig) -> Plan:
    """The plan of a run end to end: what its backbone learned from before may be tested as little as what it
    trains on.

    Raises:
        AqaError: as `Planner.plan`; or the weights cannot be used.
    """
    if planner.cache.spec.step:
        raise TrainingError(
            f"{planner.cache.path}: has a row per time step inside a clip (--tokens time), and end to end the"
            " backbone gives one vector a clip; give a cache that was extracted without --tokens time"
        )
    given = _asked(config.fine_tuning).weights
    if given is None:  # those that made the features
        return planner.plan(config)
    tuned = find_tuned(str(given))
    return planner.plan(config, tuned.learned if tuned else {})


def fine_tune_planned(plan: Plan, cache: FeatureCache, listener: Listener) -> Run:
    """Train a run end to end that was planned on `cache`; see `training.run.train_planned`."""
    with Processes.from_environment(pick_device(plan.config.device)) as processes:
        return _run(plan, cache, processes, listener)


def _run(plan: Plan, cache: FeatureCache, processes: Processes, listener: Listener) -> Run:
    with cpu_threads(plan.config.threads), nullcontext() if processes.main else silence():
        return EndToEndJob(plan, cache, processes, listener if processes.main else Listener()).run()


def _asked(tuning: FineTuning | None) -> FineTuning:
    assert tuning is not None, "`fine_tune` asks for it"
    return tuning


_T = TypeVar("_T")


class EndToEndJob(Job):
    """A run that trains the backbone too. Mistakes are said before any video is opened."""

    less_memory = "a smaller --clip-chunk, --freeze-until, or a smaller --batch-size or --encoder-hidden"

    def __init__(self, plan: Plan, cache: FeatureCache, processes: Processes, listener: Listener):
        super().__init__(plan, cache, processes, listener)
        self.tuning = _asked(plan.config.fine_tuning)
        given = None if self.tuning.weights is None else str(self.tuning.weights)
        self.weights = self._first_then_others(lambda: starting_weights(cache.spec, cache.path, given))
        self.preprocessing = Preprocessing.from_record(cache.spec.preprocessing)

    @property
    def same_backbone(self) -> bool:
        """Whether training starts from the weights that made the cached features."""
        return self.weights.sha256 == self.cache.spec.weights_sha256

    def identity(self) -> dict[str, Any]:
        with self.processes.agree():
            identity = super().identity()
            # What paths stand for, not how they are written.
            asked_of = identity["fine_tuning"]
            del asked_of["weights"], asked_of["warm_start"], asked_of["clip_chunk"]
            asked_of["weights_sha256"] = self.weights.sha256
            if (warm := _sha256_of_run(self.tuning.warm_start)) is not None:  # it may be gone when resumed
                asked_of["warm_start_sha256"] = warm
            # A chunk's statistics are part of the function, the chunk as such is not.
            (asked_of if self.tuning.batch_norm == "chunk" else identity)["clip_chunk"] = chunk_of(
                self.config, self.device
            )
            identity["processes"] = self.processes.count
        return identity

    @contextmanager
    def arithmetic(self) -> Generator[None]:
        with products_in("fp32", self.device):
            yield

    def add_to_record(
        self, record: dict[str, Any], data: TrainingData, checkpoint: Mapping[str, Any] | None
    ) -> None:
        config, tuning = self.config, self.tuning
        name = self.cache.spec.backbone
        backbone = get_backbone(name).build()
        load_weights(backbone, name, self.weights)
        frozen = prepare(backbone, tuning.freeze_until, tuning.batch_norm)
        record["fine_tuning"] |= describe_tuning(
            config, self.cache, self.weights, backbone, frozen, self.processes
        )
        record["notes"] += tuning_notes(config, self.weights, backbone, record["fine_tuning"], self.device)
        self._warm = None
        if tuning.warm_start is not None and checkpoint is None:
            self._warm = read_warm_start(tuning.warm_start, record, data, self.same_backbone)
        self._backbone = backbone.to(self.device)

    def starting_data(
        self,
        model: AqaModel,
        data: TrainingData,
        record: dict[str, Any],
        checkpoint: Mapping[str, Any] | None,
        stack: ExitStack,
    ) -> TrainingData:
        config, listener, dim = self.config, self.listener, self.cache.dim
        with self.processes.agree():
            self._tuner = FineTuner(self._backbone, model, self.preprocessing, dim, config, self.processes)
            if self.device.type == "cpu":
                listener.on_stage("trying a step")
                epochs = config.epochs - len(checkpoint["epochs"] if checkpoint else ())
                clip_len = self.cache.spec.clip_rule["clip_len"]
                check_duration(self._tuner, data, config, epochs, clip_len, self.preprocessing.crop)
        listener.on_stage("decoding frames")
        store = self._first_then_others(lambda: stack.enter_context(self._frame_store()))
        frames = self._frame_views(store, data)
        edges = edge_notes(frames["train"], [s.sample_id for s in data.train.samples], len(self.tuning.views))
        for line in edges:
            _log.warning(line)
        record["notes"] += edges
        self._train_frames = frames["train"]
        self._features = BackboneFeatures(
            self._backbone, frames, self.preprocessing, dim, self.processes, self._evaluated_at_once()
        )
        listener.on_stage("computing features")
        return self._with_starting_features(data)

    def bring_to_start(
        self,
        model: AqaModel,
        data: TrainingData,
        record: dict[str, Any],
        checkpoint: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        if self.tuning.warm_start is None:
            return super().bring_to_start(model, data, record, checkpoint)
        fit_standardiser(model, data, self.config)
        if checkpoint is None:
            assert self._warm is not None, "`add_to_record` has read it"
            note = start_warm(model, self._warm)
        else:
            note = checkpoint["warm_start"]
        _log.info(note)
        record["notes"].append(note)
        return {"warm_start": note}

    def steps(self, model: AqaModel, data: TrainingData, work: Work) -> Steps:
        return EndToEndSteps(self._tuner, self._features, data, self._train_frames, self.config, work)

    def finish(
        self, folder: Path, steps: Steps, data: TrainingData, summary: dict[str, Any], record: dict[str, Any]
    ) -> None:
        tuner, spec = self._tuner, self.cache.spec
        if tuner.steps and tuner.skipped == tuner.steps:
            raise DivergedError(
                f"none of the {tuner.steps} steps could be taken, as a gradient was not finite in"
                f" {self.tuning.precision} each time; train for more steps, or with --precision bf16, tf32"
                " or fp32"
            )
        summary["notes"] += skipped_notes(tuner, self.tuning.precision)
        summary["parameters"] += record["fine_tuning"]["trained_parameters"]
        self.listener.on_stage("writing")
        # Without validation, no epoch was chosen.
        trained_on, chosen_on = (
            [sample.sample_id for sample in split.samples] for split in (data.train, data.val)
        )
        tuned = self.weights.fine_tuned(
            spec.backbone, self.preprocessing, spec.clip_rule, trained_on, chosen_on
        )
        write_tuned_backbone(folder, tuner.backbone, tuned)

    def _evaluated_at_once(self) -> int:
        """Clips: as many as in extraction, fewer where memory is what counts."""
        if trains_itself(self.config) or self.tuning.clip_chunk:
            return min(BATCH_SIZE, self._tuner.chunk)
        return BATCH_SIZE

    def _first_then_others(self, make: Callable[[], _T]) -> _T:
        """What `make` gives, in the first process before it is asked in the others: they find on disk what it
        has put there.
        """
        made: _T | None = None
        for first in (True, False):
            with self.processes.agree():
                if self.processes.main == first:
                    made = make()
        return cast(_T, made)

    def _frame_store(self) -> FrameStore:
        """The frames of all samples, made by the first process if they are not there."""
        tuning = self.tuning
        path = Path(tuning.frames or self.cache.path.with_suffix(".frames.h5"))
        if self.processes.main:
            prepare_frames(
                path,
                self.cache,
                Path(tuning.videos),
                tuning.views,
                workers=tuning.workers,
                decode_timeout=tuning.decode_timeout or DECODE_TIMEOUT,
                progress=self.listener.on_frames,
            )
        store = FrameStore(path)
        if not set(tuning.views) <= set(store.views):
            raise TrainingError(
                f"{path}: another run has just decoded frames of another augmentation into it; run again, or"
                " give --frames with another name"
            )
        return store

    def _frame_views(self, store: FrameStore, data: TrainingData) -> dict[str, FrameViews]:
        """By split, the training samples shifted only where no sample that is held out is."""
        held_out = [*data.val.samples, *data.test.samples]
        plain = frames_of_features(self.cache, plain=True)
        views = views_apart(self.tuning.views, data.train.samples, held_out, plain)
        frames = {name: FrameViews(store, split.samples) for name, split in data.splits.items()}
        frames["train"] = FrameViews(store, data.train.samples, views)
        return frames

    def _with_starting_features(self, data: TrainingData) -> TrainingData:
        """The features of the backbone as it starts: those of the cache, if it is the one that made them.

        Raises:
            TrainingError: it should be, but the first sample says otherwise.
        """
        if not self.same_backbone:
            return self._features.with_features(data, tuple(data.splits))
        with self.processes.agree():
            expected = data.train.clips[0].cpu().numpy()
            same = Parity.between(self._features.of_sample("train", 0).cpu().numpy(), expected)
            if not same.cosine >= MIN_COSINE:
                raise TrainingError(
                    f"{self.cache.path}: the features of {data.train.samples[0].sample_id} made from its"
                    f" video now are not those in the cache (cosine {same.cosine:.4f}, expected at least"
                    f" {MIN_COSINE}): the video has changed, or the cache says something else than what made"
                    " it; extract again"
                )
        return data


def _sha256_of_run(folder: str | Path | None) -> str | None:
    """SHA-256 (hex) of a run's weights; None if there is no such run (any more)."""
    path = None if folder is None else Path(folder) / "model.safetensors"
    if path is None or not path.is_file():
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
