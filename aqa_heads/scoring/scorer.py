"""Scores of new videos, and of cached samples, by trained runs."""

# A prediction has what its model has a head for.
# pyright: reportOptionalSubscript=false

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.feature_spec import FeatureSpec
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.record import ClipFeatures, Record
from aqa_cache.errors import AqaError

from ..evaluation.predictions import Predictions, predict
from ..runs.training_samples import VideoStamp
from .background import background_of
from .comparison import Comparison, compare
from .contributions import MOST_CLIPS, averaged_contributions
from .extracted import extracted
from .flags import with_flags
from .frames import frames_of, length_note, rate_note
from .intervals import GROUP, LEVEL, calibration_for, check_level, interval_of
from .learned_from import Learned, Video, learned_notes, learned_of, overlapping
from .made_with import MadeWith, check_fingerprint, made_with, recorded_spec, weights_told
from .moments import frame_of
from .needs import able_samples
from .neighbours import neighbours_of
from .notes import notes_on_all
from .packed import is_packed, unpacked
from .panel import with_panels
from .results import Contributions, Score, ScoreTable
from .trained import Trained, read_trained

if TYPE_CHECKING:
    from aqa_cache.extraction.configuration import ExtractionConfig
    from aqa_cache.extraction.pipeline import Progress


class Scorer:
    """Runs that score, read once.

    Args:
        run, features, weights, device, level, calibrate_by: as `aqa_heads.score` takes them.

    Raises:
        AqaError: no such run, runs of different rows, or a damaged one.
    """

    def __init__(
        self,
        run: str | Path | Sequence[str | Path],
        *,
        features: str | Path | None = None,
        weights: str | None = None,
        device: str = "auto",
        level: float = LEVEL,
        calibrate_by: str = GROUP,
    ):
        check_level(level)
        with ExitStack() as stack:
            if is_packed(run):
                packed = stack.enter_context(unpacked(Path(str(run))))
                run, weights = packed.folder, weights or (packed.backbone and str(packed.backbone))
            self.runs = read_trained(run)
            self._weights, self._device = weights, device
            self._level, self._by = level, calibrate_by
            self.calibration = calibration_for(self.runs, calibrate_by)
            self.cache = None if features is None else stack.enter_context(FeatureCache(features))
            self._stack = stack.pop_all()

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(self, *raised) -> None:
        self._stack.__exit__(*raised)

    @cached_property
    def names(self) -> list[str]:
        """Of the runs: their folders', or whole paths where these are the same."""
        names = [trained.name for trained in self.runs]
        return names if len(set(names)) == len(names) else [str(trained.path) for trained in self.runs]

    @cached_property
    def scale(self) -> tuple[float, float] | None:
        """Lowest and highest training score; None where they are not known."""
        known = [s.final_score for run in self.runs for s in run.learned if s.final_score is not None]
        return (min(known), max(known)) if known else None

    @cached_property
    def _spec(self) -> FeatureSpec | None:
        """How the features are made; None where it is not known."""
        recorded = recorded_spec(self.runs[0].config)
        return self.cache.spec if recorded is None and self.cache is not None else recorded

    @cached_property
    def _training_rate(self) -> float | None:
        """Frames a second of the training videos; None where it is not known."""
        features = self.runs[0].config.get("features") or {}
        return features.get("frame_rate") or (None if self.cache is None else self.cache.frame_rate)

    @cached_property
    def made_with(self) -> MadeWith:
        """How features of a video are made."""
        return made_with(self.runs[0], self.cache)

    def part(
        self,
        folder: Path,
        sample: Sample,
        start: int | str | None,
        end: int | str | None,
        difficulty: float | None = None,
    ) -> Sample:
        """The part of a video that is to be scored; what is not given stays as the sample has it.

        Raises:
            AqaError: no moments, or the end is not after the start.
        """
        if difficulty is not None and not (math.isfinite(difficulty) and difficulty > 0):
            raise AqaError(f"--difficulty is {difficulty}, it must be greater than 0")
        path, stream = folder / sample.video, self.made_with.spec.stream
        first, last = (frame_of(path, moment, stream) for moment in (start, end))
        if last is not None and last <= (first or 0):
            raise AqaError(
                f"{path}: ends at frame {last} and starts at {first or 0}; give an --end after --start"
            )
        return replace(
            sample,
            start_frame=sample.start_frame if first is None else first,
            end_frame=sample.end_frame if last is None else last,
            difficulty=sample.difficulty if difficulty is None else difficulty,
        )

    def videos(
        self,
        folder: Path,
        samples: Sequence[Sample],
        progress: "Callable[[Progress], None] | None" = None,
    ) -> ScoreTable:
        """Score samples of videos.

        Args:
            folder: what their videos are relative to.
            progress: told how far the extraction is.

        Raises:
            AqaError: the backbone cannot be had, or all of them lack what the run needs.
        """
        able, failures = able_samples(self.runs, samples)
        records = extracted(
            self.runs,
            self.made_with,
            folder,
            able,
            cache=self.cache,
            weights=self._weights,
            device=self._device,
            progress=progress,
        )
        table = self._table(records, failures, folder)
        return replace(table, folder=folder, stream=self.made_with.spec.stream)

    def compared(self, first: Score, second: Score) -> Comparison:
        """Two takes beside each other; see `comparison.compare`."""
        return compare(first, second, self.calibration, self._level)

    def extraction_config(self) -> "ExtractionConfig":
        """What an extraction is to be asked for, that its features are as those that the runs learned from.

        Raises:
            AqaError: the backbone cannot be had, or the run does not say how they were made.
        """
        from aqa_cache.extraction.again import config_again

        made = self.made_with
        told = weights_told(self.runs[0], made, self._weights, self.cache)
        return config_again(made.spec, made.numerics, *told, self._device)[0]

    def cached(self) -> ScoreTable:
        """Score the samples of the cache.

        Raises:
            AqaError: its features were made in another way than those that the runs learned from; or all of
                its samples lack what the run needs.
        """
        assert self.cache is not None
        cache = self.cache
        if len(self.runs) > 1 and self.runs[0].tuned_itself:
            raise AqaError(
                f"{cache.path}: {len(self.runs)} runs trained a backbone each, and a cache has the features"
                f" of one; give the videos, or name one run, such as {self.runs[0].path}"
            )
        for trained in self.runs:
            check_fingerprint(trained, cache)
        place = {sample.sample_id: number for number, sample in enumerate(cache.samples)}
        able, failures = able_samples(self.runs, cache.samples)
        failures += [
            (s.sample_id, f"{s.sample_id}: {why}") for s in able if (why := cache.reasons[place[s.sample_id]])
        ]
        places = [place[sample.sample_id] for sample in able]
        records = [cache.record(number) for number in places if cache.has_features(number)]
        return self._table(([record] * len(self.runs) for record in records), failures)

    def _table(
        self,
        records: Iterable[Sequence[Record]],
        failures: list[tuple[str, str]],
        folder: Path | None = None,
    ) -> ScoreTable:
        """Args: as `extracted` gives them; the samples that fail; where their videos are at hand."""
        scores: list[Score] = []
        scored: list[Sample] = []
        encoded: list[np.ndarray] = []
        learned: dict[str, Learned] = {}  # by video, so that each is looked at, and hashed, once
        for by_run in records:
            sample, name = by_run[0].sample, by_run[0].sample.video
            if reason := next((record.reason for record in by_run if record.reason), None):
                failures.append((sample.sample_id, reason))
                continue
            try:
                if name not in learned:
                    path = None if folder is None else folder / name
                    learned[name] = learned_of(self.runs, Video(name, _stamp(by_run[0]), path))
                features = [_features(record) for record in by_run]
                said = [
                    self._said_by(trained, clips, sample)
                    for trained, clips in zip(self.runs, features, strict=True)
                ]
                scores.append(self._score(sample, by_run[0].views[0], learned[name], features, said))
            except AqaError as error:
                failures.append((sample.sample_id, str(error)))
                continue
            scored.append(sample)
            if said[0].encoded is not None:
                encoded.append(said[0].encoded[0])
        scores = with_flags(self.runs, scored, scores, np.array(encoded))
        scores = with_panels(self.runs, scored, scores)
        scores.sort(key=lambda one: (-math.inf if one.points is None else -one.points, one.sample_id))
        return ScoreTable(
            scores,
            tuple(failures),
            tuple(notes_on_all(self.runs, scores)),
            self.scale,
            background=background_of(self.runs, self.names),
        )

    def _score(
        self,
        sample: Sample,
        clips: ClipFeatures,
        learned: Learned,
        features: Sequence[torch.Tensor],
        said: Sequence[Predictions],
    ) -> Score:
        frames = frames_of(sample, clips, self._spec)
        shared = overlapping(learned, frames, sample.sample_id)
        notes = learned_notes(len(self.runs), sample.sample_id, learned, frames, shared)
        notes += length_note(self.runs, frames, sample.start_frame is None and sample.end_frame is None)
        notes += rate_note(clips, self._training_rate)
        # What a head says of samples, said of one.
        notes += [one.fallback for one in said[:1] if one.fallen_back is not None and one.fallen_back[0]]
        given = _Points()
        if all(each.score is not None for each in said):
            given = self._points(sample, clips, features, said)
        return Score(
            sample.sample_id,
            sample.video,
            frames,
            given.points,
            given.spread,
            given.by_run,
            given.interval,
            given.interval_note,
            _class_probabilities(self.runs, said),
            said[0].captions[0] if said[0].captions else None,
            given.contributions,
            neighbours_of(
                self.runs,
                [None if one.encoded is None else one.encoded[0] for one in said],
                frozenset({*shared, sample.sample_id}) if shared else frozenset(),
            ),
            share_as_wide=given.share_as_wide,
            notes=(*notes, *given.notes),
            final_score=sample.final_score,
            group=sample.group,
            difficulty=sample.difficulty,
        )

    def _points(
        self,
        sample: Sample,
        clips: ClipFeatures,
        features: Sequence[torch.Tensor],
        said: Sequence[Predictions],
    ) -> "_Points":
        each = [float(one.score[0]) for one in said]
        points, notes = float(np.mean(each)), []
        if not math.isfinite(points):
            raise AqaError(
                f"{sample.sample_id}: its score is {points}; its features are not like any sample's"
            )
        spreads = [None if one.spread is None else float(one.spread[0]) for one in said]
        interval, why, share_as_wide = interval_of(
            self.calibration, each, spreads, sample, self._level, self._by
        )
        factors = [_factor(trained, sample) for trained in self.runs]
        models = [trained.model for trained in self.runs]
        contributions = averaged_contributions(models, features, clips, sample, each, factors)
        if self.scale and not self.scale[0] <= points <= self.scale[1]:
            low, high = self.scale
            notes.append(f"its score is outside those of training, {low:g} to {high:g}")
        if contributions is None:
            notes.append(
                f"{len(clips.first_frame)} clip(s): not said what each adds (from 2 to {MOST_CLIPS} it is)"
            )
        by_run = dict(zip(self.names, each, strict=True))
        return _Points(
            points, _spread(said), by_run, interval, why, contributions, share_as_wide, tuple(notes)
        )

    def _said_by(self, trained, features: torch.Tensor, sample: Sample) -> Predictions:
        dim = trained.model.architecture.dim
        if features.shape[1] != dim:
            raise AqaError(
                f"{sample.sample_id}: its features are {features.shape[1]} wide, the model takes {dim}"
            )
        return predict(
            trained.model,
            [features],
            trained.vocabulary,
            factor=np.array([_factor(trained, sample)]),
            beam=trained.config.get("beam") or 1,
            samples=[sample],
            encode=True,
        )


