"""Shards of an extraction: which of several processes does which videos."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..annotations import Sample
from ..errors import AqaError
from ..video.opening import video_stamp
from .sources import Source


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
        number, _, count = text.partition("/")
        if not (number.strip().isdigit() and count.strip().isdigit() and 1 <= int(number) <= int(count)):
            raise AqaError(f"shard {text!r} is not one of 1/N, 2/N, … N/N, such as 2/8")
        return cls(int(number), int(count))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Shard":
        """As torchrun (`RANK`, `WORLD_SIZE`) or a Slurm array (`SLURM_ARRAY_TASK_ID`, `…_MIN`, …) says, else
        1/1.

        Raises:
            AqaError: a variable is missing or no number, or a Slurm array has gaps.
        """
        if "RANK" in environment and "WORLD_SIZE" in environment:
            rank, count = _numbers(environment, "RANK", "WORLD_SIZE")
            return cls(rank + 1, count, "RANK and WORLD_SIZE")
        if "SLURM_ARRAY_TASK_ID" not in environment:
            return cls()
        names = (f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "MAX", "COUNT"))
        task, first, last, count = _numbers(environment, *names)
        if last - first + 1 != count:
            raise AqaError(
                f"the Slurm array has {count} tasks from {first} to {last}; use one without gaps, or --shard"
            )
        return cls(task - first + 1, count, "SLURM_ARRAY_TASK_ID")

    def of(self, source: Source) -> list[Sample]:
        """The samples of this shard, in the source's order: whole videos, the largest dealt first, each to
        the smallest shard.

        Every process that sees the same videos deals the same way.
        """
        if self.count == 1:
            return source.samples
        videos = {sample.video: video_stamp(source.path(sample))[0] for sample in source.samples}
        mine = _deal(videos, self.count)[self.number - 1]
        return [sample for sample in source.samples if sample.video in mine]


def _numbers(environment: Mapping[str, str], *names: str) -> list[int]:
    values = [environment.get(name, "") for name in names]
    if not all(value.isdigit() for value in values):
        read = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
        raise AqaError(
            f"the environment says {read}, expected numbers; mend it, or say which shard with --shard"
        )
    return [int(value) for value in values]


def _deal(sizes: Mapping[str, int], count: int) -> Sequence[set[str]]:
    shards: list[set[str]] = [set() for _ in range(count)]
    totals = [0] * count
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        smallest = min(range(count), key=lambda shard: (totals[shard], len(shards[shard])))
        shards[smallest].add(name)
        totals[smallest] += sizes[name]
    return shards
