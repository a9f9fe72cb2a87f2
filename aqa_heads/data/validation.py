"""Who validates: training samples that are held out, in one part."""

from collections.abc import Callable, Mapping, Sequence
from random import Random

from aqa_cache.annotations import Sample
from aqa_cache.errors import some

from ..errors import TrainingError
from .leaks import Frames
from .mirror import Mirror
from .units import (
    GROUP,
    TELL_THEM_APART,
    along_scores,
    few_groups,
    group_of,
    labelled_of,
    labelled_units,
    told_together,
)

FEWEST_GROUPS = 4  # of training samples, for whole ones to be held out
FEWEST_VALIDATED = 3  # no rank correlation of two samples says anything


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
    units = labelled_units(samples, spans, order, labelled, (GROUP,))
    few = few_groups(samples, units, of_label, FEWEST_GROUPS)
    held, why_single = _draw_groups(units, few, labelled, wanted, random)
    together = ""
    if why_single:
        units = labelled_units(samples, spans, order, labelled)
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
        units = labelled_units(samples, spans, order, labelled, roles)
        few = few_groups(samples, units, of_label, FEWEST_GROUPS, mirror.role)
        whole = wanted * (1 - mirror.known)
        held, why_single = _draw_groups(units, few, labelled, whole, random, alone=not mirror.known)
        held = set() if why_single else held
        by_groups = len(held & labelled)
    together, single = "", 0
    if mirror.known or why_single:
        separable = mirror.whole if mirror.known else ()
        units = labelled_units(samples, spans, order, labelled, separable)
        units = [unit for unit in units if not held.intersection(unit)]
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


def _draw(units: list[list[int]], labelled: set[int], wanted: float) -> set[int]:
    """The samples of units, taken in their order, whose labelled ones come close to the number wanted."""
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
