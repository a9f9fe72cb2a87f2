"""Who trains, who validates and who is tested."""

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from aqa_cache.annotations import Sample
from aqa_cache.errors import some

from .errors import TrainingError

PROTOCOLS = ("honest", "paper")
OFFICIAL = "official"
VALIDATION_SHARE = 0.2
FEWEST_GROUPS = 4  # of training samples, for whole ones to be held out
FEWEST_VALIDATED = 3  # no rank correlation of two samples says anything


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


def choose_split(
    samples: Sequence[Sample],
    protocol: str,
    seed: int,
    validation_share: float = VALIDATION_SHARE,
    fold: str | None = None,
    folds: int | str | None = None,
) -> SplitChoice:
    """Decide who trains, validates and is tested. The order of the samples has no influence.

    `honest`: the samples of split val validate. Where there are none, or with folds, training samples are held out: whole
    groups in random order, each that still fits into the share asked for, and one more if that comes nearer to it. Single
    samples instead, spread evenly over the scores, if there are fewer than `FEWEST_GROUPS` groups, or if whole ones come
    to less than half or more than twice the share, or to fewer than `FEWEST_VALIDATED`. A sample without group is a group of its own beside others that have one.

    `paper`: nobody validates, and samples of split val are left out.

    With folds the annotations' split is not used: one fold is tested, the others are what is trained on and held out from.

    Args:
        samples: those that have features.
        seed: of what is held out, and of folds that are made here.
        validation_share: of the labelled training samples; a sample counts as labelled if it has a final score, or where
            no training sample has one, a class or a caption.
        fold: the one to be tested, one of `fold_names(samples, folds)`.
        folds: how many to make, `official` for those of the column fold, or None for the annotations' split.

    Raises:
        TrainingError: nobody to train with, fewer than `FEWEST_VALIDATED` labelled samples to validate with or two to
            train with, or a value out of its range.
    """
    if protocol not in PROTOCOLS:
        raise TrainingError(f"protocol is {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    if not 0 < validation_share < 1:
        raise TrainingError(f"validation share is {validation_share}, expected a number between 0 and 1")
    notes = []
    if folds is None:
        assert fold is None, f"fold {fold} of no folds"
        train, val, test = _annotated(samples, notes)
    else:
        train, test = _fold(samples, seed, fold, folds, notes)
        val = []
    if protocol == "paper":
        if val:
            notes.append(f"{len(val)} samples of split val are left out: the paper's protocol has no validation")
        return SplitChoice(train, [], test, False, notes)
    if val:
        notes.append(f"the {len(val)} samples of split val validate")
    else:
        train, val = _hold_out(samples, train, validation_share, Random(f"validation {seed}"), notes)
    _check_sizes(samples, train, val)
    validating, training = ({samples[index].group for index in part} - {None} for part in (val, train))
    if shared := sorted(validating & training):
        notes.append(
            f"{len(shared)} of {len(validating)} groups in validation train too ({some(shared)}): "
            "what is measured there is easier than a new group"
        )
    return SplitChoice(train, val, test, bool(validating | training) and not shared, notes)


def fold_names(samples: Sequence[Sample], folds: int | str) -> list[str]:
    """The folds that `choose_split` admits: `1/5` … `5/5` where `folds` is 5, the names in the column fold where it is `official`.

    Raises:
        TrainingError: fewer than two, or more than samples.

    >>> fold_names([Sample("a", "a.mp4", fold="fold10"), Sample("b", "b.mp4", fold="fold9")], "official")
    ['fold9', 'fold10']
    """
    if folds == OFFICIAL:
        names = sorted({sample.fold for sample in samples} - {None}, key=_natural_order)
        if len(names) < 2:
            raise TrainingError(
                f"the column fold of the annotations names {len(names)} fold(s) ({some(names) or 'it is empty'}), expected at "
                "least 2; fill it in and extract again, or give a number of folds"
            )
        return names
    if type(folds) is not int or not 2 <= folds <= len(samples):
        raise TrainingError(
            f"folds is {folds!r}, expected a whole number from 2 to {len(samples)}, the number of samples, or {OFFICIAL!r}"
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
            f"none of {len(samples)} samples with features has split 'train' ({len(test)} test, {len(val)} val, "
            f"{len(unsaid)} without split); fill in the column split of the annotations with train and test and extract "
            "again, or make folds of them all with --folds"
        )
    if unsaid:
        notes.append(f"{len(unsaid)} samples without split are left out")
    return train, val, test


def _fold(
    samples: Sequence[Sample], seed: int, fold: str | None, folds: int | str, notes: list[str]
) -> tuple[list[int], list[int]]:
    """Those who train and those who are tested."""
    names = fold_names(samples, folds)
    if fold not in names:
        raise TrainingError(f"fold is {fold!r}, expected one of {', '.join(names)}")
    if folds == OFFICIAL:
        of_sample = [sample.fold for sample in samples]
        kind = f"official fold {fold}"
        if unsaid := of_sample.count(None):
            notes.append(f"{unsaid} samples without fold are left out")
    else:
        numbers, whole = _make_folds(samples, folds, Random(f"folds {seed}"))
        of_sample = [names[number] for number in numbers]
        named = len({sample.group for sample in samples} - {None})
        kind = f"fold {fold}, of whole groups ({named} in all)" if whole else f"fold {fold}, of single samples"
        if not whole:
            notes.append(f"folds are of single samples: {_only(named)}, and {folds} folds of whole groups need {folds}")
    train = [index for index, name in enumerate(of_sample) if name not in (fold, None)]
    test = [index for index, name in enumerate(of_sample) if name == fold]
    ignored = "; the annotations' split is not used" if any(sample.split for sample in samples) else ""
    notes.append(f"{kind}: {len(test)} samples are tested, {len(train)} are left to train and validate{ignored}")
    return train, test


def _make_folds(samples: Sequence[Sample], folds: int, random: Random) -> tuple[list[int], bool]:
    """Per sample the number of its fold, and whether groups stayed whole.

    Groups from the largest to the smallest, each into the fold that has the fewest samples yet; chance decides among
    equals. Single samples are dealt out along the scores.
    """
    order = sorted(range(len(samples)), key=lambda index: samples[index].sample_id)
    numbers = [0] * len(samples)
    if len({sample.group for sample in samples} - {None}) < folds:
        order = _along_scores(samples, order)
        for first in range(0, len(order), folds):
            some_samples = order[first : first + folds]
            for index, number in zip(some_samples, random.sample(range(folds), len(some_samples))):
                numbers[index] = number
        return numbers, False
    groups = _groups(samples, order)
    random.shuffle(groups)
    groups.sort(key=len, reverse=True)
    sizes = [(0, number) for number in range(folds)]
    for group in groups:
        size, number = sizes[0]
        heapq.heapreplace(sizes, (size + len(group), number))
        for index in group:
            numbers[index] = number
    return numbers, True


def _hold_out(
    samples: Sequence[Sample], train: list[int], share: float, random: Random, notes: list[str]
) -> tuple[list[int], list[int]]:
    """Those who stay to train, and those who validate."""
    order = sorted(train, key=lambda index: samples[index].sample_id)
    labelled, kind = _labelled(samples, order)
    named = len({samples[index].group for index in labelled} - {None})
    wanted = share * len(labelled)
    held = _draw_groups(samples, order, set(labelled), wanted, random)
    enough = len(held & set(labelled))
    if named < FEWEST_GROUPS:
        why_single = f"{_only(named)}, and holding out whole ones needs {FEWEST_GROUPS}"
    elif not max(wanted / 2, FEWEST_VALIDATED) <= enough <= wanted * 2:
        why_single = f"whole groups would come to {enough} where {wanted:.0f} are wanted"
    else:
        why_single = None
    if why_single:
        held = _draw_along_scores(_along_scores(samples, labelled), round(wanted), random)
    groups = sorted({samples[index].group for index in held} - {None})
    chosen = f"single samples spread over the scores ({why_single})" if why_single else f"whole groups ({some(groups)})"
    notes.append(f"{len(held & set(labelled))} of {len(labelled)} training samples with {kind} validate: {chosen}")
    return [index for index in train if index not in held], sorted(held)


def _draw_groups(
    samples: Sequence[Sample], order: list[int], labelled: set[int], wanted: float, random: Random
) -> set[int]:
    """Whole groups whose labelled samples come close to the number wanted."""
    groups = [group for group in _groups(samples, order) if labelled.intersection(group)]
    random.shuffle(groups)
    held, count, left = set(), 0, []
    for group in groups:
        size = len(labelled.intersection(group))
        if count + size <= wanted:
            held.update(group)
            count += size
        else:
            left.append((size, group))
    size, group = min(left, key=lambda item: item[0], default=(0, []))
    return held.union(group) if count + size - wanted < wanted - count else held


def _draw_along_scores(order: list[int], count: int, random: Random) -> set[int]:
    """One of each of `count` stretches of equal length."""
    bounds = [number * len(order) // count for number in range(count + 1)] if count else []
    return {order[random.randrange(first, last)] for first, last in zip(bounds, bounds[1:])}


def _check_sizes(samples: Sequence[Sample], train: list[int], val: list[int]) -> None:
    if any(samples[index].final_score is not None for index in train):
        labelled, kind = _labelled(samples, [*train, *val])
    else:  # then scores of validation samples are of no use either
        labelled, kind = _labelled([replace(sample, final_score=None) for sample in samples], [*train, *val])
    validated = len(set(labelled).intersection(val))
    if validated < FEWEST_VALIDATED or len(labelled) - validated < 2:
        raise TrainingError(
            f"of {len(labelled)} samples with {kind} {validated} would validate and {len(labelled) - validated} train, expected "
            f"at least {FEWEST_VALIDATED} and 2; give more training samples, a greater --validation share, more samples of split "
            "val, or --protocol paper, which has no validation"
        )


def _labelled(samples: Sequence[Sample], indices: Sequence[int]) -> tuple[list[int], str]:
    """Those with a score, or where there is none, with any label; and what it is that they have."""
    if scored := [index for index in indices if samples[index].final_score is not None]:
        return scored, "a score"
    return [index for index in indices if samples[index].classes or samples[index].caption], "a label"


def _groups(samples: Sequence[Sample], order: Sequence[int]) -> list[list[int]]:
    """The samples of each group; a sample without one is alone."""
    groups = {}
    for index in order:
        groups.setdefault(index if samples[index].group is None else samples[index].group, []).append(index)
    return list(groups.values())


def _along_scores(samples: Sequence[Sample], order: Sequence[int]) -> list[int]:
    """By score, equal ones in the order given, those without at the end."""
    return sorted(order, key=lambda i: (samples[i].final_score is None, samples[i].final_score or 0.0))


def _only(groups: int) -> str:
    if groups == 0:
        return "no sample names its group"
    return "there is only 1 group" if groups == 1 else f"there are only {groups} groups"


def _natural_order(name: str) -> list[str | int]:
    return [int(part) if place % 2 else part for place, part in enumerate(re.split("([0-9]+)", name))]
