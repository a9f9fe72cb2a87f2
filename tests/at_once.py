"""Several callers at once, each in a thread: files and locks take threads as they take processes."""

import threading
from collections.abc import Callable


def at_once(*acts: Callable[[], object]) -> None:
    """Call all, and raise the first error of any."""
    errors: list[BaseException] = []

    def call(act):
        try:
            act()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
