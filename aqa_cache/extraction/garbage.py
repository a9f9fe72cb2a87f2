"""Python's search for reference cycles, paused."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Do not look for garbage while a table is read: it makes a hundred thousand objects, none of which is
    any.

    Each search goes through all objects there are, those of torch too, and takes longer than the reading
    itself.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
