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
        number, _, count = (part.strip() for part in text.partition("/"))
        if not (_is_number(number) and _is_number(count) and 1 <= int(number) <= int(count)):
            raise AqaError(f"shard {text!r} is not one of 1/N, 2/N, … N/N, such as 2/8")
        return cls(int(number), int(count))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Shard":
        """As torchrun (`RANK`, `WORLD_SIZE`) or a Slurm array (`SLURM_ARRAY_TASK_ID`, `…_MIN`, …) says, else
        1/1.

        Raises:
            AqaError: a variable is missing, no number or out of its range, or a Slurm array has gaps.
        """
        if "RANK" in environment and "WORLD_SIZE" in environment:
            rank, count = _numbers(environment, "RANK", "WORLD_SIZE")
            if rank >= count:
                raise AqaError(
                    f"the environment says RANK={rank}, WORLD_SIZE={count}, expected a rank from 0 to"
                    " WORLD_SIZE - 1; unset both for a single process, or say which shard with --shard"
                )
            return cls(rank + 1, count, "RANK and WORLD_SIZE")
        if "SLURM_ARRAY_TASK_ID" not in environment:
            return cls()
        names = (f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "MAX", "COUNT"))
        task, first, last, count = _numbers(environment, *names)
        if last - first + 1 != count:
            raise AqaError(
                f"the Slurm array has {count} tasks from {first} to {last}; use one without gaps, or --shard"
            )
        if not first <= task <= last:
            raise AqaError(
                f"the Slurm array has tasks from {first} to {last}, but SLURM_ARRAY_TASK_ID is {task}; mend"
                " it, or say which shard with --shard"
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
        shards = _deal(videos, self.count)
        mine = shards[self.number - 1] if self.number <= len(shards) else ()
        return [sample for sample in source.samples if sample.video in mine]


def _numbers(environment: Mapping[str, str], *names: str) -> list[int]:
    values = [environment.get(name, "") for name in names]
    if not all(map(_is_number, values)):
        read = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
        raise AqaError(
            f"the environment says {read}, expected numbers; mend it, or say which shard with --shard"
        )
    return [int(value) for value in values]


def _is_number(text: str) -> bool:
    """One that counts processes: not of so many digits that nothing could be counted by it."""
    return text.isascii() and text.isdigit() and len(text) < 10


def _deal(sizes: Mapping[str, int], count: int) -> Sequence[set[str]]:
    """The videos of the first shards; those after them have none."""
    count = min(count, len(sizes))  # while there is an empty shard, it is the smallest
    shards: list[set[str]] = [set() for _ in range(count)]
    totals = [0] * count
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        smallest = min(range(count), key=lambda shard: (totals[shard], len(shards[shard])))
        shards[smallest].add(name)
        totals[smallest] += sizes[name]
    return shards
