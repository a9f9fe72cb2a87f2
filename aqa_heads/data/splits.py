"""Who trains, who validates and who is tested."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from aqa_cache.annotations import Sample
from aqa_cache.errors import some

from ..errors import TrainingError
from ..settings.choices import OFFICIAL_FOLDS
from .leaks import Frames, frames_of
from .mirror import Mirror, mirror_of
from .units import (
    GROUP,
    PARTS,
    TELL_THEM_APART,
    along_scores,
    even_folds,
    few_groups,
    has_score,
    told_together,
    units_of,
)
from .validation import check_sizes, hold_out, hold_out_mirrored


@dataclass(frozen=True)
class SplitChoice:
    """Indices into the samples that were given, ascending, no sample in two of them.

    Args:
        whole_groups: whether there are groups, and none of them both validates and trains.
        notes: what a person should know of the choice, one line each.
        mirror: how validation samples are to stand to training samples; None: they are held out as Table 1's
            rows have it, or nobody validates.
    """

    train: list[int]
    val: list[int]
    test: list[int]
    whole_groups: bool
    notes: list[str]
    mirror: Mirror | None = None

    @property
    def role(self) -> str:
        """The column of the groups by which samples are held out."""
        return GROUP if self.mirror is None else self.mirror.role


def choose_split(
    samples: Sequence[Sample],
    protocol: str,
    seed: int,
    validation_share: float = 0.2,
    fold: str | None = None,
    folds: int | str | None = None,
    scored: Callable[[Sample], bool] = has_score,
    frames: Mapping[str, tuple[int, int]] | None = None,
    validate_on: str | None = None,
) -> SplitChoice:
    """Decide who trains, validates and is tested. The order of the samples has no influence.

    `honest`: the samples of split val validate. Where there are none, or with folds, training samples are
    held out: whole groups in random order, each that still fits into the share asked for, and one more if
    that comes nearer to it, or if they are fewer than `FEWEST_VALIDATED` without it. Single samples instead,
    spread evenly over the scores, if there are fewer than `FEWEST_GROUPS` groups, or if whole ones come to
    less than half or more than twice the share, or to fewer than `FEWEST_VALIDATED`. A sample without group
    is a group of its own beside others that have one. With `validate_on` the validation samples stand to the
    training samples as the test samples do (`mirror.mirror_of`).

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
        validate_on: see `mirror.mirror_of`; None: whole groups, where there are enough.
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
    mirror = None if validate_on is None else mirror_of(samples, [*train, *val], test, validate_on, notes)
    if val:
        notes.append(f"the {len(val)} samples of split val validate")
        check_sizes(samples, train, val, scored)
    else:
        held = samples, spans, train, scored, validation_share, Random(f"validation {seed}")
        train, val = hold_out(*held, notes) if mirror is None else hold_out_mirrored(*held, mirror, notes)
    validating, training = ({samples[index].group for index in part} - {None} for part in (val, train))
    shared = sorted(validating & training)
    if shared and (mirror is None or not mirror.known):
        notes.append(
            f"{len(shared)} of {len(validating)} groups in validation train too ({some(shared)}): "
            "what is measured there is easier than a new group"
        )
    return SplitChoice(train, val, test, bool(validating | training) and not shared, notes, mirror)


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
        numbers, single = make_folds(samples, spans, folds, seed)
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


def make_folds(
    samples: Sequence[Sample], spans: Mapping[str, Frames], folds: int, seed: int
) -> tuple[list[int], str | None]:
    """Per sample the number of its fold, and where groups could not stay whole, why and what did.

    Units from the largest to the smallest, each into the fold that has the fewest samples yet. Chance decides
    among groups of equal size; single samples follow the scores, and chance decides among neighbours.

    Raises:
        TrainingError: fewer parts without common frames than folds.
    """
    random = Random(f"folds {seed}")
    order = sorted(range(len(samples)), key=lambda index: samples[index].sample_id)
    units = units_of(samples, spans, order, (GROUP,))
    few = few_groups(samples, units, order, folds)
    if few:
        singles = units_of(samples, spans, order)
        if len(singles) < folds:
            fewer = f"give --folds {len(singles)} or fewer, or " if len(singles) > 1 else ""
            raise TrainingError(
                f"folds is {folds}, but the {len(samples)} samples are only {len(singles)} {PARTS}; "
                f"{fewer}{TELL_THEM_APART}"
            )
        singles = along_scores(samples, singles, has_score)
        units = []
        for first in range(0, len(singles), folds):
            units += random.sample(singles[first : first + folds], len(singles[first : first + folds]))
        few = f"{few}, and {folds} folds of whole groups need {folds}{told_together(order, singles)}"
    else:
        random.shuffle(units)
    units.sort(key=len, reverse=True)
    numbers = [0] * len(samples)
    for number, fold in enumerate(even_folds(units, folds)):
        for index in fold:
            numbers[index] = number
    return numbers, few


def _natural_order(name: str) -> list[str | int]:
    return [int(part) if place % 2 else part for place, part in enumerate(re.split("([0-9]+)", name))]
