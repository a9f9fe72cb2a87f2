"""Errors that are the user's to mend: one message, no traceback.

Every message says what was got, what was expected, which sample or file, and what to do.
Commands print it and exit with 2; `assert` and other exceptions are for our own bugs.
"""

from collections.abc import Sequence

_MOST_LETTERS = 500


class AqaError(Exception):
    """Something the user gave cannot be used. `str(error)` is the whole message."""


class SaidElsewhere(AqaError):
    """An error that another process reports for all: this one ends as it does, without a message."""


class AnnotationError(AqaError):
    """An annotation table cannot be used as it is."""


class VideoError(AqaError):
    """A video, or a part of it that a sample needs, cannot be read.

    Args:
        name: the video, as the message names it.
        reason: what is wrong with it, and what to do.
    """

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name}: {reason}")
        self.reason = reason


class NothingExtracted(AqaError):
    """Every sample of an extraction has failed; the reasons are in the cache."""


class WeightsError(AqaError):
    """Backbone weights are missing, damaged, or of another network."""


class CacheError(AqaError):
    """A feature cache is damaged, of another format, or does not fit what is asked of it."""


class CacheBusy(CacheError):
    """A feature cache is open for writing in another program; it is not said to be damaged."""


class MissingDependency(AqaError):
    """An optional library is not installed, or is broken."""


def first_line(error: BaseException) -> str:
    """What another library says of an error, cut to one line of bounded length; its type where it says
    nothing.
    """
    said = str(error).strip()[: 10 * _MOST_LETTERS].splitlines()
    return said[0][:_MOST_LETTERS] if said else type(error).__name__


def escaped(name: str) -> str:
    r"""A file's name as text that can be printed and stored: bytes that are not UTF-8 as `\xe9`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def some(names: Sequence[str], limit: int = 5) -> str:
    """The first few of many names, and how many more there are."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def listed(lines: Sequence[str], limit: int = 5, indent: str = "  ") -> str:
    r"""The first few of many lines, and how many more there are, each on an indented line of its own.

    >>> listed(["a", "b", "c"], 1)
    '\n  a\n  … and 2 more'
    """
    more = [f"… and {len(lines) - limit} more"] if len(lines) > limit else []
    return "".join(f"\n{indent}{line}" for line in [*lines[:limit], *more])


def missing(package: str, needed_for: str, error: Exception, install: str | None = None) -> MissingDependency:
    """The one message for a library that cannot be imported."""
    return MissingDependency(
        f"{package} is needed for {needed_for}, but importing it failed ({type(error).__name__}: {error}); "
        f"install it with: pip install {install or package}"
    )
