"""How validation samples stand to training samples, so that they mirror the test samples."""

from collections.abc import Sequence
from dataclasses import dataclass

from aqa_cache.annotations import Sample
from aqa_cache.errors import some

from ..errors import TrainingError
from ..settings.choices import AUTO, NEW_GROUPS, VALIDATE_ON
from .units import FURTHER, GROUP, group_of, roles_of


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
