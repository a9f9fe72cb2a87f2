"""What the C library does with memory that the process has given back."""

import ctypes
from collections.abc import Callable

# Parameters of glibc's mallopt, from its malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_MOST = 2**31 - 1


def give_back_freed_memory() -> None:
    """Have glibc give the system what this process has freed, before something else is put beside it."""
    if (trim := _of_the_c_library("malloc_trim")) is not None:
        trim(0)


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for this process instead of giving it back to the system.

    A backbone on a CPU makes and frees tensors of up to hundreds of megabytes in every layer; fetched from
    the system each time, every page of them is filled with zeros first. It is a setting of the whole process,
    so a command asks for it for itself, and the library never does. The process stays as large as it once
    was.

    Returns:
        Whether it is so; other C libraries have no such setting.
    """
    if (mallopt := _of_the_c_library("mallopt")) is None:
        return False
    return mallopt(_MMAP_MAX, 0) == 1 and mallopt(_TRIM_THRESHOLD, _MOST) == 1


def _of_the_c_library(name: str) -> Callable[..., int] | None:
    """A function of glibc's own; None where there is another C library, or another system."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
