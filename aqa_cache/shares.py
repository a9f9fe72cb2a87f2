"""Shares of an extraction: which of several processes does which videos."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .annotations import Sample
from .errors import AqaError
from .sources import Source, video_stamp


@dataclass(frozen=True)
class Share:
    """Share `number` of `count`, counted from 1."""

    number: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> "Share":
        """From `2/8`.

        Raises:
            AqaError: not of that form, or outside 1/N to N/N.
        """
        number, slash, count = text.partition("/")
        if not (slash and number.strip().isdigit() and count.strip().isdigit() and 1 <= int(number) <= int(count)):
            raise AqaError(f"share {text!r} is not one of 1/N, 2/N, … N/N, such as 2/8")
        return cls(int(number), int(count))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Share":
        """As torchrun (`RANK`, `WORLD_SIZE`) or a Slurm array (`SLURM_ARRAY_TASK_ID`, `…_MIN`, `…_MAX`) says, else 1/1.

        Raises:
            AqaError: a Slurm array whose numbers do not follow each other.
        """
        if "RANK" in environment and "WORLD_SIZE" in environment:
            return cls(int(environment["RANK"]) + 1, int(environment["WORLD_SIZE"]))
        if "SLURM_ARRAY_TASK_ID" not in environment:
            return cls()
        task, first, last, count = (
            int(environment[f"SLURM_ARRAY_TASK_{name}"]) for name in ("ID", "MIN", "MAX", "COUNT")
        )
        if last - first + 1 != count:
            raise AqaError(
                f"the Slurm array has {count} tasks from {first} to {last}; use one without gaps, or --shard"
            )
        return cls(task - first + 1, count)

    def of(self, source: Source) -> list[Sample]:
        """The samples of this share, in the source's order: whole videos, the largest dealt first, each to the smallest share.

        Every process that sees the same videos deals the same way.
        """
        if self.count == 1:
            return source.samples
        videos = {sample.video: video_stamp(source.path(sample))[0] for sample in source.samples}
        mine = _deal(videos, self.count)[self.number - 1]
        return [sample for sample in source.samples if sample.video in mine]


def _deal(sizes: Mapping[str, int], count: int) -> Sequence[set[str]]:
    shares: list[set[str]] = [set() for _ in range(count)]
    totals = [0] * count
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        smallest = min(range(count), key=lambda share: (totals[share], len(shares[share])))
        shares[smallest].add(name)
        totals[smallest] += sizes[name]
    return shares
