"""Who validates: training samples that are held out, once or in folds."""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from aqa_cache.annotations import Sample
from aqa_cache.errors import some

from ..errors import TrainingError
from ..settings.choices import AUTO, NEW_GROUPS, VALIDATE_ON
from .leaks import Frames, frames_of
from .units import (
    FURTHER,
    GROUP,
    along_scores,
    few_groups,
    group_of,
    has_score,
    labelled_of,
    roles_of,
    told_together,
    units_of,
)

FEWEST_GROUPS = 4  # of training samples, for whole ones to be held out
FEWEST_VALIDATED = 3  # no rank correlation of two samples says anything
PENALTY_FOLDS, FEWEST_PENALTY_GROUPS = 5, 8

TELL_THEM_APART = (
    "fill in start_frame and end_frame where samples have none (each is then its whole video), and extract"
    " again"
)


@dataclass(frozen=True)
class Mirror:
    """How validation samples stand to training samples, so that they mirror the test samples.

    Args:
        role: the column whose groups are mirrored, `group` or `group_NAME`.
        known: the share of the validation samples whose group trains too; the others are held out by whole
            groups. Where no sample names a group, 1.
        whole: the columns whose groups are never divided, as no test sample is of a group that trains.
    """

    role: str = GROUP
    known: float = 0.0
    whole: tuple[str, ...] = ()


def mirror_of(
    samples: Sequence[Sample],
    train: Sequence[int],
    test: Sequence[int],
    asked: str,
    notes: list[str],
) -> Mirror:
    """How samples are to be held out of `train` so that they are as hard as `test` is.

    Args:
        asked: `auto`: the share of the test samples whose group trains too is the share of the validation
            samples that are drawn one by one from groups that train too. `new-groups`: none is;
            `known-groups`: all are. `:NAME` behind it takes the column `group_NAME` for the column `group`.
        notes: is told the share of every role.

    Raises:
        TrainingError: nothing of that kind, or no such column.
    """
    kind, _, name = asked.partition(":")
    role = FURTHER + name.removeprefix(FURTHER) if name and name != GROUP else GROUP
    if kind not in VALIDATE_ON:
        raise TrainingError(
            f"validate_on is {asked!r}, expected one of {', '.join(VALIDATE_ON)}, each perhaps with :NAME of"
            " a column group_NAME behind it"
        )
    roles = roles_of([samples[index] for index in train])
    if name and role not in roles:
        raise TrainingError(
            f"validate_on is {asked!r}, but no training sample has a {role}; there is"
            f" {some(roles) or 'no group'}"
        )
    shares = {each: _known_share(samples, train, test, each) for each in roles} if test else {}
    for each, share in shares.items():
        count = round(share * len(test))
        number = f"{count} of {len(test)} test samples are" if count else "no test sample is"
        notes.append(f"{number} of a {each} that is in training, too")
    if kind != AUTO:
        shares[role] = 0.0 if kind == NEW_GROUPS else 1.0
    elif role in roles and role not in shares:
        notes.append(f"no test sample says whether its {role} trains too: validation takes whole ones")
        shares[role] = 0.0
    if role not in roles:  # nobody is of a group: each sample is one of its own, and new
        return Mirror(role, 1.0, tuple(each for each, share in shares.items() if share == 0))
    return Mirror(role, shares[role], tuple(each for each in roles if shares.get(each) == 0))


def _known_share(samples: Sequence[Sample], train: Sequence[int], test: Sequence[int], role: str) -> float:
    """The share of the test samples whose group trains too; one without a group is of a new one."""
    training = {group_of(samples[index], role) for index in train} - {None}
    return sum(group_of(samples[index], role) in training for index in test) / len(test)


