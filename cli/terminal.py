"""What is printed: one place for all of it, so that no text acts on the terminal, and no output that fails
ends the work.
"""

import codecs
import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from typing import TextIO

import click

from aqa_cache.errors import AqaError
from aqa_cache.logs import handled

# Control characters but tab and line feed, which terminals act on; line ends that only some programs know;
# changes of the direction of writing, under which text is read as another; halves of surrogate pairs.
_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# Our own signs in encodings that lack them; whatever else an encoding lacks is escaped.
_PLAIN = str.maketrans(
    {"…": "...", "–": "-", "±": "+/-", "×": "x", "━": "-", "╸": "-", "╺": "-", "─": "-", "●": "o", "·": "."}
)
_PLAINER = "aqa_cli.terminal"


def shown(text: str) -> str:
    r"""The text as it can be printed: characters that a terminal acts on as escapes, `\x1b`.

    A byte of a file's name that is not UTF-8 is `\xe9`, as in `aqa_cache.errors.escaped`.
    """
    return _ACTING.sub(lambda found: _escape(found[0]), text)


def encodable(text: str, encoding: str) -> str:
    """The text with escapes, or plainer signs, for what the encoding lacks."""
    return text.encode(encoding, _PLAINER).decode(encoding)


def say(line: str) -> None:
    """One line that a person should know, on stderr, so that a result on stdout stays clean."""
    click.echo(shown(line), err=True)


def print_line(text: str) -> None:
    """A line of the result, on stdout."""
    click.echo(shown(text))


def print_json(record: object) -> None:
    """A record as JSON, on stdout: the same record in every encoding."""
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    text = _ACTING.sub(lambda found: json.dumps(found[0])[1:-1], text)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = json.dumps(record, indent=2, allow_nan=False)
    click.echo(text)


@contextlib.contextmanager
def own_streams() -> Iterator[None]:
    """In the block, nothing that is printed raises an error, whatever it is and wherever it goes.

    What cannot be written is lost, and what was to be done is done: a reader that has gone (`| head -1`) is
    nothing to speak of, a full disk under stdout is said on stderr. Characters that the encoding lacks are
    escaped. Of rich's colours and cursor movements only those of `console.console` reach the terminal.
    """
    _open_closed()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (None if stream is None else Stream(stream) for stream in before)
    try:
        yield
    finally:
        out, err = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = before
        if isinstance(out, Stream) and out.lost and isinstance(err, Stream):
            err.write(f"Standard output cannot be written ({out.lost}): what was printed is lost.\n")


def logged_lines(indent: str = "") -> contextlib.AbstractContextManager[None]:
    """A context in which what the packages log from INFO on is printed on stderr."""
    return handled(lambda record: say(indent + record.getMessage()))


def check_printed() -> None:
    """Of a command whose result is what it prints, at its end.

    Raises:
        AqaError: it could not be printed, and not because the reader had seen enough.
    """
    if isinstance(sys.stdout, Stream) and sys.stdout.lost:
        why, sys.stdout.lost = sys.stdout.lost, ""
        raise AqaError(f"standard output cannot be written ({why}), and what was found is lost with it")


class Stream(io.TextIOBase):
    """stdout or stderr in `own_streams`.

    Args:
        stream: that it writes to.

    Attributes:
        lost (str): why writing failed; empty where it did not, or where only the reader has gone.
    """

    # No `buffer`, through which click would write past it.
    def __init__(self, stream: TextIO):
        self._stream, self._dead, self.lost = stream, False, ""

    @property
    def encoding(self) -> str | None:
        return getattr(self._stream, "encoding", None)

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.write_drawn(shown(text))
        return len(text)

    def write_drawn(self, text: str) -> None:
        """Write what has escapes of our own in it."""
        try:
            self._stream.write(encodable(text, self.encoding or "utf-8"))
        except OSError as error:
            self._lose(error)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        if not isinstance(error, BrokenPipeError):
            self.lost = error.strerror or str(error)
        # What is still in its buffer would fail once more when the interpreter ends.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def _open_closed() -> None:
    """Standard streams that were closed before the start go nowhere; a file of ours would take their number,
    and what libraries print would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _escape(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte of a name
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def _in_plain_signs(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(_PLAINER, _in_plain_signs)
