"""Who trains, who validates and who is tested."""

import heapq
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from aqa_cache.annotations import Sample
from aqa_cache.errors import some

from ..errors import TrainingError
from ..settings.training import OFFICIAL_FOLDS
from .leaks import TEST_COPY, Frames, frames_of

FEWEST_GROUPS = 4  # of training samples, for whole ones to be held out
FEWEST_VALIDATED = 3  # no rank correlation of two samples says anything

_PARTS = "part(s) that share no frames of a video, and each stays whole"
_TELL_THEM_APART = (
    "fill in start_frame and end_frame where samples have none (each is then its whole video), and extract"
    " again"
)


@dataclass(frozen=True)
class SplitChoice:
    """Indices into the samples that were given, ascending, no sample in two of them.

    Args:
        whole_groups: whether there are groups, and none of them both validates and trains.
        notes: what a person should know of the choice, one line each.
    """

    train: list[int]
    val: list[int]
    test: list[int]
    whole_groups: bool
    notes: list[str]


def has_score(sample: Sample) -> bool:
    return sample.final_score is not None


def choose_split(
    samples: Sequence[Sample],
    protocol: str,
    seed: int,
    validation_share: float = 0.2,
    fold: str | None = None,
    folds: int | str | None = None,
    scored: Callable[[Sample], bool] = has_score,
    frames: Mapping[str, tuple[int, int]] | None = None,
) -> SplitChoice:
    """Decide who trains, validates and is tested. The order of the samples has no influence.

    `honest`: the samples of split val validate. Where there are none, or with folds, training samples are
    held out: whole groups in random order, each that still fits into the share asked for, and one more if
    that comes nearer to it, or if they are fewer than `FEWEST_VALIDATED` without it. Single samples instead,
    spread evenly over the scores, if there are fewer than `FEWEST_GROUPS` groups, or if whole ones come to
    less than half or more than twice the share, or to fewer than `FEWEST_VALIDATED`. A sample without group
    is a group of its own beside others that have one.

    What is drawn here never leaks: samples that share frames of a video, be it through others, and copies
    (`TEST_COPY`) stay together, and so do the groups they are of. Sides that the annotations name are left as
    they are.

    `paper`: nobody validates, and samples of split val are left out.

    With folds the annotations' split is not used: one fold is tested, the others are what is trained on and
    held out from.

    Args:
        samples: those that have features.
        seed: of what is held out, and of folds that are made here.
        validation_share: of the labelled training samples; a sample counts as labelled if it is `scored`, or
            where no training sample is, if it has a class or a caption.
        fold: the one to be tested, one of `fold_names(samples, folds)`.
        folds: how many to make, `official` for those of the column fold, or None for the annotations' split.
        scored: whether a sample has a final score that can be trained on.
        frames: `[start, end)` in the video that the features were made of, by sample_id, where that is known
            (`leaks.frames_of_features`); else what is annotated. A sample without frames is its whole video.

    Raises:
        TrainingError: nobody to train with, fewer than `FEWEST_VALIDATED` labelled samples to validate with
            or two to train with, fewer parts without common frames than folds, or a value out of its range.
    """
    if not 0 < validation_share < 1:
        raise TrainingError(f"validation share is {validation_share}, expected a number between 0 and 1")
    notes = []
    spans = frames_of(samples, frames)
    if folds is None:
        assert fold is None, f"fold {fold} of no folds"
        train, val, test = _annotated(samples, notes)
    else:
        train, test = _fold(samples, spans, seed, fold, folds, notes)
        val = []
    if protocol == "paper":
        if val:
            notes.append(
                f"{len(val)} samples of split val are left out: the paper's protocol has no validation"
            )
        return SplitChoice(train, [], test, False, notes)
    if val:
        notes.append(f"the {len(val)} samples of split val validate")
        _check_sizes(samples, train, val, scored)
    else:
        random = Random(f"validation {seed}")
        train, val = _hold_out(samples, spans, train, scored, validation_share, random, notes)
    validating, training = ({samples[index].group for index in part} - {None} for part in (val, train))
    if shared := sorted(validating & training):
        notes.append(
            f"{len(shared)} of {len(validating)} groups in validation train too ({some(shared)}): "
            "what is measured there is easier than a new group"
        )
    return SplitChoice(train, val, test, bool(validating | training) and not shared, notes)


