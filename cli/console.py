"""Tables, colours and bars: rich, for text that is never markup."""

import os
import sys

from rich.console import Console
from rich.text import Text

from .terminal import Stream, encodable, shown


class _Console(Console):
    def render_str(self, text: str, **settings) -> Text:
        # Escaped before it is laid out, as escapes are wider.
        return super().render_str(encodable(shown(text), self.encoding), **settings)


class _Drawn:
    """Where a console writes: its own escapes come through."""

    def __init__(self, stream: Stream):
        self._stream, self.encoding = stream, stream.encoding
        self.isatty, self.fileno, self.flush = stream.isatty, stream.fileno, stream.flush

    def write(self, text: str) -> None:
        self._stream.write_drawn(text)


def console(*, stderr: bool = False, quiet: bool = False, width_elsewhere: int | None = None) -> Console:
    """A console on stdout, or stderr, that takes every string as it is: brackets and colons are no markup,
    and characters that a terminal acts on are shown as escapes.

    Args:
        quiet: print nothing.
        width_elsewhere: columns where the output is no terminal and `COLUMNS` does not say; None: 80.
    """
    stream = sys.stderr if stderr else sys.stdout
    settings = {"markup": False, "emoji": False, "highlight": False, "stderr": stderr, "quiet": quiet}
    settings["file"] = _Drawn(stream) if isinstance(stream, Stream) else None
    made = _Console(**settings)
    if width_elsewhere is not None and not made.is_terminal and "COLUMNS" not in os.environ:
        made = _Console(**settings, width=width_elsewhere)
    return made


def line(text: str, style: str = "") -> Text:
    """A text where rich would read a string as markup: in a spinner, a bar, a cell with a style."""
    return Text(shown(text), style=style)
