"""What schedulers say of a process: its number, and how many there are."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import AqaError

SHARDS = "AQA_SHARDS"
"""How many there are, where the scheduler does not say: to be set in its script or manifest."""
_SLURM = tuple(f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "MAX", "COUNT"))


@dataclass(frozen=True)
class Scheduler:
    """How a scheduler numbers its processes.

    Args:
        index: the variable with the number; count: that with how many there are.
        first: the number of the first process.
        step: a variable that must be 1 where it is set.
    """

    name: str
    index: str
    count: str
    first: int = 0
    step: str = ""


SCHEDULERS = (
    Scheduler("AWS Batch", "AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
    Scheduler("Google Batch", "BATCH_TASK_INDEX", "BATCH_TASK_COUNT"),
    Scheduler("Kubernetes", "JOB_COMPLETION_INDEX", SHARDS),
    Scheduler("SkyPilot", "SKYPILOT_NODE_RANK", "SKYPILOT_NUM_NODES"),
    Scheduler("PBS", "PBS_ARRAY_INDEX", SHARDS, first=1),
    Scheduler("LSF", "LSB_JOBINDEX", "LSB_JOBINDEX_END", first=1, step="LSB_JOBINDEX_STEP"),
)
"""Beside torchrun and Slurm, which have rules of their own; where several are there the first is taken."""


def shard_said(environment: Mapping[str, str]) -> tuple[int, int, str] | None:
    """Number from 1, count, and the variable that says so; None where nothing does.

    Raises:
        AqaError: a variable is missing, no number or out of its range, or an array has gaps.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return _torchrun(environment)
    if "SLURM_ARRAY_TASK_ID" in environment:
        return _slurm(environment)
    for scheduler in SCHEDULERS:
        said = environment.get(scheduler.index)
        if said is not None and not (scheduler.first == 1 and said == "0"):  # LSF's of a job that is no array
            return _numbered(scheduler, environment)
    return None


def is_number(text: str) -> bool:
    """One that counts processes: not of so many digits that nothing could be counted by it."""
    return text.isascii() and text.isdigit() and len(text) < 10


def _numbered(scheduler: Scheduler, environment: Mapping[str, str]) -> tuple[int, int, str]:
    if scheduler.count == SHARDS and SHARDS not in environment:
        raise AqaError(
            f"the environment says {scheduler.index}={environment[scheduler.index]}, but {scheduler.name}"
            f" does not say of how many; set {SHARDS} to their number (docs/clusters.md), or say which shard"
            " with --shard"
        )
    index, count = _numbers(environment, scheduler.index, scheduler.count)
    step = environment.get(scheduler.step, "1") if scheduler.step else "1"
    if step != "1":
        raise AqaError(
            f"the environment says {scheduler.step}={step}; use an array without gaps, or say which shard"
            " with --shard"
        )
    if not scheduler.first <= index < count + scheduler.first:
        raise AqaError(
            f"the environment says {scheduler.index}={index}, {scheduler.count}={count}, expected a number"
            f" from {scheduler.first} to {count + scheduler.first - 1}; mend it, or say which shard"
            " with --shard"
        )
    return index - scheduler.first + 1, count, scheduler.index


def _torchrun(environment: Mapping[str, str]) -> tuple[int, int, str]:
    rank, count = _numbers(environment, "RANK", "WORLD_SIZE")
    if rank >= count:
        raise AqaError(
            f"the environment says RANK={rank}, WORLD_SIZE={count}, expected a rank from 0 to"
            " WORLD_SIZE - 1; unset both for a single process, or say which shard with --shard"
        )
    return rank + 1, count, "RANK and WORLD_SIZE"


def _slurm(environment: Mapping[str, str]) -> tuple[int, int, str]:
    task, first, last, count = _numbers(environment, *_SLURM)
    if last - first + 1 != count:
        raise AqaError(
            f"the Slurm array has {count} tasks from {first} to {last}; use one without gaps, or --shard"
        )
    if not first <= task <= last:
        raise AqaError(
            f"the Slurm array has tasks from {first} to {last}, but SLURM_ARRAY_TASK_ID is {task}; mend"
            " it, or say which shard with --shard"
        )
    return task - first + 1, count, "SLURM_ARRAY_TASK_ID"


def _numbers(environment: Mapping[str, str], *names: str) -> list[int]:
    values = [environment.get(name, "") for name in names]
    if not all(map(is_number, values)):
        read = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
        raise AqaError(
            f"the environment says {read}, expected numbers; mend it, or say which shard with --shard"
        )
    return [int(value) for value in values]
