"""What a run will do, decided once and handed on: split, tasks, frames, audit, folder, label."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from aqa_cache.cache_file.reader import FeatureCache

from ..data.division import Division, divide, labelled_tasks
from ..data.leaks import OF_BACKBONE, Frames, frames_of_features, samples_by_content
from ..data.splits import fold_names
from ..errors import TrainingError
from ..evaluation.audit import Audit, audit
from ..runs.folder import hidden_folder
from ..runs.training_samples import VideoStamp
from ..settings.encoder_sizes import fitted_to_data
from ..settings.experiments import DEFAULT, TASKS
from ..settings.naming import full_label, run_label, run_name
from ..settings.resolved import ResolvedConfig
from ..settings.training import TrainingConfig
from .hashes import annotations_sha256, features_sha256


@dataclass(frozen=True)
class Plan:
    """One run, planned.

    Args:
        config: the settings, every value filled in; `tasks` are those that the cache has labels for,
            `validation_folds` as the number of samples says.
        division: who trains, validates and is tested.
        frames: `[start, end)` in the video that the features were made of, by sample_id; stamps: of the
            videos, where they are known.
        audit: of the division. No leaks, unless they were allowed.
        folder: where the run is written; its name is the run's.
        name, label: of the run; title: the label with fold and seed.
        fingerprint, annotations_sha256, features_sha256: what the features mean, the labels, the values.
    """

    config: ResolvedConfig
    division: Division
    frames: Mapping[str, Frames]
    stamps: Mapping[str, VideoStamp]
    audit: Audit
    folder: Path
    name: str
    label: str
    title: str
    fingerprint: str
    annotations_sha256: str
    features_sha256: str


class Planner:
    """Plans runs on one cache. Splits, audits and hashes that several runs have are made once.

    Args:
        cache: open for as long as runs are planned.
    """

    def __init__(self, cache: FeatureCache):
        self.cache = cache
        self._divisions: dict[tuple, Division] = {}
        self._audits: dict[tuple, Audit] = {}
        self._fold_names: dict[int | str, list[str]] = {}

    def plan(self, config: TrainingConfig, learned: Mapping[str, Any] | None = None) -> Plan:
        """Decide everything that is decided before features are read.

        Args:
            config: of one run; with folds, `fold` says which.
            learned: what the backbone was fine-tuned on before. None: what the cache says of the backbone
                that made the features. Empty: another backbone, never fine-tuned.

        Raises:
            TrainingError: the row is of other features; no sample to train with, or no label of any task; or
                a test or validation sample is, in part, a training sample too, or the backbone learned from a
                test sample, and `allow_leak` was not asked for.
        """
        resolved = config.resolve()
        _check_features(resolved, self.cache)
        division = self._divide(resolved)
        resolved = replace(resolved, tasks=division.tasks, validation_folds=len(division.folds or ()))
        resolved = self._fitted(resolved, division)
        audited = self._audit(division, self.cache.spec.tuned if learned is None else learned)
        if audited.leaks and not resolved.allow_leak:
            raise TrainingError(f"{self.cache.path}: {_leaks(audited)}")
        features = self.cache.spec.backbone, self.cache.spec.tuned_in
        name = self._name(resolved)
        return Plan(
            resolved,
            division,
            self.frames,
            self.stamps,
            audited,
            Path(resolved.out) / name,
            name,
            run_label(resolved, *features),
            full_label(resolved, *features),
            self.cache.fingerprint,
            self.annotations_sha256,
            self.features_sha256,
        )

    @cached_property
    def frames(self) -> dict[str, Frames]:
        """Of all views of every sample."""
        return frames_of_features(self.cache)

    @cached_property
    def stamps(self) -> dict[str, VideoStamp]:
        cache = self.cache
        each = zip(cache.video_size, cache.video_mtime_ns, cache.video_sha256, strict=True)
        return {
            sample.sample_id: VideoStamp(int(size), int(mtime_ns), sha256)
            for sample, (size, mtime_ns, sha256) in zip(cache.samples, each, strict=True)
            if size
        }

    @cached_property
    def annotations_sha256(self) -> str:
        return annotations_sha256(self.cache)

    @cached_property
    def features_sha256(self) -> str:
        return features_sha256(self.cache)

    def fold_names(self, folds: int | str | None) -> list[str]:
        """The names of all folds that samples with features are divided into (`splits.fold_names`)."""
        if folds is None:
            return []
        if folds not in self._fold_names:
            named = enumerate(samples_by_content(self.cache))
            having = [sample for index, sample in named if self.cache.has_features(index)]
            self._fold_names[folds] = fold_names(having, folds)
        return self._fold_names[folds]

    def _fitted(self, config: ResolvedConfig, division: Division) -> ResolvedConfig:
        """With sizes that follow from the data; on validation samples too, so that they do not depend on who
        is held out.
        """
        known = [*division.choice.train, *division.choice.val]
        dim = config.projection(self.cache.spec.backbone) or self.cache.dim
        return fitted_to_data(config, len(known), dim, self.cache.lengths[known, 0].tolist())

    def _name(self, config: ResolvedConfig) -> str:
        """Of the folder: that of the default model names its tasks where the data have labels for more."""
        features = self.cache.spec.backbone, self.cache.spec.tuned_in, self.fold_names(config.folds)
        long = run_name(config, *features)
        whole = config.row == DEFAULT and set(config.asked.tasks) == set(TASKS)
        # A run that was begun under the long name, as earlier versions named them, goes on under it.
        if not whole or config.tasks != self._labelled or _begun(Path(config.out) / long):
            return long
        return run_name(replace(config, tasks=config.row.tasks), *features)

    @cached_property
    def _labelled(self) -> tuple[str, ...]:
        """The tasks that any sample has a label of."""
        return labelled_tasks(self.cache.samples)

    def _divide(self, config: ResolvedConfig) -> Division:
        key = (
            config.tasks,
            config.protocol,
            config.row.closed_form,
            config.validate_on,
            config.refit,
            config.validation_folds,
            config.seed,
            config.validation,
            config.fold,
            config.folds,
            config.difficulty,
            config.withhold_test,
        )
        if key not in self._divisions:
            self._divisions[key] = divide(self.cache, config, self.frames)
        return self._divisions[key]

    def _audit(self, division: Division, learned: Mapping[str, Any] | None) -> Audit:
        choice = division.choice
        known = (tuple((learned or {}).get(kind, ())) for kind in ("trained_on", "chosen_on"))
        key = (tuple(choice.train), tuple(choice.val), tuple(choice.test), *known)
        if key not in self._audits:
            samples = samples_by_content(self.cache)
            used = [samples[index] for part in (choice.train, choice.val, choice.test) for index in part]
            self._audits[key] = audit(used, division.split_of(samples), self.frames, learned)
        return self._audits[key]


def _begun(folder: Path) -> bool:
    return folder.exists() or hidden_folder(folder).exists()


def _check_features(config: ResolvedConfig, cache: FeatureCache) -> None:
    row = config.row
    if row.exact and config.on_other_features(cache.spec.backbone):
        raise TrainingError(
            f"{cache.path}: has features of {cache.spec.backbone}, and {row.title} is made for"
            f" {row.backbone}, one row of keypoints a sample; make them with aqa-data import-keypoints --as"
            f" {row.backbone.removeprefix('pose-')} (docs/keypoints.md)"
        )


def _leaks(audited: Audit) -> str:
    of_backbone = [leak.why in OF_BACKBONE for leak in audited.leaks]
    advice = [] if all(of_backbone) else ["see them with aqa-data audit and take them out of one side"]
    if any(of_backbone):
        advice.append(
            "test on what the backbone has not seen (the split, fold and seed of its fine-tuning), or take"
            " other weights"
        )
    return (
        f"{audited.leak_line}. A score on them says nothing: {'; '.join(advice)}; or give --allow-leak, which"
        " marks every number"
    )