@dataclass(frozen=True)
class _Points:
    """What `Score` says of the points, as it is where the runs have no score task; and notes on them."""

    points: float | None = None
    spread: float | None = None
    by_run: dict[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    interval_note: str = "no interval: the run has no score task"
    contributions: Contributions | None = None
    share_as_wide: float | None = None
    notes: tuple[str, ...] = ()


def _features(record: Record) -> torch.Tensor:
    """The features of the plain view, `(clips, dim)` float32."""
    return torch.from_numpy(np.ascontiguousarray(record.views[0].features[:], np.float32))


def _stamp(record: Record) -> VideoStamp | None:
    """Size, time and hash of its video; None for imported features."""
    size = int(record.video_size)
    return VideoStamp(size, int(record.video_mtime_ns), record.video_sha256) if size else None


def _factor(trained, sample: Sample) -> float:
    return float(sample.difficulty) if trained.multiplies and sample.difficulty else 1.0


def _spread(said: Sequence[Predictions]) -> float | None:
    """The standard deviation of the scores of several runs, else that of the score head."""
    if len(said) > 1:
        return float(np.std([float(one.score[0]) for one in said], ddof=1))
    return None if said[0].spread is None else float(said[0].spread[0])


def _class_probabilities(runs: Sequence[Trained], said: Sequence[Predictions]) -> dict[str, dict[str, float]]:
    """Probabilities averaged over the runs; a class that a run does not know has none there."""
    summed: dict[str, dict[str, float]] = {}
    for trained, one in zip(runs, said, strict=True):
        for column, names in trained.model.class_names.items():
            found = summed.setdefault(column, {})
            for name, probability in zip(names, one.probabilities[column][0].tolist(), strict=True):
                found[name] = found.get(name, 0.0) + probability / len(said)
    return {
        column: dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
        for column, found in summed.items()
    }
