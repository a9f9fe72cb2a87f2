"""Shards of an extraction: which of several processes does which videos."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..annotations import Sample
from ..errors import AqaError
from .schedulers import is_number, shard_said
from .source import Source


@dataclass(frozen=True)
class Shard:
    """Shard `number` of `count`, counted from 1.

    Args:
        origin: where it was read, to be told to a person; empty if they gave it.
    """

    number: int = 1
    count: int = 1
    origin: str = ""

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """From `2/8`.

        Raises:
            AqaError: not of that form, or outside 1/N to N/N.
        """
        number, _, count = (part.strip() for part in text.partition("/"))
        if not (is_number(number) and is_number(count) and 1 <= int(number) <= int(count)):
            raise AqaError(f"shard {text!r} is not one of 1/N, 2/N, … N/N, such as 2/8")
        return cls(int(number), int(count))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Shard":
        """As torchrun, a Slurm array or another scheduler says (`schedulers`), else 1/1.

        Raises:
            AqaError: a variable is missing, no number or out of its range, or an array has gaps.
        """
        said = shard_said(environment)
        return cls(*said) if said else cls()

    def of(self, source: Source) -> list[Sample]:
        """The samples of this shard, in the source's order: whole videos, the largest dealt first, each to
        the smallest shard.

        Every process that sees the same videos deals the same way.
        """
        if self.count == 1:
            return source.samples
        videos = {sample.video: source.stamp(sample.video)[0] for sample in source.samples}
        shards = deal(videos, self.count)
        mine = shards[self.number - 1] if self.number <= len(shards) else ()
        return [sample for sample in source.samples if sample.video in mine]


def deal(sizes: Mapping[str, int], count: int) -> Sequence[set[str]]:
    """Names dealt to shards, the largest first, each to the smallest shard; those after them have none."""
    count = min(count, len(sizes))  # while there is an empty shard, it is the smallest
    shards: list[set[str]] = [set() for _ in range(count)]
    totals = [0] * count
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        smallest = min(range(count), key=lambda shard: (totals[shard], len(shards[shard])))
        shards[smallest].add(name)
        totals[smallest] += sizes[name]
    return shards
