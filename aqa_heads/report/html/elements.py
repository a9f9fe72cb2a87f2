"""Elements of an HTML page, whose text is escaped."""

from collections.abc import Iterable, Sequence
from html import escape

_VOID = frozenset("br hr img input link meta source track wbr".split())  # elements that have no end


class Markup(str):
    """Text that is HTML already. Any other text is escaped where it enters an element."""


def element(tag: str, *children, **attributes) -> Markup:
    """One HTML element. An attribute's trailing underscore is dropped, others become hyphens; None and False
    are left out, True stands without a value.

    >>> element("td", "a < b", class_="number")
    '<td class="number">a &lt; b</td>'
    """
    named = "".join(
        f" {name.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in _VOID:
        return Markup(f"<{tag}{named}>")
    inside = "".join(child if isinstance(child, Markup) else escape(str(child)) for child in children)
    return Markup(f"<{tag}{named}>{inside}</{tag}>")


def join(parts: Iterable, separator: str = "") -> Markup:
    return Markup(escape(separator).join(p if isinstance(p, Markup) else escape(str(p)) for p in parts))


def number(value: float | None, text: str, undefined: str = "–") -> Markup | str:
    """`text` as shown, with the exact value in the markup; `undefined` where there is no value."""
    return undefined if value is None else element("data", text, value=repr(value))


def table(header: Sequence, rows: Iterable[Sequence], class_: str, foot: Iterable[Sequence] = ()) -> Markup:
    """A table that scrolls sideways where it does not fit; the first cell of a row is the row's name.

    A row may be an element already. Cells may be elements or text.
    """

    def line(cells, names: Sequence = ()) -> Markup:
        if isinstance(cells, Markup):
            return cells
        first, *others = cells
        labels = [name if not isinstance(name, Markup) else None for name in names] or [None] * len(others)
        return element(
            "tr",
            element("th", first, scope="row"),
            *(element("td", cell, data_label=label) for cell, label in zip(others, labels, strict=False)),
        )

    head = element("thead", element("tr", *(element("th", cell, scope="col") for cell in header)))
    body = element("tbody", *(line(row, header[1:]) for row in rows))
    tail = element("tbody", *(line(row) for row in foot), class_="floor") if (foot := list(foot)) else ""
    return element("div", element("table", head, body, tail, class_=class_), class_="scroll", tabindex="0")
