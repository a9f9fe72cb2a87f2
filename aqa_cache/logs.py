"""What a person should know while work is done: lines for whoever asks for them, else for `logging`.

The loggers are `aqa_cache` and `aqa_heads`. A `Warned` line has the level WARNING, so that Python shows it on
stderr in a script or a notebook that has set up nothing; every other line has the level INFO.
"""

import logging
from collections.abc import Callable, Sequence

_FAILURES_SHOWN = 20


class Warned(str):
    """A line that nobody should miss: the result is not what it may be taken for."""


def logged(name: str) -> Callable[[str], None]:
    """A function that gives lines to the logger `name`."""
    log = logging.getLogger(name)

    def say(line: str) -> None:
        log.log(logging.WARNING if isinstance(line, Warned) else logging.INFO, "%s", line)

    return say


log_line = logged("aqa_cache")


def say_failures(failures: Sequence[tuple[str, str]], say: Callable[[str], None] = log_line) -> None:
    """List the reasons of samples that failed, `(sample_id, reason)` each: the first twenty of them."""
    if failures:
        lines = [f"{len(failures)} sample(s) failed:", *(f"  {why}" for _, why in failures[:_FAILURES_SHOWN])]
        if len(failures) > _FAILURES_SHOWN:
            lines.append(f"  … and {len(failures) - _FAILURES_SHOWN} more; every reason is in the file")
        say(Warned("\n".join(lines)))
