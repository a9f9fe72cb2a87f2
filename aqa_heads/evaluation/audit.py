"""What a result on these samples and this split can be worth, before anything is trained: leaks, floors,
ceiling, labels.

Only leaks are faults. Everything else is said so that a number can be read: which predictions need no video
at all, how well a judge does, which scores contradict their judges, whether the captions give the score away.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from aqa_cache.annotations import CLASS_PREFIX, SPLITS, Sample, class_names
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.disk.plain_json import with_none
from aqa_cache.errors import some
from aqa_cache.short_repr import short_repr

from ..data.leaks import (
    FINE_TUNED,
    OF_BACKBONE,
    SAME_FRAMES,
    Leak,
    find_backbone_leaks,
    find_leaks,
    frames_of,
    frames_of_features,
    neighbours,
    samples_by_content,
)
from ..settings.panel_rule import COUNTED_MARKS, RULE_HOLDS, TOLERANCE, PanelRule
from .floors import judge_ceiling, score_floors
from .spoken_numbers import numbers_in

EXAMPLES = 5
_SHARED_MEANS = {
    "train, test": "the result holds for groups that were trained on, not for new ones",
    "train, val": "the epoch is chosen on groups that were trained on",
    "val, test": "the epoch is chosen on groups that are tested on",
}


@dataclass(frozen=True)
class ScoreRule:
    """Whether the scores follow from difficulty and marks, for panels of one size.

    Args:
        judges: marks per sample.
        rule: in words.
        n: samples with that many marks, a difficulty and a score.
        holds: how many of them follow the rule, within `TOLERANCE`.
        applies: whether at least `RULE_HOLDS` of them do; if not, another rule made these scores.
        contradicting: sample_ids of those that do not; empty where the rule does not apply.
    """

    judges: int
    rule: str
    n: int
    holds: int
    applies: bool
    contradicting: list[str]


@dataclass(frozen=True)
class SpokenScores:
    """Captions that state the sample's own score, so that whoever reads the caption knows it.

    Args:
        n: samples with a caption and a score.
        stated: how many of these captions contain the score.
        by_chance: how many would, on average, if each caption were given the score of a sample drawn at
            random.
        examples: sample_ids of the first few.
    """

    n: int
    stated: int
    by_chance: float
    examples: list[str]


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
        if not self.leaks:
            return None
        sentences: list[str] = []
        for (other, mine), leaks in _by_pair(
            [leak for leak in self.leaks if leak.why not in OF_BACKBONE]
        ).items():
            found = [f"{leak.sample_id} with {leak.other}{_frames_in_common(leak)}" for leak in leaks]
            why = ", ".join(
                f"{count:,} with {why}" for why, count in Counter(leak.why for leak in leaks).items()
            )
            sentences.append(
                f"{_of(len(leaks), self.samples[mine], f'{mine} samples')} also in {other} ({why}):"
                f" {some(found)}"
            )
        for why in OF_BACKBONE:
            if names := [leak.sample_id for leak in self.leaks if leak.why == why]:
                sentences.append(_backbone_line(names, self.samples["test"], "test", why))
        return "; ".join(sentences)

    @property
    def tuned_validation_line(self) -> str | None:
        """The validation samples that the backbone was fine-tuned on, in a sentence; None where there is
        none.
        """
        if not self.tuned_validation:
            return None
        line = _backbone_line(self.tuned_validation, self.samples["val"], "val", FINE_TUNED)
        return f"{line}: what is chosen on the held-out samples is chosen too easily"

    def findings(self) -> list[tuple[str, str]]:
        """Topic and sentence, in the order in which a person wants to read them; floors and ceiling among
        them.
        """
        found = [
            ("samples", _samples_line(self.samples)),
            ("leaks", self.leak_line or _no_leak_line(self.samples)),
            ("backbone", self.tuned_validation_line),
            *(("groups", line) for line in _group_lines(self)),
            *(("neighbours", line) for line in _neighbour_lines(self.neighbours)),
            ("floors", _floor_line(self.floors)),
            ("ceiling", _ceiling_line(self.ceiling)),
            *(("scores", line) for line in _rule_lines(self.score_rules)),
            *(("captions", line) for line in _caption_lines(self.spoken_scores)),
            *(("missing", line) for line in _missing_lines(self.missing, self.samples)),
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
        score_rules=_score_rules(used or samples),
        spoken_scores=_spoken_scores(used or samples),
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


def _score_rules(samples: Sequence[Sample]) -> list[ScoreRule]:
    panels: defaultdict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        if (judges := len(_given(sample))) in COUNTED_MARKS and None not in (
            sample.difficulty,
            sample.final_score,
        ):
            panels[judges].append(sample)
    return [_score_rule(judges, rows) for judges, rows in sorted(panels.items())]


def _score_rule(judges: int, samples: Sequence[Sample]) -> ScoreRule:
    others: list[str] = []
    for sample in samples:
        summed = PanelRule().score(_given(sample))
        assert summed is not None and sample.difficulty is not None and sample.final_score is not None
        if abs(sample.difficulty * summed - sample.final_score) > TOLERANCE + 1e-9:
            others.append(sample.sample_id)
    holds = len(samples) - len(others)
    applies = holds >= RULE_HOLDS * len(samples)
    counted = (
        f"the middle three of {judges} marks" if judges > COUNTED_MARKS[judges] else f"all {judges} marks"
    )
    rule = f"final_score = difficulty x the sum of {counted}"
    return ScoreRule(judges, rule, len(samples), holds, applies, others if applies else [])


def _given(sample: Sample) -> list[float]:
    """The marks, from low to high."""
    return sorted(mark for mark in sample.judges if math.isfinite(mark))


def _spoken_scores(samples: Sequence[Sample]) -> SpokenScores | None:
    told = [
        (sample, sample.caption, round(sample.final_score, 2))
        for sample in samples
        if sample.caption and sample.final_score is not None
    ]
    if not told:
        return None
    scores = Counter(score for _, _, score in told)
    stated: list[str] = []
    by_chance = 0.0
    for sample, caption, score in told:
        numbers = {number for number in numbers_in(caption) if _telling(number, sample)}
        by_chance += sum(scores[number] for number in numbers) / len(told)
        if score in numbers:
            stated.append(sample.sample_id)
    return SpokenScores(len(told), len(stated), by_chance, stated[:EXAMPLES])


def _telling(number: float, sample: Sample) -> bool:
    """Whether a number in the caption could only be the score: not a small count, the difficulty, or a
    mark.
    """
    return (number >= 10 or number % 1 > 0) and number != sample.difficulty and number not in sample.judges


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


def _by_pair(leaks: Sequence[Leak]) -> dict[tuple[str, str], list[Leak]]:
    pairs: defaultdict[tuple[str, str], list[Leak]] = defaultdict(list)
    for leak in leaks:
        pairs[leak.other_split, leak.split].append(leak)
    return dict(pairs)


def _backbone_line(names: Sequence[str], total: int, side: str, why: str) -> str:
    what = "the backbone was fine-tuned on" if why == FINE_TUNED else "an epoch of the backbone was chosen on"
    return (
        f"{_of(len(names), total, f'{side} samples')}, by sample_id, among those that {what}: {some(names)}"
    )


def _frames_in_common(leak: Leak) -> str:
    return (
        f" ({leak.frames:,} frame{'s' if leak.frames > 1 else ''})"
        if leak.frames and leak.why != SAME_FRAMES
        else ""
    )


def _samples_line(samples: Mapping[str, int]) -> str:
    counts = [f"{samples[side]:,} {side}" for side in SPLITS if samples[side]]
    unused = [f"{samples['unused']:,} in no split"] if samples["unused"] else []
    return ", ".join(counts + unused)


def _no_leak_line(samples: Mapping[str, int]) -> str:
    if sum(samples[side] > 0 for side in SPLITS) < 2:
        return "not looked for: the samples are not in two splits"
    return "none: no two splits have a sample, or frames of one video, in common"


def _group_lines(found: Audit) -> list[str]:
    lines: list[str] = []
    for pair, shared in found.shared_groups.items():
        first, second = pair.split(", ")
        if not found.groups[first] or not found.groups[second]:
            continue
        if not shared["groups"]:
            lines.append(f"{first} and {second} share no group")
            continue
        lines.append(
            f"{_of(len(shared['groups']), found.groups[second], f'{second} groups')} also in {first}, with"
            f" {shared['samples']:,} of {found.samples[second]:,} {second} samples"
            f" ({some(shared['groups'])}): " + _SHARED_MEANS[pair]
        )
    if not any(found.groups.values()) and any(found.samples[side] for side in SPLITS):
        lines.append(
            "none are given: whether a competition or person is on both sides of the split cannot be seen"
        )
    return lines


def _neighbour_lines(found: Mapping[str, Any] | None) -> list[str]:
    if not found or not found["n"]:
        return []
    return [
        f"{found['n']:,} of {found['of']:,} test samples come just before or after a training sample in the"
        f" same video, {found['smallest']:,.0f} frames apart at the least and {found['median']:,.0f} in the"
        " middle"
    ]


def _floor_line(floors: Mapping[str, Mapping[str, Any] | None]) -> str:
    had = [
        f"{name.replace('_', ' ')} {_rho(floor['spearman'])}"
        + (f" ({floor['n_unseen']:,} of an unseen combination)" if floor.get("n_unseen") else "")
        for name, floor in floors.items()
        if floor and math.isfinite(floor["spearman"])
    ]
    if not had:
        return (
            "none can be had: they need training and test samples with a final_score, and difficulty, groups"
            " or classes"
        )
    return f"Spearman without seeing a video: {', '.join(had)}"


def _ceiling_line(ceiling: Mapping[str, Any] | None) -> str:
    if ceiling is None:
        return ""
    by = "difficulty x mark" if ceiling["times_difficulty"] else "mark"
    return (
        f"one judge against the others: Spearman {_rho(ceiling['spearman'])} (mean of {ceiling['judges']}"
        f" judges, {_rho(ceiling['lowest'])} to {_rho(ceiling['highest'])}; {by}, {ceiling['n']:,} samples)"
    )


def _rule_lines(rules: Sequence[ScoreRule]) -> list[str]:
    lines: list[str] = []
    for rule in rules:
        if not rule.applies:
            lines.append(
                f"{rule.rule} holds for only {rule.holds:,} of {rule.n:,} samples with {rule.judges} marks,"
                " so another rule made these scores and they are not checked"
            )
        else:
            but = f", not for {some(rule.contradicting)}" if rule.contradicting else ""
            lines.append(f"{rule.rule} for {rule.holds:,} of {rule.n:,} samples{but}")
    return lines


def _caption_lines(spoken: SpokenScores | None) -> list[str]:
    if spoken is None:
        return []
    if not spoken.stated:
        return [f"none of {spoken.n:,} states the sample's own score"]
    return [
        f"{spoken.stated:,} of {spoken.n:,} state the sample's own score ({spoken.by_chance:,.1f} would by"
        f" chance), such as those of {', '.join(spoken.examples)}: a model that is given them is given the"
        " answer"
    ]


def _missing_lines(missing: Mapping[str, Mapping[str, int]], samples: Mapping[str, int]) -> list[str]:
    """What nobody has, in one line; what some lack, in a line each."""
    sizes = {side: samples[side] for side in next(iter(missing.values()))}
    absent = [name for name, counts in missing.items() if sum(counts.values()) == sum(sizes.values())]
    lines = [f"{', '.join(absent)}: no sample has one"] if absent else []
    for name, counts in missing.items():
        if name not in absent and any(counts.values()):
            said = [f"{count:,} of {sizes[side]:,} {side}" for side, count in counts.items() if count]
            lines.append(f"{name}: {', '.join(said)}")
    return lines


def _of(some_of: int, total: int, what: str) -> str:
    return f"{some_of:,} of {total:,} {what} {'is' if some_of == 1 else 'are'}"


def _rho(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1)
