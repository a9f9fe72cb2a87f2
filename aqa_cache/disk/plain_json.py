"""JSON that somebody else wrote: nothing in it that JSON does not have, numbers that numbers can be, no depth
without end. What is written keeps to the same: None for what is no finite number.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

_MOST_LEVELS = 32
_MOST = 2**63  # whole numbers are below it, from its negative on


def parse_json(text: str) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: it is no JSON, is nested deeper than 32 levels, or holds a number that is not finite or
            takes more than 64 bits, or text that is no Unicode.
    """
    try:
        content = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    level = [content]
    for _ in range(_MOST_LEVELS):
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return content
    raise ValueError(f"is nested deeper than {_MOST_LEVELS} levels")


def with_none(value: Any) -> Any:
    """`value`, of mappings, lists and tuples, with None for every number that is not finite."""
    if isinstance(value, str):  # most values of a large table are
        return value
    if isinstance(value, Mapping):
        return {key: with_none(item) for key, item in cast(Mapping[str, Any], value).items()}
    if isinstance(value, list | tuple):
        return [with_none(item) for item in cast(Sequence[Any], value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _refuse(name: str) -> None:
    raise ValueError(f"holds {name}, expected a finite number")


def _inside(value: Any) -> list:
    """What lies in a list or an object; nothing in other values, which are checked here."""
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"holds {value}, expected a finite number")
    elif isinstance(value, int) and not -_MOST <= value < _MOST:
        raise ValueError("holds a number of more than 64 bits")
    return []
