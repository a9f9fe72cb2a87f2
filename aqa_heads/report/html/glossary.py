"""The terms of the pages, each explained where it stands and once more at the end of the page. The words are
those of glossary.md, which docs/glossary.md has too.
"""

import re
from functools import cache
from pathlib import Path

from .elements import Markup, element


@cache
def definitions() -> dict[str, str]:
    """What every term means, in plain text, in the order of the file."""
    text = Path(__file__).with_name("glossary.md").read_text(encoding="utf-8")
    _, *entries = re.split(r"^## ", text, flags=re.MULTILINE)
    parts = (entry.partition("\n") for entry in entries)
    return {name.strip(): " ".join(said.split()) for name, _, said in parts}


def term(name: str, shown: str | None = None) -> Markup:
    """A word that opens its explanation, without JavaScript; the page must end with `glossary` of its
    content.

    Args:
        name: one of `definitions`.
        shown: the word as it stands in the sentence; the name itself if None.

    Raises:
        KeyError: there is no such term.
    """
    if name not in definitions():
        raise KeyError(name)
    opening = element("button", shown or name, type="button", class_="term", popovertarget=_id(name))
    return element("dfn", opening)


def glossary(*content: Markup) -> list[Markup]:
    """The section that explains the terms that stand in `content`, and what opens there; empty where none
    does.
    """
    explained = explanations(*content)
    if explained is None:
        return []
    terms, opened = explained
    return [element("h2", "Glossary", id="glossary"), terms, *opened]


def explanations(*content: Markup) -> tuple[Markup, list[Markup]] | None:
    """The terms that stand in `content` as a list, and what opens; None where none does. What opens must not
    lie in what folds.
    """
    found = set(re.findall(r' popovertarget="([^"]*)"', "".join(content)))
    used = {name: said for name, said in definitions().items() if _id(name) in found}
    if not used:
        return None
    entries = (part for name, said in used.items() for part in (element("dt", name), element("dd", said)))
    opened = [
        element("div", element("b", name), " ", said, id=_id(name), class_="definition", popover=True)
        for name, said in used.items()
    ]
    return element("dl", *entries, class_="terms"), opened


def _id(name: str) -> str:
    return "term-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
