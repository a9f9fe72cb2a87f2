"""What a tool's export says, before it is an annotations table: rows of text under the tool's own names."""

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from ..errors import AnnotationError
from ..tables.columns import Columns, is_known, named
from ..tables.forms import Form

T = TypeVar("T")

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_DATA = "/data/"  # Label Studio's own addresses
# Columns that say where an action lies.
_WHERE = {"video", "start", "end", "start_frame", "end_frame"}
_SERVED = f"{_DATA}local-files/"  # of it, whose query names the file


@dataclass(frozen=True)
class Asked:
    """What a person says of an export.

    Args:
        columns: names of its columns, labels or attributes that are not the known ones.
        video: the video that all of it is of; None: the export names it.
        tier: of several tiers, the one whose annotations are the actions.
        frame_rate: of the player that counted the frames; None: that of the video.
    """

    columns: Columns = field(default_factory=Columns)
    video: str | None = None
    tier: str | None = None
    frame_rate: float | None = None


@dataclass(frozen=True)
class Export:
    """What a reader gives.

    Args:
        tool: what made the file, as it is said.
        form: the rows under the tool's names, and under those that are known for what every tool has: video,
            start, end, start_frame, end_frame.
        names: columns that are the known ones, by the known name.
        unit: of start and end, see `Columns`.
        classes: the columns that hold classes.
        notes: what a person should know of how it was read, one line each.
    """

    tool: str
    form: Form
    names: Mapping[str, str] = field(default_factory=dict)
    unit: str | None = None
    classes: Sequence[str] = ()
    notes: Sequence[str] = ()

    def columns(self, asked: Columns) -> Columns:
        """With what a person says of them, which goes first."""
        theirs = {_plain(own) for own in asked.names.values()}
        names = {
            known: own
            for known, own in self.names.items()
            if known not in asked.names and _plain(own) not in theirs
        }
        names |= {
            f"class_{own}": own
            for own in self.classes
            if own in self.form.rows[0][1]
            and _plain(own) not in theirs
            and own not in names.values()
            and known_as(own) is None
        }
        return Columns({**names, **asked.names}, asked.unit or self.unit)


def known_as(name: str, asked: Columns | None = None) -> str | None:
    """The known column that a name stands for; None where it stands for none."""
    of_it = {known: own for known, own in (asked or Columns()).names.items() if _plain(own) == _plain(name)}
    (known,) = named([name], Columns(of_it))
    return known if is_known(known) else None


def rows_of(entries: Iterable[Mapping[str, object]]) -> Form:
    """Entries with a value by name as rows, numbered from 1; a name that an entry lacks is an empty cell."""
    entries = list(entries)
    header = list(dict.fromkeys(name for entry in entries for name in entry))
    rows = [(0, header)]
    for number, entry in enumerate(entries, 1):
        rows.append((number, [_text(entry.get(name)) for name in header]))
    return Form(rows)


def with_said(entry: Mapping[str, object], said: Mapping[str, object], where: str) -> dict[str, object]:
    """Where an action lies, and what is said of it under names that people gave.

    Raises:
        AnnotationError: one of these names is taken by where it lies, which it would change.
    """
    if clash := next((name for name in said if name in entry or _plain(name) in _WHERE), None):
        raise AnnotationError(
            f"{where}: something is called {clash!r:.60} that stands for a column of its own; give it another"
            " name in the tool"
        )
    return {**entry, **said}


def file_name(video: str) -> str:
    """The name of a video's file, of a path of any system or an address; '' where there is none.

    >>> file_name(r"C:\\videos\\a b.mp4"), file_name("https://host/x/a%20b.mp4?signature=1")
    ('a b.mp4', 'a b.mp4')
    """
    try:
        if video.startswith(_SERVED):
            video = (parse_qs(urlsplit(video).query).get("d") or [""])[0]
        elif _ADDRESS.match(video) or video.startswith(_DATA):
            video = unquote(urlsplit(video).path)
    except ValueError:
        return ""  # no address, so it names no file
    return posixpath.basename(video.replace("\\", "/"))


def expect(value: object, kind: type[T], what: str) -> T:
    """A value of a kind.

    Raises:
        AnnotationError: it is of another.
    """
    if not isinstance(value, kind):
        words = {dict: "an object", list: "a list", str: "a text"}
        raise AnnotationError(f"{what} is {str(value)[:60]!r}, expected {words[kind]}")
    return value


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return "; ".join(map(_text, value))
    return str(value)


def _plain(name: str) -> str:
    return name.strip().casefold()
