"""One command started as several processes, by torchrun: the first of them speaks."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from aqa_cache.errors import AqaError, SaidElsewhere
from aqa_cache.extraction.schedulers import is_number

_PATIENCE = 10  # seconds


def rank() -> int:
    """The number of this process, 0 where it is the only one or the first."""
    return _number("RANK", 0)


def process_count() -> int:
    """How many there are."""
    return _number("WORLD_SIZE", 1)


def check() -> None:
    """Before anything is left to the first process: whether there is one.

    Raises:
        AqaError: `RANK` and `WORLD_SIZE` are no numbers of a process and of how many there are.
    """
    said = {name: value for name in ("RANK", "WORLD_SIZE") if (value := os.environ.get(name)) is not None}
    if said and not (len(said) == 2 and all(map(is_number, said.values())) and rank() < process_count()):
        raise AqaError(
            f"the environment says {', '.join(f'{name}={value}' for name, value in said.items())}, expected"
            " what torchrun sets: a RANK from 0 to WORLD_SIZE - 1; start the processes with torchrun, or, for"
            " a single one, unset both"
        )


@contextmanager
def said_by_the_first() -> Iterator[None]:
    """An error that every process meets in the block is said by the first of them."""
    try:
        yield
    except (AqaError, click.UsageError) as error:
        if rank():
            raise SaidElsewhere(str(error)) from None
        raise


def let_the_first_speak() -> None:
    """Wait to be ended: torchrun ends all processes when one of them has failed, also a first one that has
    not said yet why.
    """
    time.sleep(_PATIENCE)


def _number(name: str, otherwise: int) -> int:
    value = os.environ.get(name, "")  # what is wrong with it, `check` says
    return int(value) if is_number(value) else otherwise