def fold_names(samples: Sequence[Sample], folds: int | str) -> list[str]:
    """The folds that `choose_split` admits: `1/5` … `5/5` where `folds` is 5, the names in the column fold
    where it is `official`.

    Raises:
        TrainingError: fewer than two, or more than samples.

    >>> fold_names([Sample("a", "a.mp4", fold="fold10"), Sample("b", "b.mp4", fold="fold9")], "official")
    ['fold9', 'fold10']
    """
    if folds == OFFICIAL_FOLDS:
        names = sorted({sample.fold for sample in samples} - {None}, key=_natural_order)
        if len(names) < 2:
            raise TrainingError(
                f"the column fold of the annotations names {len(names)} fold(s)"
                f" ({some(names) or 'it is empty'}), expected at least 2; fill it in and extract again, or"
                " give a number of folds"
            )
        return names
    if type(folds) is not int or not 2 <= folds <= len(samples):
        raise TrainingError(
            f"folds is {folds!r}, expected a whole number from 2 to {len(samples)}, the number of samples, or"
            f" {OFFICIAL_FOLDS}"
        )
    return [f"{number}/{folds}" for number in range(1, folds + 1)]


def _annotated(samples: Sequence[Sample], notes: list[str]) -> tuple[list[int], list[int], list[int]]:
    """Those who train, validate and are tested by the column split."""
    members = {"train": [], "val": [], "test": [], None: []}
    for index, sample in enumerate(samples):
        members[sample.split].append(index)
    train, val, test, unsaid = members.values()
    if not train:
        raise TrainingError(
            f"none of {len(samples)} samples with features has split 'train' ({len(test)} test, {len(val)}"
            f" val, {len(unsaid)} without split); fill in the column split of the annotations with train and"
            " test and extract again, or make folds of them all with --folds"
        )
    if unsaid:
        notes.append(f"{len(unsaid)} samples without split are left out")
    return train, val, test


def _fold(
    samples: Sequence[Sample],
    spans: Mapping[str, Frames],
    seed: int,
    fold: str | None,
    folds: int | str,
    notes: list[str],
) -> tuple[list[int], list[int]]:
    """Those who train and those who are tested."""
    names = fold_names(samples, folds)
    if fold not in names:
        raise TrainingError(f"fold is {fold!r}, expected one of {', '.join(names)}")
    if folds == OFFICIAL_FOLDS:
        of_sample = [sample.fold for sample in samples]
        kind = f"official fold {fold}"
        if unsaid := of_sample.count(None):
            notes.append(f"{unsaid} samples without fold are left out")
    else:
        numbers, single = _make_folds(samples, spans, folds, Random(f"folds {seed}"))
        of_sample = [names[number] for number in numbers]
        named = len({sample.group for sample in samples} - {None})
        kind = (
            f"fold {fold}, of single samples" if single else f"fold {fold}, of whole groups ({named} in all)"
        )
        if single:
            notes.append(f"folds are of single samples: {single}")
    train = [index for index, name in enumerate(of_sample) if name not in (fold, None)]
    test = [index for index, name in enumerate(of_sample) if name == fold]
    ignored = "; the annotations' split is not used" if any(sample.split for sample in samples) else ""
    notes.append(
        f"{kind}: {len(test)} samples are tested, {len(train)} are left to train and validate{ignored}"
    )
    return train, test


