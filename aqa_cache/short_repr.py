"""How objects show themselves in a console or notebook: short."""

from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

LONGEST = 199  # characters
_LONGEST_VALUE = 40


def short_repr(self: Any) -> str:
    """The `__repr__` of a dataclass: the fields that are not as by default, long values shortened.

    >>> from aqa_cache.clips.rule import ClipRule
    >>> ClipRule(window=103)
    ClipRule(window=103)
    """
    shown = [
        f"{field.name}={_short(value)}"
        for field in fields(self)
        if field.repr and not _as_by_default(value := getattr(self, field.name), field)
    ]
    return cut(f"{type(self).__name__}({', '.join(shown)})")


def cut(text: str) -> str:
    """At most `LONGEST` characters of what an object shows."""
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "…" + text[-1]


def _as_by_default(value: Any, field: Field[Any]) -> bool:
    default = field.default
    if default is MISSING:
        return field.default_factory is not MISSING and not hasattr(value, "shape") and not value
    return value is default or (isinstance(value, str | int | float | tuple) and value == default)


def _short(value: Any) -> str:
    if (shape := getattr(value, "shape", None)) is not None:
        return f"<{type(value).__name__} {tuple(shape)}>"
    text = repr(str(value) if isinstance(value, Path) else value)
    if len(text) <= _LONGEST_VALUE:
        return text
    if isinstance(value, str | Path):
        return text[: _LONGEST_VALUE // 2] + "…" + text[-_LONGEST_VALUE // 2 :]
    try:
        return f"<{type(value).__name__} of {len(value)}>"
    except TypeError:
        return text if len(text) <= 2 * _LONGEST_VALUE else text[: 2 * _LONGEST_VALUE] + "…"
