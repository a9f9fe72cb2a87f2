"""What a result on these samples and this split can be worth, before anything is trained: leaks, floors,
ceiling, labels.

Only leaks are faults. Everything else is said so that a number can be read: which predictions need no video
at all, how well a judge does, which scores contradict their judges, whether the captions give the score away.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from aqa_cache.annotations import CLASS_PREFIX, SPLITS, Sample, class_names
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.disk.plain_json import with_none
from aqa_cache.short_repr import short_repr

from ..data.leaks import (
    FINE_TUNED,
    Leak,
    find_backbone_leaks,
    find_leaks,
    frames_of,
    frames_of_features,
    neighbours,
    samples_by_content,
)
from .audit_sentences import (
    backbone_line,
    ceiling_line,
    floor_line,
    group_lines,
    leak_line,
    missing_lines,
    neighbour_line,
    no_leak_line,
    samples_line,
)
from .floors import judge_ceiling, score_floors
from .score_rules import ScoreRule, score_rules
from .spoken_scores import SpokenScores, spoken_scores


@dataclass(frozen=True)
class Audit:
    """What `audit` found.

    Args:
        samples: how many, by split; `unused` for those in none.
        leaks: samples that share frames with a sample of another split, and test samples that the backbone
            was fine-tuned or chosen on. The only fault there is.
        shared_groups: by pair of splits, `groups` (names that both have) and `samples` (of the second split,
            in them).
        groups: how many each split has.
        neighbours: see `aqa_heads.data.leaks.neighbours`.
        floors, ceiling: see `aqa_heads.evaluation.floors`; on the test samples, the ceiling without any on
            all samples.
        score_rules: one per size of panel that has a rule.
        spoken_scores: None where no sample has both caption and score.
        missing: by column, how many samples lack it, by split.
        tuned_validation: sample_ids of the validation samples that the backbone was fine-tuned on.
    """

    samples: dict[str, int]
    leaks: list[Leak]
    shared_groups: dict[str, dict[str, Any]]
    groups: dict[str, int]
    neighbours: dict[str, Any] | None
    floors: dict[str, dict[str, Any] | None]
    ceiling: dict[str, Any] | None
    score_rules: list[ScoreRule]
    spoken_scores: SpokenScores | None
    missing: dict[str, dict[str, int]]
    tuned_validation: list[str] = field(default_factory=list[str])

    __repr__ = short_repr

    def record(self) -> dict[str, Any]:
        """Everything as plain JSON; null where a number is not defined."""
        return with_none(asdict(self))

    @property
    def leak_line(self) -> str | None:
        """The leaks in a sentence; None where there is none."""
        return leak_line(self.leaks, self.samples) if self.leaks else None

    @property
    def tuned_validation_line(self) -> str | None:
        """The validation samples that the backbone was fine-tuned on, in a sentence; None where there is
        none.
        """
        if not self.tuned_validation:
            return None
        line = backbone_line(self.tuned_validation, self.samples["val"], "val", FINE_TUNED)
        return f"{line}: what is chosen on the held-out samples is chosen too easily"

    def findings(self) -> list[tuple[str, str]]:
        """Topic and sentence, in the order in which a person wants to read them; floors and ceiling among
        them.
        """
        found = [
            ("samples", samples_line(self.samples)),
            ("leaks", self.leak_line or no_leak_line(self.samples)),
            ("backbone", self.tuned_validation_line),
            *(("groups", line) for line in group_lines(self.shared_groups, self.groups, self.samples)),
            ("neighbours", neighbour_line(self.neighbours)),
            ("floors", floor_line(self.floors)),
            ("ceiling", ceiling_line(self.ceiling)),
            *(("scores", rule.line()) for rule in self.score_rules),
            ("captions", self.spoken_scores.line() if self.spoken_scores else None),
            *(("missing", line) for line in missing_lines(self.missing, self.samples)),
        ]
        return [(topic, line) for topic, line in found if line]

    def lines(self) -> list[str]:
        """The findings, one line each."""
        return [f"{topic}: {line}" for topic, line in self.findings()]


def audit(
    samples: Sequence[Sample] | FeatureCache,
    split: Mapping[str, str | None] | None = None,
    frames: Mapping[str, tuple[int, int]] | None = None,
    tuned: Mapping[str, Any] | None = None,
) -> Audit:
    """Look for what would make a result on these samples mean less than it seems.

    Args:
        samples: with unique sample_ids; or a cache: those of its samples that have features, with the frames
            that these were made of and what the backbone was fine-tuned on.
        split: `train`, `val` or `test` by sample_id; samples that it lacks, or that have None, are in no
            split. Without it, the samples' own.
        frames: `[start, end)` in the video that the features of a sample were really made of, by sample_id,
            where that is known (`frames_of_features`); else what is annotated. A sample without frames is its
            whole video.
        tuned: what the backbone was fine-tuned on
            (`aqa_cache.cache_file.feature_spec.FeatureSpec.tuned`); None or empty: it was not.

    10,000 samples with captions take a second or two.
    """
    if isinstance(samples, FeatureCache):
        cache, named = samples, samples_by_content(samples)
        there = [sample for index, sample in enumerate(named) if cache.has_features(index)]
        return audit(there, split, frames or frames_of_features(cache), tuned or cache.spec.tuned)
    if split is None:
        split = {sample.sample_id: sample.split for sample in samples}
    split = {sample.sample_id: split.get(sample.sample_id) for sample in samples}
    assert len(split) == len(samples) and set(split.values()) <= {*SPLITS, None}
    sides = {side: [sample for sample in samples if split[sample.sample_id] == side] for side in SPLITS}
    used = [sample for sample in samples if split[sample.sample_id] is not None]
    spans = frames_of(samples, frames)
    by_backbone = find_backbone_leaks(used, split, tuned or {})
    leaks = [*find_leaks(used, split, spans), *(leak for leak in by_backbone if leak.split == "test")]
    leaked = {leak.sample_id for leak in leaks}
    return Audit(
        samples={**{side: len(rows) for side, rows in sides.items()}, "unused": len(samples) - len(used)},
        leaks=leaks,
        shared_groups=_shared_groups(sides),
        groups={side: len(_groups(rows)) for side, rows in sides.items()},
        neighbours=neighbours([sample for sample in used if sample.sample_id not in leaked], split, spans),
        floors=score_floors([*sides["train"], *sides["val"]], sides["test"]),
        ceiling=judge_ceiling(sides["test"] or samples),
        score_rules=score_rules(used or samples),
        spoken_scores=spoken_scores(used or samples),
        missing=_missing(sides if used else {"unused": samples}),
        tuned_validation=[leak.sample_id for leak in by_backbone if leak.split == "val"],
    )


def _groups(samples: Iterable[Sample]) -> Counter[str]:
    return Counter(sample.group for sample in samples if sample.group is not None)


def _shared_groups(sides: Mapping[str, Sequence[Sample]]) -> dict[str, dict[str, Any]]:
    shared: dict[str, dict[str, Any]] = {}
    for first, second in (("train", "test"), ("train", "val"), ("val", "test")):
        mine, groups = _groups(sides[first]), _groups(sides[second])
        names = sorted(mine.keys() & groups.keys())
        shared[f"{first}, {second}"] = {"groups": names, "samples": sum(groups[name] for name in names)}
    return shared


def _missing(sides: Mapping[str, Sequence[Sample]]) -> dict[str, dict[str, int]]:
    classes = class_names(sample for rows in sides.values() for sample in rows)
    columns = [
        "final_score",
        "difficulty",
        "judges",
        "group",
        "caption",
        *(CLASS_PREFIX + name for name in classes),
    ]
    return {
        column: {side: sum(not _has(sample, column) for sample in rows) for side, rows in sides.items()}
        for column in columns
    }


def _has(sample: Sample, column: str) -> bool:
    if column.startswith(CLASS_PREFIX):
        return column.removeprefix(CLASS_PREFIX) in sample.classes
    return getattr(sample, column) not in (None, ())
