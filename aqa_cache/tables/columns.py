"""Which column is which: names as people write them, and names that a mapping gives."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import AnnotationError, some

SECONDS = {"s": 1.0, "ms": 0.001}
FRAME = "frame"
START, END = "start", "end"  # in a unit, or as times such as 1:05.2
DURATION = "duration"  # in place of END, where a mapping names it
CLASS_PREFIX = "class_"
FURTHER_GROUP = "group_"
JUDGE = re.compile(r"judge_([1-9][0-9]{0,8})$")
PLAIN = (
    "sample_id",
    "video",
    "start_frame",
    "end_frame",
    "split",
    "group",
    "fold",
    "final_score",
    "difficulty",
    "caption",
)
SCALE = ("score_min", "score_max")  # kept as they are written, and numbers
_OF_FRAMES = {START: "start_frame", END: "end_frame"}

# Other names that leave no doubt; whatever else is near to a known one is only suggested.
_ALSO = {"score": "final_score", "file": "video", "filename": "video", "file_name": "video"}
_JUDGE_ALSO = re.compile(r"judge_?0*([1-9][0-9]{0,8})$")
_NEAR = 0.75


@dataclass(frozen=True)
class Columns:
    """What a person says of the columns.

    Args:
        names: by the name that is known here, the table's own.
        unit: of `start` and `end`, a key of `SECONDS`; None: they are times such as 1:05.2.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    unit: str | None = None

    def gives_times(self) -> bool:
        return bool(self.names.keys() & {START, END})

    @classmethod
    def parse(cls, text: str | None) -> "Columns":
        """From `start=Begin,end=Ende,unit=s`; nothing is said by None.

        Raises:
            AnnotationError: not of that form, or a name that is not known here.
        """
        if text is None:
            return cls()
        names: dict[str, str] = {}
        unit = None
        for part in text.split(","):
            known, equals, own = (piece.strip() for piece in part.partition("="))
            if not equals or not known or not own:
                raise AnnotationError(
                    f"--columns {text!r}: {part!r} is not of the form KNOWN=YOURS, such as"
                    " start=Begin,end=Ende,unit=s"
                )
            if known == "unit":
                if own not in (*SECONDS, FRAME):
                    raise AnnotationError(f"--columns: unit is {own!r}, expected s, ms or {FRAME}")
                unit = own
            elif not (is_known(known) or known in (START, END, DURATION)):
                near = f", did you mean {nearest(known)}" if nearest(known) else ""
                raise AnnotationError(
                    f"--columns: {known!r} is no column that is known here{near};"
                    f" known are {', '.join((*PLAIN, *SCALE))}, judge_1 …, class_NAME, start, end and"
                    " duration"
                )
            elif known in names:
                raise AnnotationError(f"--columns names {known} twice; give it once")
            else:
                names[known] = own
        if unit and not names.keys() & {START, END}:
            raise AnnotationError("--columns: unit is of start and end; name their columns, start=…,end=…")
        if DURATION in names and (START not in names or END in names or unit == FRAME):
            raise AnnotationError(
                "--columns: duration is a time beside start, in place of end; name start and duration, or"
                " start and end"
            )
        if unit == FRAME:
            return cls({_OF_FRAMES.get(known, known): own for known, own in names.items()})
        return cls(names, unit)


def is_known(name: str) -> bool:
    """Whether a column of this very name has a meaning."""
    of_classes = name.startswith((CLASS_PREFIX, FURTHER_GROUP))
    return of_classes or name in (*PLAIN, *SCALE) or bool(JUDGE.match(name))


def named(header: Sequence[str], columns: Columns | None = None) -> list[str]:
    """The header with the names that are known here, where case, spaces, `Columns` or another name that
    leaves no doubt make the difference.

    Raises:
        AnnotationError: `Columns` names one that is not there, or two columns are the same one.
    """
    header = [name.strip() for name in header]
    given = dict((columns or Columns()).names)
    mapped: dict[int, str] = {}
    for known, own in given.items():
        places = [place for place, name in enumerate(header) if name == own] or [
            place for place, name in enumerate(header) if _plain(name) == _plain(own)
        ]
        if len(places) != 1:
            near = difflib.get_close_matches(own, header, 1, 0.6)
            raise AnnotationError(
                f"--columns {known}={own}: "
                + (f"{len(places)} columns have this name" if places else "there is no such column")
                + (f"; the nearest is {near[0]!r}" if near and not places else "")
                + f" (columns: {some(header, 20)})"
            )
        if places[0] in mapped:
            raise AnnotationError(f"--columns gives column {own!r} two meanings; give it one")
        mapped[places[0]] = known
    taken = {name for place, name in enumerate(header) if is_known(name) and place not in mapped}
    taken |= set(given)
    meant = {
        place: mapped.get(place) or (None if is_known(name) else _meaning(name))
        for place, name in enumerate(header)
    }
    for place, known in meant.items():
        others = [header[other] for other in meant if meant[other] == known]
        if known and place not in mapped and known not in taken and len(others) > 1:
            raise AnnotationError(
                f"columns {' and '.join(map(repr, others))} may both be {known}; rename or delete one, or"
                f" say which: --columns {known}={others[0]}"
            )
    return [
        known if known and (place in mapped or known not in taken) else header[place]
        for place, known in meant.items()
    ]


def columns_known(header: Sequence[str], columns: Columns | None = None) -> int:
    """How many names of a header mean something."""
    own = {_plain(name) for name in (columns or Columns()).names.values()}
    return sum(_plain(name) in own or is_known(name.strip()) or _meaning(name) is not None for name in header)


def nearest(name: str) -> str:
    """The known column whose name is nearest to one that is not; '' where none is near."""
    near = difflib.get_close_matches(_plain(name), [*PLAIN, *SCALE, *_ALSO], 1, _NEAR)
    return _ALSO.get(near[0], near[0]) if near else ""


def _meaning(name: str) -> str | None:
    plain = _plain(name)
    if plain in (*PLAIN, *SCALE, START, END):
        return plain
    if judge := _JUDGE_ALSO.match(plain):
        return f"judge_{judge[1]}"
    if plain.startswith(CLASS_PREFIX) and len(plain) > len(CLASS_PREFIX):
        return CLASS_PREFIX + name.strip()[len(CLASS_PREFIX) :].strip()
    return _ALSO.get(plain)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().casefold())
