"""What runs need to know of a sample beside its features."""

from collections.abc import Sequence

from aqa_cache.annotations import Sample
from aqa_cache.errors import AqaError

from .trained import Trained


def able_samples(
    runs: Sequence[Trained], samples: Sequence[Sample]
) -> tuple[list[Sample], list[tuple[str, str]]]:
    """The samples of which all is known that runs need, and why the others cannot be scored.

    Raises:
        AqaError: none is able.
    """
    able, failures = [], []
    for sample in samples:
        lacking = [
            name
            for trained in runs
            for name in trained.needs
            if (sample.difficulty is None if name == "difficulty" else name not in sample.classes)
        ]
        if lacking:
            failures.append((sample.sample_id, f"{sample.sample_id}: {_what_it_needs(lacking[0])}"))
        else:
            able.append(sample)
    if failures and not able:
        raise AqaError(failures[0][1])
    return able, failures


def _what_it_needs(name: str) -> str:
    if name == "difficulty":
        return (
            "the run needs the difficulty, and it is not given; give --difficulty, or an annotations table"
            " with the column difficulty"
        )
    return (
        f"the run needs its class of {name!r}, and it is not given; give a table with the column class_{name}"
    )
