"""Ctrl-C and a scheduler's SIGTERM: the first asks a command to end in order, the second ends it."""

import contextlib
import signal
import threading
from collections.abc import Iterator

from .terminal import say


class Stop(threading.Event):
    """Set by the first signal.

    Attributes:
        exit_code (int): 128 + the signal, as shells count.
    """

    exit_code = 0


@contextlib.contextmanager
def stop_on_signals(stop: Stop, what: str) -> Iterator[None]:
    """While the block runs, SIGINT and SIGTERM set `stop`; a second one raises KeyboardInterrupt.

    Args:
        what: what happens now, told to the person at the first signal.
    """

    def first(number, _frame) -> None:
        stop.exit_code = 128 + number
        stop.set()
        for each in handled:
            signal.signal(each, signal.default_int_handler)
        say(f"Stopping: {what} Once more to stop at once.")

    handled = (signal.SIGINT, signal.SIGTERM)
    before = {each: signal.getsignal(each) for each in handled}
    for each in handled:
        signal.signal(each, first)
    try:
        yield
    finally:
        for each in handled:
            signal.signal(each, before[each])