def hold_out(
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
    of_label, kind = labelled_of(samples, order, scored)
    labelled = set(of_label)
    wanted = share * len(labelled)
    units = [unit for unit in units_of(samples, spans, order, (GROUP,)) if labelled.intersection(unit)]
    few = few_groups(samples, units, of_label, FEWEST_GROUPS)
    held, why_single = _draw_groups(units, few, labelled, wanted, random)
    together = ""
    if why_single:
        units = [unit for unit in units_of(samples, spans, order) if labelled.intersection(unit)]
        together = told_together([index for unit in units for index in unit], units)
        wanted = round(wanted)
        count = round(wanted * len(units) / max(len(labelled), 1))
        held = _draw(_spread(along_scores(samples, units, scored), count, random), labelled, wanted)
    groups = sorted({samples[index].group for index in held} - {None})
    chosen = (
        f"single samples spread over the scores ({why_single}{together})"
        if why_single
        else f"whole groups ({some(groups)})"
    )
    notes.append(f"{len(held & labelled)} of {len(labelled)} training samples with {kind} validate: {chosen}")
    train, val = [index for index in train if index not in held], sorted(held)
    check_sizes(samples, train, val, scored, together)
    return train, val


def hold_out_mirrored(
    samples: Sequence[Sample],
    spans: Mapping[str, Frames],
    train: list[int],
    scored: Callable[[Sample], bool],
    share: float,
    random: Random,
    mirror: Mirror,
    notes: list[str],
) -> tuple[list[int], list[int]]:
    """Those who stay to train, and those who validate: of the labelled samples `share`, some of them by whole
    groups and some one by one, as `mirror` says.

    Where whole groups are too few or too large, all are drawn one by one, and the reason is said.
    """
    order = sorted(train, key=lambda index: samples[index].sample_id)
    of_label, kind = labelled_of(samples, order, scored)
    labelled = set(of_label)
    wanted = share * len(labelled)
    held, by_groups, why_single = set(), 0, ""
    if mirror.known < 1:
        roles = tuple(dict.fromkeys((*mirror.whole, mirror.role)))
        units = [unit for unit in units_of(samples, spans, order, roles) if labelled.intersection(unit)]
        few = few_groups(samples, units, of_label, FEWEST_GROUPS, mirror.role)
        whole = wanted * (1 - mirror.known)
        held, why_single = _draw_groups(units, few, labelled, whole, random, alone=not mirror.known)
        held = set() if why_single else held
        by_groups = len(held & labelled)
    together, single = "", 0
    if mirror.known or why_single:
        units = [
            unit
            for unit in units_of(samples, spans, order, mirror.whole if mirror.known else ())
            if labelled.intersection(unit) and not held.intersection(unit)
        ]
        together = told_together([index for unit in units for index in unit], units)
        wanted_single = max(round(wanted), FEWEST_VALIDATED) - by_groups
        count = round(wanted_single * len(units) / max(len(labelled), 1))
        spread = _spread(along_scores(samples, units, scored), max(count, 0), random)
        kept, left = _keeping_a_training_sample(samples, spread, labelled, mirror.role)
        drawn = _draw(kept, labelled, wanted_single) if wanted_single > 0 else set()
        if len(drawn & labelled) < min(wanted_single, FEWEST_VALIDATED):
            drawn = _draw([*kept, *left], labelled, wanted_single)
        single = len(drawn & labelled)
        held |= drawn
    notes.append(
        f"{len(held & labelled)} of {len(labelled)} training samples with {kind} validate: "
        + _told(samples, held, by_groups, single, mirror, why_single + together)
    )
    train, val = [index for index in train if index not in held], sorted(held)
    check_sizes(samples, train, val, scored, together)
    return train, val


def _draw_groups(
    units: list[list[int]],
    few: str | None,
    labelled: set[int],
    wanted: float,
    random: Random,
    alone: bool = True,
) -> tuple[set[int], str]:
    """Whole groups in random order whose labelled samples come close to the number wanted, and why single
    samples must take their place; empty where they need not.

    Args:
        few: why there are too few groups (`few_groups`), or None.
        alone: nobody validates beside them, so that their number has to be near the one wanted.
    """
    random.shuffle(units)
    held = _draw(units, labelled, wanted)
    count = len(held & labelled)
    if few:
        return held, f"{few}, and holding out whole ones needs {FEWEST_GROUPS}"
    if alone and not max(wanted / 2, FEWEST_VALIDATED) <= count <= wanted * 2:
        return held, f"whole groups would come to {count} where {wanted:.0f} are wanted"
    return held, ""


def _told(
    samples: Sequence[Sample], held: set[int], by_groups: int, single: int, mirror: Mirror, why: str
) -> str:
    groups = sorted({group_of(samples[index], mirror.role) for index in held} - {None})
    parts = [f"whole groups ({some(groups)})"] if by_groups and not single else []
    if by_groups and single:
        parts.append(f"{by_groups} by whole groups")
    if single:
        which = "" if why or not groups else " from groups that train too"
        number = f"{single} " if by_groups else ""
        parts.append(
            f"{number}single samples spread over the scores{which}" + (f" ({why.strip('; ')})" if why else "")
        )
    return " and ".join(parts)


def _keeping_a_training_sample(
    samples: Sequence[Sample], units: Sequence[list[int]], labelled: set[int], role: str
) -> tuple[list[list[int]], list[list[int]]]:
    """The units, in their order, that leave every group a labelled sample, and the others."""
    left: dict[str | None, int] = {}
    for unit in units:
        for index in labelled.intersection(unit):
            left[group_of(samples[index], role)] = left.get(group_of(samples[index], role), 0) + 1
    kept, others = [], []
    for unit in units:
        groups = [group_of(samples[index], role) for index in labelled.intersection(unit)]
        fits = all(group is None or left[group] > groups.count(group) for group in groups)
        (kept if fits else others).append(unit)
        if fits:
            for group in groups:
                left[group] -= 1
    return kept, others


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
        groups = [unit for unit in units_of(samples, spans, order, roles) if labelled.intersection(unit)]
        random.shuffle(groups)
        if len(groups) > 1:
            whole = [unit for unit in groups if unit in _share(groups, labelled, 1 - mirror.known)]
    taken = {index for unit in whole for index in unit}
    separable = mirror.whole if mirror.known else ()
    singles = [
        unit
        for unit in units_of(samples, spans, order, separable)
        if labelled.intersection(unit) and not taken.intersection(unit)
    ]
    number = min(count, len(whole) + len(singles))
    if number < 2:
        return []
    folds: list[list[int]] = [[] for _ in range(number)]
    sizes = [(0, place) for place in range(number)]
    whole.sort(key=lambda unit: len(labelled.intersection(unit)), reverse=True)
    singles = along_scores(samples, singles, scored)
    for first in range(0, len(singles), number):
        stretch = singles[first : first + number]
        whole += random.sample(stretch, len(stretch))
    for unit in whole:
        size, place = sizes[0]
        mine = sorted(labelled.intersection(unit))
        heapq.heapreplace(sizes, (size + len(mine), place))
        folds[place] += mine
    return [sorted(fold) for fold in folds]


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


def check_sizes(
    samples: Sequence[Sample],
    train: list[int],
    val: list[int],
    scored: Callable[[Sample], bool],
    together: str = "",
) -> None:
    # Where nobody trains with a score, those of validation samples are of no use either.
    use_scores = any(scored(samples[index]) for index in train)
    labelled, kind = labelled_of(samples, [*train, *val], scored if use_scores else lambda sample: False)
    validated = len(set(labelled).intersection(val))
    if validated < FEWEST_VALIDATED or len(labelled) - validated < 2:
        raise TrainingError(
            f"of {len(labelled)} samples with {kind} {validated} would validate and"
            f" {len(labelled) - validated} train, expected at least {FEWEST_VALIDATED} and 2{together}; give"
            " more training samples, a greater --validation share, more samples of split val, or --protocol"
            " paper, which has no validation" + (f"; or {TELL_THEM_APART}" if together else "")
        )
