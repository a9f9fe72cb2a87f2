"""What the C library does with memory that the process has given back."""

import contextlib
import ctypes

# Parameters of glibc's mallopt, from its malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_MOST = 2**31 - 1


def give_back_freed_memory() -> None:
    """Have glibc give the system what this process has freed, before something else is put beside it."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library; another system
        ctypes.CDLL(None).malloc_trim(0)


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for this process instead of giving it back to the system.

    A backbone on a CPU makes and frees tensors of up to hundreds of megabytes in every layer; fetched from
    the system each time, every page of them is filled with zeros first. It is a setting of the whole process,
    so a command asks for it for itself, and the library never does. The process stays as large as it once
    was.

    Returns:
        Whether it is so; other C libraries have no such setting.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library; another system
        return False
    return mallopt(_MMAP_MAX, 0) == 1 and mallopt(_TRIM_THRESHOLD, _MOST) == 1
