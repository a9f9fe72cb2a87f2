"""Who hears what the packages log.

Every module logs by a logger of its own name, so that all lines come to the loggers `aqa_cache` and
`aqa_heads`. What nobody should miss, as the result is not what it may be taken for, is a warning, which
Python shows on stderr in a script or a notebook that has set up nothing; every other line has the level INFO.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

LOGGERS = ("aqa_cache", "aqa_heads")

_FAILURES_SHOWN = 20
_log = logging.getLogger(__name__)


@contextmanager
def handled(hear: Callable[[logging.LogRecord], None]) -> Iterator[None]:
    """In the block, `hear` is given what the packages log from INFO on, in whatever thread, and the `hear` of
    a block around this one is not; nor are the handlers of the root logger, such as the one that Ray sets up.
    """
    handler = _Handler(hear)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    outer = [(log, other) for log in loggers for other in log.handlers if isinstance(other, _Handler)]
    propagating = [log for log in loggers if log.propagate]
    for log, other in outer:
        log.removeHandler(other)
    for log in loggers:
        log.addHandler(handler)
        log.propagate = False
    try:
        with _at_level(logging.INFO):
            yield
    finally:
        for log in loggers:
            log.removeHandler(handler)
        for log, other in outer:
            log.addHandler(other)
        for log in propagating:
            log.propagate = True


def silence() -> AbstractContextManager[None]:
    """A context in which nothing is logged: another process does the same, and logs it."""
    return _at_level(logging.CRITICAL + 1)


def log_failures(failures: Sequence[tuple[str, str]]) -> None:
    """List the reasons of samples that failed, `(sample_id, reason)` each: the first twenty of them."""
    if failures:
        lines = [f"{len(failures)} sample(s) failed:", *(f"  {why}" for _, why in failures[:_FAILURES_SHOWN])]
        if len(failures) > _FAILURES_SHOWN:
            lines.append(f"  … and {len(failures) - _FAILURES_SHOWN} more; every reason is in the file")
        _log.warning("\n".join(lines))


class _Handler(logging.Handler):
    def __init__(self, hear: Callable[[logging.LogRecord], None]):
        super().__init__()
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        self._hear(record)


@contextmanager
def _at_level(level: int) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(level)
    try:
        yield
    finally:
        for log, its in zip(loggers, before, strict=True):
            log.setLevel(its)
