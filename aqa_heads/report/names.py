"""What the rows of a report are called, in figures and in print: by what differs among them."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..runs.format import LEAKED
from ..settings.experiments import DEFAULT, EXPERIMENTS, ROWS

END_TO_END = "end to end"  # in labels and names of rows whose backbone was trained too
# Rows that keep their colour whatever else is in the report; others take those that are left.
_COLOURED = {name: place for place, name in enumerate((*EXPERIMENTS, "ridge", DEFAULT.name))}
_WORDS = (
    (r"encoder (\w+)", r"\1 encoder"),
    (r"score head (\w+)", r"\1 head"),
    (r"rnn (\w+)", lambda found: f"{found[1].upper()} cells"),
    (r"layers (\d+)", r"\1 layers"),
    (r"attention (\w+)", r"\1 attention"),
)


def parts_of(label: str) -> tuple[str, tuple[str, ...]]:
    """The title of a label, and what it says in brackets.

    >>> parts_of("Exp 7 (literal, on S3D features)")
    ('Exp 7', ('literal', 'on S3D features'))
    """
    title, _, rest = label.removesuffix(LEAKED).partition(" (")
    return title, tuple(part for part in rest.removesuffix(")").split(", ") if part)


def row_names(families: Sequence) -> list[str]:
    """A name for each row, unlike the others'.

    A row of Table 1, or a reference, that is there once has its title. Where there are several of one title,
    each adds what not all of them have; where all rows have one title, it is left out. Other rows have their
    folder's name, as have those that nothing else tells apart.
    """
    known = [family.experiment in ROWS for family in families]
    titles = [_title(family) if own else family.name for family, own in zip(families, known, strict=True)]
    alike = Counter(titles)
    one_title = len(alike) == 1 and len(titles) > 1 and all(known)
    common = {title: _common(title, titles, families) for title in alike}
    names = []
    for family, title, own in zip(families, titles, known, strict=True):
        more = [part for part in _differing(family) if part not in common[title]] if own else []
        said = ", ".join(map(_worded, more)) if alike[title] > 1 else ""
        alone = one_title and said and not said.startswith("on ")
        names.append(said if alone else f"{title}, {said}" if said else title)
    return _distinct(names, families)


def colours(families: Sequence) -> list[int]:
    """A number for the colour of each row, no two alike."""
    found: list[int | None] = []
    for family in families:
        own = _COLOURED.get(family.experiment or "")
        found.append(None if own in found else own)
    free = (number for number in range(len(_COLOURED) + len(families)) if number not in found)
    return [next(free) if colour is None else colour for colour in found]


def _title(family) -> str:
    title = ROWS[family.experiment].title
    return f"{title} {END_TO_END}" if family.end_to_end else title


def _differing(family) -> tuple[str, ...]:
    """What its label says beside its title."""
    return tuple(part for part in parts_of(family.label)[1] if not (family.end_to_end and part == END_TO_END))


def _common(title: str, titles: Sequence[str], families: Sequence) -> set[str]:
    """What all rows of a title say."""
    said = [set(_differing(f)) for f, other in zip(families, titles, strict=True) if other == title]
    return set.intersection(*said)


def _worded(part: str) -> str:
    """
    >>> _worded("encoder lstm"), _worded("lr 0.0003")
    ('lstm encoder', 'lr 3e-4')
    """
    for pattern, words in _WORDS:
        if found := re.fullmatch(pattern, part):
            return found.expand(words) if isinstance(words, str) else words(found)
    return re.sub(r"\b0\.000?\d+\b", lambda found: _short_number(float(found[0])), part)


def _short_number(value: float) -> str:
    mantissa, _, power = f"{value:e}".partition("e")
    return f"{float(mantissa):g}e{int(power)}"


def _distinct(names: list[str], families: Sequence) -> list[str]:
    """Where two are alike, by folder, then by the folder it lies in, then by number."""
    for better in (
        lambda family: family.name,
        lambda family: f"{Path(os.path.abspath(family.first.path)).parent.name}/{family.name}",
    ):
        repeated = {name for name, count in Counter(names).items() if count > 1}
        pairs = zip(names, families, strict=True)
        names = [better(family) if name in repeated else name for name, family in pairs]
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        seen[name] += 1
        names[place] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return names
