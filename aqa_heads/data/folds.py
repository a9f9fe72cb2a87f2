"""Training samples in folds, each of which is held out once: to validate, or to choose a penalty."""

from collections.abc import Callable, Mapping, Sequence
from random import Random

from aqa_cache.annotations import Sample

from .leaks import Frames, frames_of
from .mirror import Mirror
from .units import along_scores, even_folds, group_of, has_score, labelled_of, labelled_units, units_of

PENALTY_FOLDS, FEWEST_PENALTY_GROUPS = 5, 8


def validation_folds(
    samples: Sequence[Sample],
    members: Sequence[int],
    mirror: Mirror,
    count: int,
    seed: int,
    scored: Callable[[Sample], bool] = has_score,
    frames: Mapping[str, Frames] | None = None,
) -> list[list[int]]:
    """Divide the labelled ones of `members` into folds, each of which mirrors the test samples.

    A share 1 - `mirror.known` of them is divided by whole groups, the others one by one, spread over the
    scores. Samples without a label are in no fold: they always train. The order of the samples and the names
    of groups have no influence.

    Args:
        members: indices of those who train or validate.
        count: of folds, at most; fewer where there are fewer parts that stay together.

    Returns:
        Indices into `samples`, ascending, by fold. Empty where fewer than two folds can be made.
    """
    random = Random(f"validation folds {seed}")
    order = sorted(members, key=lambda index: samples[index].sample_id)
    of_label, _ = labelled_of(samples, order, scored)
    labelled, spans = set(of_label), frames_of(samples, frames)
    whole: list[list[int]] = []
    if mirror.known < 1:
        roles = tuple(dict.fromkeys((*mirror.whole, mirror.role)))
        groups = labelled_units(samples, spans, order, labelled, roles)
        random.shuffle(groups)
        if len(groups) > 1:
            whole = [unit for unit in groups if unit in _share(groups, labelled, 1 - mirror.known)]
    taken = {index for unit in whole for index in unit}
    separable = mirror.whole if mirror.known else ()
    singles = labelled_units(samples, spans, order, labelled, separable)
    singles = [unit for unit in singles if not taken.intersection(unit)]
    number = min(count, len(whole) + len(singles))
    if number < 2:
        return []
    whole.sort(key=lambda unit: len(labelled.intersection(unit)), reverse=True)
    singles = along_scores(samples, singles, scored)
    for first in range(0, len(singles), number):
        stretch = singles[first : first + number]
        whole += random.sample(stretch, len(stretch))
    return [
        sorted(fold) for fold in even_folds([sorted(labelled.intersection(unit)) for unit in whole], number)
    ]


def penalty_folds(
    samples: Sequence[Sample],
    mirror: Mirror,
    seed: int,
    frames: Mapping[str, Frames] | None = None,
) -> list[list[int]] | None:
    """Folds of `samples`, all of which are labelled, to choose a penalty by.

    They are held out as to validate, but one by one where there are fewer than `FEWEST_PENALTY_GROUPS` whole
    groups. What so few say of a penalty is mostly their levels; samples held out one by one choose one that
    ranks new groups better, and errs less there (LOG.md).

    Returns:
        Places in `samples`; None where each of them can be held out alone.
    """
    everyone, spans = range(len(samples)), frames_of(samples, frames)
    if mirror.known < 1:
        groups = {group_of(sample, mirror.role) for sample in samples} - {None}
        if len(groups) < FEWEST_PENALTY_GROUPS:
            mirror = Mirror(mirror.role, 1.0)
    alone = len(units_of(samples, spans, everyone, mirror.whole)) == len(samples)
    if mirror.known == 1 and alone:
        return None
    folds = validation_folds(samples, everyone, mirror, PENALTY_FOLDS, seed, lambda _: True, frames)
    return folds or None


def _share(units: list[list[int]], labelled: set[int], share: float) -> list[list[int]]:
    """The first units, up to the one with which they come nearest to `share` of the labelled samples."""
    if share == 1:
        return units
    wanted, count, chosen = share * len(labelled), 0, []
    for unit in units:
        size = len(labelled.intersection(unit))
        if abs(count + size - wanted) < abs(count - wanted):
            chosen.append(unit)
            count += size
    return chosen
