"""The parts of a page: sections that fold, and a table of contents that stays beside them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .elements import Markup, element


@dataclass(frozen=True)
class Section:
    """One part of a page. It folds without JavaScript, and is open in print.

    Args:
        title: its heading.
        content: elements.
        said: one line beside the heading, which says what is found when it is opened.
        opened: whether it is open at first.
    """

    title: str
    content: tuple[Markup, ...]
    said: str = ""
    opened: bool = False

    @property
    def name(self) -> str:
        """Of the place that links lead to; it lies inside what folds, as a browser opens what a link leads
        into.
        """
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    @property
    def markup(self) -> Markup:
        heading = element("h2", self.title)
        said = element("span", self.said, class_="said") if self.said else ""
        inside = element("div", *self.content, id=self.name, class_="inside")
        summary = element("summary", heading, said)
        return element("details", summary, inside, class_="section", open=self.opened)


def contents(sections: Iterable[Section], title: str = "Contents") -> Markup:
    """Links to the sections and, first, to the top of the page."""
    links = [element("li", element("a", "Top", href="#top"))]
    links += [element("li", element("a", each.title, href=f"#{each.name}")) for each in sections]
    return element("nav", element("ul", *links), class_="contents", aria_label=title)
