"""Several processes that train one model together, as torchrun starts them: who does what, and what they tell
each other.
"""

import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

from aqa_cache.errors import AqaError, SaidElsewhere, first_line

from ..errors import TrainingError

_T = TypeVar("_T")

# One process may decode videos for hours while the others wait for it.
_WAIT = timedelta(days=7)
_START = timedelta(minutes=10)
_runs = itertools.count()
_BUCKET = 2**24  # values that travel at a time: 64 MiB in float32
_NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT")


class Processes:
    """The processes of one run. With a single one, which is what there is without torchrun, nothing is
    exchanged.

    A context manager, in which they are connected. All of them call the same methods in the same order; a
    process that ends meanwhile gives the others an error. All values come out equal to the bit in every
    process.

    Args:
        device: as `aqa_cache.machine.devices.pick_device` gave it. On GPUs each process has its own, that of
            its number on the machine.
        rank: its number among all `count` of them, from 0.
        local_rank: its number among the `local_count` on this machine, from 0.

    >>> with Processes(torch.device("cpu")) as processes:
    ...     processes.share("abc"), processes.gather("said"), processes.main
    (['a', 'b', 'c'], ['said'], True)
    """

    def __init__(
        self,
        device: torch.device,
        rank: int = 0,
        count: int = 1,
        local_rank: int = 0,
        local_count: int | None = None,
    ):
        self.device = device
        self.rank = rank
        self.count = count
        self.local_rank = local_rank
        self.local_count = count if local_count is None else local_count
        self._agreeing = False
        self._group: dist.ProcessGroup | None = None  # of tensors; None: gloo, as for everything else

    @classmethod
    def from_environment(
        cls, device: torch.device, environment: Mapping[str, str] = os.environ
    ) -> "Processes":
        """As torchrun says (`RANK`, `WORLD_SIZE`, …); a single one where it says nothing.

        Raises:
            TrainingError: a variable is missing or wrong.
        """
        if "RANK" not in environment and "WORLD_SIZE" not in environment:
            return cls(device)
        said = {name: environment.get(name, "") for name in (*_NUMBERS, "MASTER_ADDR")}
        said["LOCAL_WORLD_SIZE"] = environment.get("LOCAL_WORLD_SIZE", said["WORLD_SIZE"])
        numbers = [name for name in said if name != "MASTER_ADDR"]
        wrong = [name for name in numbers if not re.fullmatch("[0-9]{1,9}", said[name])]
        if not (wrong or int(said["RANK"]) < int(said["WORLD_SIZE"])):
            wrong = ["RANK", "WORLD_SIZE"]
        if not (wrong or int(said["LOCAL_RANK"]) < int(said["LOCAL_WORLD_SIZE"])):
            wrong = ["LOCAL_RANK", "LOCAL_WORLD_SIZE"]
        if not said["MASTER_ADDR"]:
            wrong.append("MASTER_ADDR")
        if wrong:
            read = ", ".join(f"{name}={said[name]}" for name in wrong)
            raise TrainingError(
                f"the environment says {read}, expected what torchrun sets for each of several processes"
                " (numbers, each rank below its count, and the first machine's address); start them with"
                " torchrun, or, for a single process, unset RANK and WORLD_SIZE"
            )
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        return cls(device, *(int(said[name]) for name in names))

    @property
    def main(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def __enter__(self) -> "Processes":
        """Connect them.

        Raises:
            TrainingError: they do not find each other, or have not each a device of its own.
        """
        if self.count == 1:
            return self
        self._connect()
        try:
            kinds = set(self.gather(self.device.type))
            with self.agree():
                self._check_device(kinds)
        except BaseException:
            dist.destroy_process_group()
            raise
        if self.device.type == "cuda":
            self.device = torch.device("cuda", self.local_rank)
            torch.cuda.set_device(self.device)
            self._group = dist.new_group(backend="nccl", timeout=_WAIT)
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if self.count == 1:
            return
        if kind is not None and self._group is not None:
            # NCCL's orderly end waits for the others, who may be waiting for this one.
            self._group.abort()
        else:
            dist.destroy_process_group()

    def share(self, items: Sequence[_T]) -> list[_T]:
        """Those of the items that are this process's to do: all of them once over all processes, none
        twice.
        """
        return list(items[self.rank :: self.count])

    def gather(self, value: _T) -> list[_T]:
        """What every process says, by rank, in every process."""
        if self._alone:
            return [value]
        said: list = [None] * self.count
        with self._exchange():
            dist.all_gather_object(said, value)
        return said

    def tell(self, value: _T) -> _T:
        """What the first process says, in every process; what the others give does not matter."""
        if self._alone:
            return value
        said = [value]
        with self._exchange():
            dist.broadcast_object_list(said, src=0)
        return said[0]

    def gather_rows(self, mine: torch.Tensor, counts: Sequence[int]) -> list[torch.Tensor]:
        """The rows of every process, by rank, in every process; without a graph.

        Args:
            counts: rows of each process, known to all; any may be 0.

        Shape:
            - mine: `(counts[rank], dim)`, of one dim and dtype in all processes.
            - Output: `count` tensors `(counts[r], dim)`, on the device of `mine`.
        """
        mine = mine.detach()
        assert len(counts) == self.count and mine.ndim == 2 and len(mine) == counts[self.rank]
        if self._alone:
            return [mine]
        padded = mine.new_zeros(max(counts), mine.shape[1])
        padded[: len(mine)] = mine
        rows = [torch.empty_like(padded) for _ in counts]
        with self._exchange():
            if padded.numel():
                dist.all_gather(rows, padded, group=self._group)
        return [of_rank[:count] for of_rank, count in zip(rows, counts, strict=True)]

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every parameter the sum of its gradients over the processes, in place.

        A process that has none for a parameter adds nothing to it and has the sum afterwards; where no
        process has one, it stays None, as it does in a single process that sees all samples.
        """
        if self._alone:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        having = self.gather([parameter.grad is not None for parameter in trained])
        summed = [parameter for parameter, *has in zip(trained, *having, strict=True) if any(has)]
        for parameter in summed:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self._in_buckets(
            [parameter.grad for parameter in summed],
            lambda values: dist.all_reduce(values, group=self._group),
        )

    def equalise(self, *modules: nn.Module) -> None:
        """Give all parameters and buffers of the modules the values that they have in the first process."""
        if self._alone:
            return
        tensors = [
            tensor.detach()
            for module in modules
            for part in (module.parameters(), module.buffers())
            for tensor in part
        ]
        # As bytes, which every backend can send, whatever the dtype.
        self._in_buckets(
            tensors, lambda values: dist.broadcast(values.view(torch.uint8), src=0, group=self._group)
        )

    @contextmanager
    def agree(self) -> Iterator[None]:
        """Where the block raises an AqaError in any process, it does in all, so that none waits for ever for
        one that has ended.

        It is the error of the first of them that has one: the main process says it, the others raise a
        `SaidElsewhere`. The block
        must not exchange anything: a process that fails in it would answer another question than it is asked.
        """
        mine: AqaError | None = None
        self._agreeing = True
        try:
            yield
        except AqaError as error:
            mine = error
        finally:
            self._agreeing = False
        said = self.gather(None if mine is None else str(mine))
        message = next((message for message in said if message is not None), None)
        if message is None:
            return
        if not self.main:
            raise SaidElsewhere(message)
        raise mine if mine is not None else TrainingError(message)

    @property
    def _alone(self) -> bool:
        """Whether there is nobody to exchange anything with; asserts in a single process, too, what several
        would stumble over.
        """
        assert not self._agreeing, "nothing can be exchanged inside agree()"
        return self.count == 1

    def _connect(self) -> None:
        try:
            # The store by itself: who does not come within minutes does not come, however long they may be
            # busy later.
            store, rank, count = next(dist.rendezvous("env://", self.rank, self.count, timeout=_START))
            # torchrun's store outlives a run: what the run before left in it is not to be taken for this
            # one's.
            store = dist.PrefixStore(f"run {next(_runs)}", store)
            dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=_WAIT)
        except (RuntimeError, ValueError, OSError) as error:
            where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
            raise TrainingError(
                f"process {self.rank} of {self.count} cannot reach the others at {where} (MASTER_ADDR,"
                f" MASTER_PORT): {first_line(error)}; check that all are started, and that the address is the"
                " first machine's"
            ) from None

    def _check_device(self, kinds: set[str]) -> None:
        if len(kinds) > 1:
            raise TrainingError(
                "some of the processes have a GPU and others have none; give --device cpu, or use machines"
                " that have"
            )
        if self.device.type != "cuda" or self.local_count == 1:
            return
        gpus = torch.cuda.device_count()
        if self.local_count > gpus:
            raise TrainingError(
                f"{self.local_count} processes were started on a machine with {gpus} GPU(s), and each needs"
                f" one of its own; give torchrun --nproc-per-node {gpus}, or aqa-train --device cpu"
            )
        if self.device.index not in (None, self.local_rank):
            raise TrainingError(
                f"device is {self.device}, but {self.local_count} processes run on this machine and each"
                " takes a GPU of its own; leave --device out, and choose among the GPUs with"
                " CUDA_VISIBLE_DEVICES"
            )

    @contextmanager
    def _exchange(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
                raise
            # gloo's own words are that a peer has closed its connection, and many.
            why = "" if "gloo" in str(error) else f" ({first_line(error)})"
            raise TrainingError(
                f"process {self.rank} of {self.count} has lost the others{why}: one of them has ended, and"
                " says why itself if it could; start all of them again, with --resume to go on"
            ) from None

    def _in_buckets(
        self, tensors: Sequence[torch.Tensor], exchange: Callable[[torch.Tensor], object]
    ) -> None:
        """Exchange the tensors, in place, flattened into few large ones."""
        for bucket in _buckets(tensors):
            # in place: a copy of a very large one may not fit
            if len(bucket) == 1 and bucket[0].is_contiguous():
                with self._exchange():
                    exchange(bucket[0].view(-1))
                continue
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            with self._exchange():
                exchange(flat)
            for tensor, values in zip(bucket, flat.split([tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(values.view(tensor.shape))


def _buckets(tensors: Iterable[torch.Tensor]) -> list[list[torch.Tensor]]:
    """In order, together while they are of one dtype and device and not too many."""
    buckets: list[list[torch.Tensor]] = []
    last, size = None, 0
    for tensor in tensors:
        if not tensor.numel():
            continue
        kind = tensor.dtype, tensor.device
        if kind != last or size + tensor.numel() > _BUCKET:
            buckets.append([])
            last, size = kind, 0
        buckets[-1].append(tensor)
        size += tensor.numel()
    return buckets
