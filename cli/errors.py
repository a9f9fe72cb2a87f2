"""What a person sees when something they gave cannot be used, or the machine fails: one message and exit code
2, no traceback.
"""

import functools
import os
import sys

from aqa_cache.errors import AqaError, SaidElsewhere, first_line

from .terminal import say, shown
from .torchrun import let_the_first_speak

# What torch and Python say, in exceptions that are for anything, where the machine gives no more.
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "Cannot allocate memory")
_NO_THREAD = "can't start new thread"


def handle_errors(command):
    """Put directly under the options of a click command; turns `AqaError`, and what a machine fails with,
    into a message and exit code 2.
    """

    @functools.wraps(command)
    def wrapped(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except SaidElsewhere as error:
            let_the_first_speak()
            message = str(error)  # still here: the first had nothing to say
        except AqaError as error:
            message = str(error)
        except (OSError, MemoryError, RuntimeError, ImportError, UnicodeEncodeError) as error:
            failing = of_the_machine(error)
            if failing is None:
                raise
            message = failing
        say(f"Error: {message}")
        sys.exit(2)

    return wrapped


def of_the_machine(error: Exception) -> str | None:
    """What the machine refused and what to do, where an error says that; None: it is a bug of ours."""
    text = str(error)
    if isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY):
        return (
            f"there is not enough memory ({first_line(error)}); end other programs, raise the limit (ulimit"
            " -v, the scheduler's), or ask for less at a time (--batch-size, --workers)"
        )
    if _NO_THREAD in text:
        return (
            "the system starts no further thread; end other programs, raise the limit (ulimit -u, the"
            " scheduler's), or give fewer --workers or --threads"
        )
    if isinstance(error, ImportError) or "shared object" in text:
        if (getattr(error, "name", None) or "").startswith("aqa_"):
            return None
        return (
            f"a library cannot be loaded ({first_line(error)}); see that a limit of memory (ulimit -v) leaves"
            " room for it, or install it again"
        )
    if isinstance(error, UnicodeEncodeError):
        return (
            f"{shown(error.object)[:200]}: cannot be written in {error.encoding}; use UTF-8 for names, and a"
            " locale that has it (LC_ALL=C.UTF-8)"
        )
    if isinstance(error, OSError):
        if error.filename is None:
            return f"reading or writing failed ({error.strerror or first_line(error)})"
        return f"{os.fsdecode(error.filename)}: cannot be used ({error.strerror})"
    return None
