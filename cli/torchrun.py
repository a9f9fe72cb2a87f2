"""One command started as several processes, by torchrun: the first of them speaks."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from aqa_cache.errors import AqaError, SaidElsewhere

_PATIENCE = 10  # seconds


def rank() -> int:
    """The number of this process, 0 where it is the only one or the first."""
    return _number("RANK", 0)


def process_count() -> int:
    """How many there are."""
    return _number("WORLD_SIZE", 1)


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
    # What is wrong with these variables is said where the processes are connected.
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else otherwise