def _make_folds(
    samples: Sequence[Sample], spans: Mapping[str, Frames], folds: int, random: Random
) -> tuple[list[int], str | None]:
    """Per sample the number of its fold, and where groups could not stay whole, why and what did.

    Units from the largest to the smallest, each into the fold that has the fewest samples yet. Chance decides
    among groups of equal size; single samples follow the scores, and chance decides among neighbours.
    """
    order = sorted(range(len(samples)), key=lambda index: samples[index].sample_id)
    units = _units(samples, spans, order, whole_groups=True)
    few = _few_groups(samples, units, order, folds)
    if few:
        singles = _units(samples, spans, order, whole_groups=False)
        if len(singles) < folds:
            fewer = f"give --folds {len(singles)} or fewer, or " if len(singles) > 1 else ""
            raise TrainingError(
                f"folds is {folds}, but the {len(samples)} samples are only {len(singles)} {_PARTS}; "
                f"{fewer}{_TELL_THEM_APART}"
            )
        singles = _along_scores(samples, singles, has_score)
        units = []
        for first in range(0, len(singles), folds):
            units += random.sample(singles[first : first + folds], len(singles[first : first + folds]))
        few = f"{few}, and {folds} folds of whole groups need {folds}{_together(order, singles)}"
    else:
        random.shuffle(units)
    units.sort(key=len, reverse=True)
    numbers = [0] * len(samples)
    sizes = [(0, number) for number in range(folds)]
    for unit in units:
        size, number = sizes[0]
        heapq.heapreplace(sizes, (size + len(unit), number))
        for index in unit:
            numbers[index] = number
    return numbers, few


def _hold_out(
    samples: Sequence[Sample],
    spans: Mapping[str, Frames],
    train: list[int],
    scored: Callable[[Sample], bool],
    share: float,
    random: Random,
    notes: list[str],
) -> tuple[list[int], list[int]]:
    """Those who stay to train, and those who validate."""
    order = sorted(train, key=lambda index: samples[index].sample_id)
    of_label, kind = _labelled(samples, order, scored)
    labelled = set(of_label)
    wanted = share * len(labelled)
    units = [unit for unit in _units(samples, spans, order, whole_groups=True) if labelled.intersection(unit)]
    few = _few_groups(samples, units, of_label, FEWEST_GROUPS)
    random.shuffle(units)
    held = _draw(units, labelled, wanted)
    enough = len(held & labelled)
    if few:
        why_single = f"{few}, and holding out whole ones needs {FEWEST_GROUPS}"
    elif not max(wanted / 2, FEWEST_VALIDATED) <= enough <= wanted * 2:
        why_single = f"whole groups would come to {enough} where {wanted:.0f} are wanted"
    else:
        why_single = None
    together = ""
    if why_single:
        units = [
            unit for unit in _units(samples, spans, order, whole_groups=False) if labelled.intersection(unit)
        ]
        together = _together([index for unit in units for index in unit], units)
        wanted = round(wanted)
        count = round(wanted * len(units) / max(len(labelled), 1))
        held = _draw(_spread(_along_scores(samples, units, scored), count, random), labelled, wanted)
    groups = sorted({samples[index].group for index in held} - {None})
    chosen = (
        f"single samples spread over the scores ({why_single}{together})"
        if why_single
        else f"whole groups ({some(groups)})"
    )
    notes.append(f"{len(held & labelled)} of {len(labelled)} training samples with {kind} validate: {chosen}")
    train, val = [index for index in train if index not in held], sorted(held)
    _check_sizes(samples, train, val, scored, together)
    return train, val


def _draw(units: list[list[int]], labelled: set[int], wanted: float) -> set[int]:
    """Of the units in their order those whose labelled samples come close to the number wanted."""
    held, count, left = set(), 0, []
    for unit in units:
        size = len(labelled.intersection(unit))
        if count + size <= wanted:
            held.update(unit)
            count += size
        else:
            left.append((size, unit))
    size, unit = min(left, key=lambda item: item[0], default=(0, []))
    nearer = count + size - wanted < wanted - count
    if (nearer or count < FEWEST_VALIDATED <= wanted) and count + size < len(labelled):  # somebody must train
        held.update(unit)
    return held


