"""What must stay together when samples are divided: copies, samples that share frames, whole groups."""

import heapq
import statistics
from collections.abc import Callable, Mapping, Sequence

from aqa_cache.annotations import Sample

from .leaks import TEST_COPY, Frames, video_of

# Roles: the column group, and further ones of the annotations that are named group_NAME.
GROUP = "group"
FURTHER = "group_"

PARTS = "part(s) that share no frames of a video, and each stays whole"


TELL_THEM_APART = (
    "fill in start_frame and end_frame where samples have none (each is then its whole video), and extract"
    " again"
)


def has_score(sample: Sample) -> bool:
    return sample.final_score is not None


def group_of(sample: Sample, role: str = GROUP) -> str | None:
    """The group that a sample is of in one of its roles; None where it names none."""
    return sample.group if role == GROUP else sample.extra.get(role)


def roles_of(samples: Sequence[Sample]) -> list[str]:
    """The roles in which some sample names its group, `group` first."""
    further = sorted({name for sample in samples for name in sample.extra if name.startswith(FURTHER)})
    return [
        role for role in (GROUP, *further) if any(group_of(sample, role) is not None for sample in samples)
    ]


def labelled_of(
    samples: Sequence[Sample], indices: Sequence[int], scored: Callable[[Sample], bool]
) -> tuple[list[int], str]:
    """Those with a score, or where there is none, with any label; and what it is that they have."""
    if having := [index for index in indices if scored(samples[index])]:
        return having, "a score"
    return [index for index in indices if samples[index].classes or samples[index].caption], "a label"


def units_of(
    samples: Sequence[Sample], spans: Mapping[str, Frames], order: Sequence[int], roles: Sequence[str] = ()
) -> list[list[int]]:
    """The samples that must stay together: copies, those that share frames, and those of a group in one of
    `roles`; without a role most are alone.
    """
    parent = {index: index for index in order}

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    by_id = {samples[index].sample_id: index for index in order}
    first_of_group: dict[tuple[str, str], int] = {}
    for index in order:
        original = by_id.get(samples[index].sample_id.removesuffix(TEST_COPY), index)
        parent[root(index)] = root(original)
        for role in roles:
            if (group := group_of(samples[index], role)) is not None:
                parent[root(index)] = root(first_of_group.setdefault((role, group), index))
    reach: dict[str, tuple[float, int]] = {}  # by video, the furthest end so far, and whose it is
    for index in sorted(order, key=lambda index: spans[samples[index].sample_id]):
        video = video_of(samples[index])
        start, end = spans[samples[index].sample_id]
        if video in reach and start < reach[video][0]:
            parent[root(index)] = root(reach[video][1])
        reach[video] = max(reach.get(video, (end, index)), (end, index))
    units: dict[int, list[int]] = {}
    for index in order:
        units.setdefault(root(index), []).append(index)
    return list(units.values())


def labelled_units(
    samples: Sequence[Sample],
    spans: Mapping[str, Frames],
    order: Sequence[int],
    labelled: set[int],
    roles: Sequence[str] = (),
) -> list[list[int]]:
    """As `units_of`, those in which a sample is labelled."""
    return [unit for unit in units_of(samples, spans, order, roles) if labelled.intersection(unit)]


def even_folds(units: Sequence[list[int]], count: int) -> list[list[int]]:
    """Each unit, in their order, into the one of `count` folds that has the fewest samples yet."""
    folds: list[list[int]] = [[] for _ in range(count)]
    sizes = [(0, place) for place in range(count)]
    for unit in units:
        size, place = sizes[0]
        heapq.heapreplace(sizes, (size + len(unit), place))
        folds[place] += unit
    return folds


def along_scores(
    samples: Sequence[Sample], units: Sequence[list[int]], scored: Callable[[Sample], bool]
) -> list[list[int]]:
    """By mean score, equal ones in the order given, those without at the end."""

    def place(unit: list[int]) -> tuple[bool, float]:
        scores = [samples[index].final_score for index in unit if scored(samples[index])]
        return not scores, statistics.fmean(scores) if scores else 0.0

    return sorted(units, key=place)


def few_groups(
    samples: Sequence[Sample],
    units: Sequence[list[int]],
    counted: Sequence[int],
    needed: int,
    role: str = GROUP,
) -> str | None:
    """Why there are too few groups among the samples counted; None where there are enough."""
    counted = {index for index in counted if group_of(samples[index], role) is not None}
    groups = len({group_of(samples[index], role) for index in counted})
    apart = sum(not counted.isdisjoint(unit) for unit in units)
    if apart >= needed:
        return None
    if groups == 0:
        return "no sample names its group" if role == GROUP else f"no sample has a {role}"
    if apart < groups:
        return f"of {groups} groups only {apart} share no frames of a video"
    return "there is only 1 group" if groups == 1 else f"there are only {groups} groups"


def told_together(indices: Sequence[int], units: Sequence[list[int]]) -> str:
    return f"; the {len(indices)} samples are {len(units)} {PARTS}" if len(units) < len(indices) else ""
