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
        at_once (bool): whether the signal is to end everything, as there is nothing to be finished.
    """

    exit_code = 0
    at_once = False

    @contextlib.contextmanager
    def nothing_under_way(self) -> Iterator[None]:
        """In the block there is nothing to be finished: the first signal raises KeyboardInterrupt, too."""
        if self.is_set():
            raise KeyboardInterrupt
        self.at_once = True
        try:
            yield
        finally:
            self.at_once = False


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
        if stop.at_once:
            raise KeyboardInterrupt
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