def _spread(units: list[list[int]], count: int, random: Random) -> list[list[int]]:
    """The units in random order, but before all others one of each of `count` stretches of equal length."""
    bounds = [number * len(units) // count for number in range(count + 1)] if count else []
    drawn = [random.randrange(first, last) for first, last in zip(bounds, bounds[1:])]
    others = sorted(set(range(len(units))) - set(drawn))
    return [units[place] for part in (drawn, others) for place in random.sample(part, len(part))]


def _check_sizes(
    samples: Sequence[Sample],
    train: list[int],
    val: list[int],
    scored: Callable[[Sample], bool],
    together: str = "",
) -> None:
    # Where nobody trains with a score, those of validation samples are of no use either.
    use_scores = any(scored(samples[index]) for index in train)
    labelled, kind = _labelled(samples, [*train, *val], scored if use_scores else lambda sample: False)
    validated = len(set(labelled).intersection(val))
    if validated < FEWEST_VALIDATED or len(labelled) - validated < 2:
        raise TrainingError(
            f"of {len(labelled)} samples with {kind} {validated} would validate and"
            f" {len(labelled) - validated} train, expected at least {FEWEST_VALIDATED} and 2{together}; give"
            " more training samples, a greater --validation share, more samples of split val, or --protocol"
            " paper, which has no validation" + (f"; or {_TELL_THEM_APART}" if together else "")
        )


def _labelled(
    samples: Sequence[Sample], indices: Sequence[int], scored: Callable[[Sample], bool]
) -> tuple[list[int], str]:
    """Those with a score, or where there is none, with any label; and what it is that they have."""
    if having := [index for index in indices if scored(samples[index])]:
        return having, "a score"
    return [index for index in indices if samples[index].classes or samples[index].caption], "a label"


def _units(
    samples: Sequence[Sample], spans: Mapping[str, Frames], order: Sequence[int], whole_groups: bool
) -> list[list[int]]:
    """The samples that must stay together: copies, those that share frames, perhaps those of a group; most
    are alone.
    """
    parent = {index: index for index in order}

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    by_id = {samples[index].sample_id: index for index in order}
    first_of_group: dict[str, int] = {}
    for index in order:
        original = by_id.get(samples[index].sample_id.removesuffix(TEST_COPY), index)
        parent[root(index)] = root(original)
        if whole_groups and samples[index].group is not None:
            parent[root(index)] = root(first_of_group.setdefault(samples[index].group, index))
    reach: dict[str, tuple[float, int]] = {}  # by video, the furthest end so far, and whose it is
    for index in sorted(order, key=lambda index: spans[samples[index].sample_id]):
        video = samples[index].video
        start, end = spans[samples[index].sample_id]
        if video in reach and start < reach[video][0]:
            parent[root(index)] = root(reach[video][1])
        reach[video] = max(reach.get(video, (end, index)), (end, index))
    units: dict[int, list[int]] = {}
    for index in order:
        units.setdefault(root(index), []).append(index)
    return list(units.values())


def _along_scores(
    samples: Sequence[Sample], units: Sequence[list[int]], scored: Callable[[Sample], bool]
) -> list[list[int]]:
    """By mean score, equal ones in the order given, those without at the end."""

    def place(unit: list[int]) -> tuple[bool, float]:
        scores = [samples[index].final_score for index in unit if scored(samples[index])]
        return not scores, statistics.fmean(scores) if scores else 0.0

    return sorted(units, key=place)


def _few_groups(
    samples: Sequence[Sample], units: Sequence[list[int]], counted: Sequence[int], needed: int
) -> str | None:
    """Why there are too few groups among the samples counted; None where there are enough."""
    counted = {index for index in counted if samples[index].group is not None}
    groups = len({samples[index].group for index in counted})
    apart = sum(not counted.isdisjoint(unit) for unit in units)
    if apart >= needed:
        return None
    if groups == 0:
        return "no sample names its group"
    if apart < groups:
        return f"of {groups} groups only {apart} share no frames of a video"
    return "there is only 1 group" if groups == 1 else f"there are only {groups} groups"


def _together(indices: Sequence[int], units: Sequence[list[int]]) -> str:
    return f"; the {len(indices)} samples are {len(units)} {_PARTS}" if len(units) < len(indices) else ""


def _natural_order(name: str) -> list[str | int]:
    return [int(part) if place % 2 else part for place, part in enumerate(re.split("([0-9]+)", name))]
