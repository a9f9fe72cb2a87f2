"""What an audit found, in sentences."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from aqa_cache.annotations import SPLITS
from aqa_cache.errors import some

from ..data.leaks import FINE_TUNED, OF_BACKBONE, SAME_FRAMES, Leak

_SHARED_MEANS = {
    "train, test": "the result holds for groups that were trained on, not for new ones",
    "train, val": "the epoch is chosen on groups that were trained on",
    "val, test": "the epoch is chosen on groups that are tested on",
}


def samples_line(samples: Mapping[str, int]) -> str:
    counts = [f"{samples[side]:,} {side}" for side in SPLITS if samples[side]]
    unused = [f"{samples['unused']:,} in no split"] if samples["unused"] else []
    return ", ".join(counts + unused)


def leak_line(leaks: Sequence[Leak], samples: Mapping[str, int]) -> str:
    """What is found on two sides; and which test samples the backbone knows."""
    sentences: list[str] = []
    by_pair: defaultdict[tuple[str, str], list[Leak]] = defaultdict(list)
    for leak in leaks:
        if leak.why not in OF_BACKBONE:
            by_pair[leak.other_split, leak.split].append(leak)
    for (other, mine), shared in by_pair.items():
        found = [f"{leak.sample_id} with {leak.other}{_frames_in_common(leak)}" for leak in shared]
        why = ", ".join(
            f"{count:,} with {why}" for why, count in Counter(leak.why for leak in shared).items()
        )
        sentences.append(
            f"{_of(len(shared), samples[mine], f'{mine} samples')} also in {other} ({why}): {some(found)}"
        )
    for why in OF_BACKBONE:
        if names := [leak.sample_id for leak in leaks if leak.why == why]:
            sentences.append(backbone_line(names, samples["test"], "test", why))
    return "; ".join(sentences)


def no_leak_line(samples: Mapping[str, int]) -> str:
    if sum(samples[side] > 0 for side in SPLITS) < 2:
        return "not looked for: the samples are not in two splits"
    return "none: no two splits have a sample, or frames of one video, in common"


def backbone_line(names: Sequence[str], total: int, side: str, why: str) -> str:
    what = "the backbone was fine-tuned on" if why == FINE_TUNED else "an epoch of the backbone was chosen on"
    return (
        f"{_of(len(names), total, f'{side} samples')}, by sample_id, among those that {what}: {some(names)}"
    )


def group_lines(
    shared_groups: Mapping[str, Mapping[str, Any]], groups: Mapping[str, int], samples: Mapping[str, int]
) -> list[str]:
    lines: list[str] = []
    for pair, shared in shared_groups.items():
        first, second = pair.split(", ")
        if not groups[first] or not groups[second]:
            continue
        if not shared["groups"]:
            lines.append(f"{first} and {second} share no group")
            continue
        lines.append(
            f"{_of(len(shared['groups']), groups[second], f'{second} groups')} also in {first}, with"
            f" {shared['samples']:,} of {samples[second]:,} {second} samples"
            f" ({some(shared['groups'])}): " + _SHARED_MEANS[pair]
        )
    if not any(groups.values()) and any(samples[side] for side in SPLITS):
        lines.append(
            "none are given: whether a competition or person is on both sides of the split cannot be seen"
        )
    return lines


def neighbour_line(found: Mapping[str, Any] | None) -> str | None:
    if not found or not found["n"]:
        return None
    return (
        f"{found['n']:,} of {found['of']:,} test samples come just before or after a training sample in the"
        f" same video, {found['smallest']:,.0f} frames apart at the least and {found['median']:,.0f} in the"
        " middle"
    )


def floor_line(floors: Mapping[str, Mapping[str, Any] | None]) -> str:
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


def ceiling_line(ceiling: Mapping[str, Any] | None) -> str:
    if ceiling is None:
        return ""
    by = "difficulty x mark" if ceiling["times_difficulty"] else "mark"
    return (
        f"one judge against the others: Spearman {_rho(ceiling['spearman'])} (mean of {ceiling['judges']}"
        f" judges, {_rho(ceiling['lowest'])} to {_rho(ceiling['highest'])}; {by}, {ceiling['n']:,} samples)"
    )


def missing_lines(missing: Mapping[str, Mapping[str, int]], samples: Mapping[str, int]) -> list[str]:
    """What nobody has, in one line; what some lack, in a line each."""
    sizes = {side: samples[side] for side in next(iter(missing.values()))}
    absent = [name for name, counts in missing.items() if sum(counts.values()) == sum(sizes.values())]
    lines = [f"{', '.join(absent)}: no sample has one"] if absent else []
    for name, counts in missing.items():
        if name not in absent and any(counts.values()):
            said = [f"{count:,} of {sizes[side]:,} {side}" for side, count in counts.items() if count]
            lines.append(f"{name}: {', '.join(said)}")
    return lines


def _frames_in_common(leak: Leak) -> str:
    return (
        f" ({leak.frames:,} frame{'s' if leak.frames > 1 else ''})"
        if leak.frames and leak.why != SAME_FRAMES
        else ""
    )


def _of(some_of: int, total: int, what: str) -> str:
    return f"{some_of:,} of {total:,} {what} {'is' if some_of == 1 else 'are'}"


def _rho(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1)
