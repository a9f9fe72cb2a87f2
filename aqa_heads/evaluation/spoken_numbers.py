"""Numbers in what a commentator said, in digits or in English words: '88.2', 'eighty eight point two', '88
2'.
"""

import functools
import re

_BELOW_TWENTY = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
        " sixteen seventeen eighteen nineteen".split()
    )
}
_TENS = {
    word: 10 * value
    for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
}
_POINT, _OTHER = "point", "other"
_WORD = rf"(?:\d+|{'|'.join([*_BELOW_TWENTY, *_TENS])}|hundred\s+and|hundred|{_POINT}|oh)\b"
_RUN = re.compile(rf"\b{_WORD}(?:[\W_]+{_WORD})*")


def numbers_in(text: str) -> set[float]:
    """Every number below 1,000 that the text may state, with at most two decimals.

    Speech leaves open where a number ends, so all readings count: '94 3 5' is 94.3, 94.35, and the marks 3
    and 5. A whole number counts only where no decimals follow it. 'oh' is a zero behind a number or a point,
    else an exclamation.

    >>> sorted(numbers_in("an eighty-seven point four five for him and 8 for the entry"))
    [5.0, 8.0, 87.4, 87.45]
    >>> sorted(numbers_in("in the 80s, a hundred and two point six"))
    [102.6]
    """
    found = set()
    for run in _RUN.findall(re.sub(r"(?<=\d)\.(?=\d)", f" {_POINT} ", text.lower())):
        found |= _meant(run)
    return found


def without_numbers(text: str) -> str:
    """The text in small letters without any number, in digits or in words, and without words that hold a
    digit.

    >>> without_numbers("An eighty-seven point four five for him and 8 for the 107b")
    'an for him and for the'
    """
    return " ".join(re.sub(r"\S*\d\S*", " ", _RUN.sub(" ", text.lower())).split())


@functools.lru_cache(maxsize=10_000)  # commentators say the same few things
def _meant(run: str) -> frozenset[float]:
    return frozenset(_readings(_numerals(re.findall(r"[a-z0-9]+", run))))


def _readings(words: list[str]) -> set[float]:
    """Numbers that a run of whole numbers and points may mean."""
    found = set()
    for place, word in enumerate(words):
        if not word.isdigit() or len(word) > 3 or words[place - 1 : place] == [_POINT]:
            continue
        pointed = words[place + 1 : place + 2] == [_POINT]
        following = words[place + 2 : place + 4] if pointed else words[place + 1 : place + 3]
        # '8 5' are two marks, '85 5' may be 85.5.
        decimals = _decimals(following) if pointed or len(word) > 1 else []
        found.update(float(f"{word}.{digits}") for digits in decimals)
        if not decimals:
            found.add(float(word))
    return found


def _decimals(following: list[str]) -> list[str]:
    """What the two words behind a whole number may be as decimals: '4', and with the next '45'; '45' at
    once.
    """
    first, second = (*following, _OTHER, _OTHER)[:2]
    if not first.isdigit() or len(first) > 2:
        return []
    if len(first) == 1 and second.isdigit() and len(second) == 1:
        return [first, first + second]
    return [first]


def _numerals(words: list[str]) -> list[str]:
    """A run of number words: whole numbers as digits, the point between decimals, `_OTHER` for an
    exclamation.
    """
    numerals, place = [], 0
    while place < len(words):
        value, length = _whole(words, place)
        if length:
            numerals.append(value)
        elif words[place] == "oh" and numerals and numerals[-1] != _OTHER:
            numerals.append("0")
        else:
            numerals.append(_POINT if words[place] == _POINT else _OTHER)
        place += length or 1
    return numerals


def _whole(words: list[str], place: int) -> tuple[str, int]:
    """The whole number that begins at a place, as digits, and how many words it takes; 0 where none
    begins.
    """
    value, length = _below_hundred(words, place)
    if words[place + length : place + length + 1] != ["hundred"] or length and not 1 <= int(value) <= 9:
        return value, length
    hundreds, length = 100 * int(value or 1), length + 1
    skip = length + (words[place + length : place + length + 1] == ["and"])
    rest, more = _below_hundred(words, place + skip)
    return (str(hundreds + int(rest)), skip + more) if more else (str(hundreds), length)


def _below_hundred(words: list[str], place: int) -> tuple[str, int]:
    word = words[place] if place < len(words) else ""
    if word.isdigit():
        return word, 1  # as it is written: '05' may be decimals
    if word in _BELOW_TWENTY:
        return str(_BELOW_TWENTY[word]), 1
    if word not in _TENS:
        return "", 0
    unit = words[place + 1] if place + 1 < len(words) else ""
    unit = unit if unit.isdigit() else str(_BELOW_TWENTY.get(unit, 0))
    more = len(unit) == 1 and unit != "0"
    return str(_TENS[word] + int(unit) * more), 1 + more
