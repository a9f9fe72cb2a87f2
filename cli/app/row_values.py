"""What may be changed of a row, and how each value is looked at."""

from collections.abc import Mapping

from aqa_cache.annotations import SPLITS
from aqa_cache.errors import AqaError

COMMENT = "comment"
NUMBERS = ("final_score", "difficulty")
FRAMES = ("start_frame", "end_frame")
MOST_CLASSES = 50
_LONGEST = {"comment": 5000, "caption": 5000, "group": 200, "person": 100, "class": 100}


def check_changes(changes: Mapping) -> None:
    """Whether a new row takes these values.

    Raises:
        AqaError: as `changed`.
    """
    changed({**dict.fromkeys(FRAMES), "classes": {}, "marks": {}, "extra": {}}, changes)


def changed(content: dict, changes: Mapping) -> dict:
    """A row's content with changes, each of which is looked at."""
    made = {**content, **{name: dict(content[name]) for name in ("classes", "marks", "extra")}}
    for name, value in changes.items():
        if name in FRAMES:
            made[name] = _frame(name, value)
        elif name in NUMBERS:
            made[name] = _number(name, value, above_zero=name == "difficulty")
        elif name in ("group", "caption"):
            made[name] = text_of(value, name, name) or None
        elif name == "split":
            if value not in (None, "", *SPLITS):
                raise AqaError(f"split is {value!r:.60}, expected one of {', '.join(SPLITS)} or nothing")
            made[name] = value or None
        elif name == COMMENT:
            _put(made["extra"], COMMENT, text_of(value, name, name))
        elif name in ("marks", "classes") and isinstance(value, Mapping):
            for key, item in value.items():
                if name == "marks":
                    _put(made[name], _named(key, "person"), _number(f"the mark of {key!r:.60}", item))
                else:
                    _put(made[name], _class_name(key), text_of(item, "class", f"class_{key!r:.60}"))
        else:
            raise AqaError(f"{name!r:.60} is nothing of a row that can be changed so")
    if made["start_frame"] is not None and made["end_frame"] is not None:
        if made["end_frame"] <= made["start_frame"]:
            raise AqaError(
                f"the end, frame {made['end_frame']}, must be after the start, frame {made['start_frame']}"
            )
    if len(made["classes"]) > MOST_CLASSES:
        raise AqaError(f"{len(made['classes'])} classes, and a row may have {MOST_CLASSES}")
    return made


def _put(values: dict, name: str, value) -> None:
    if value in (None, ""):
        values.pop(name, None)
    else:
        values[name] = value


def _frame(name: str, value) -> int | None:
    if value in (None, ""):
        return None
    if type(value) is not int or not 0 <= value < 10**9:
        raise AqaError(f"{name} is {value!r:.60}, expected the number of a frame, from 0 up")
    return value


def _number(name: str, value, above_zero: bool = False) -> float | None:
    if value in (None, ""):
        return None
    if type(value) not in (int, float) or not abs(value) <= 1e9:  # nor NaN
        raise AqaError(f"{name} is {value!r:.60}, expected a number")
    if above_zero and value <= 0:
        raise AqaError(f"{name} is {value:g}, it must be greater than 0; leave it empty if there is none")
    return float(value)


def text_of(value, kind: str, name: str) -> str:
    """Text that a table can hold, without white space at its ends."""
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _LONGEST[kind]:
        raise AqaError(f"{name}: expected text of at most {_LONGEST[kind]:,} characters")
    if "\0" in value or not _is_unicode(value):
        raise AqaError(f"{name}: holds a sign that no table can hold")
    return value.strip()


def _named(value, kind: str) -> str:
    name = text_of(value, kind, "the name")
    if not name:
        raise AqaError("a name is empty; type one")
    return name


def _class_name(value) -> str:
    name = _named(value, "class")
    if not all(character.isalnum() or character in "_ -" for character in name):
        raise AqaError(f"{name!r:.60} is no name of a class; use letters, digits, spaces, - and _")
    return name.replace(" ", "_")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
