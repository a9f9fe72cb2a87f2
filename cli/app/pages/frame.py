"""What all pages of the app have around their content."""

from collections.abc import Sequence

from aqa_heads.report.html import Markup, element

PLACES = (("/", "Score"), ("/clips", "Clips"), ("/train", "Train"), ("/models", "Models"))


def page(title: str, here: str, *content, scripts: Sequence[str] = ()) -> str:
    """The whole page; its style and scripts are files of the app, as its policy has it.

    Args:
        here: address of the place that it belongs to.
        scripts: names of modules in `static/`.
    """
    links = (
        element("a", name, href=path, aria_current="page" if path == here else None) for path, name in PLACES
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} – aqa-app"),
        element("link", rel="icon", href="data:,"),
        element("link", rel="stylesheet", href="/static/style.css"),
        *(element("script", "", src=f"/static/{name}", type="module") for name in scripts),
    )
    body = element(
        "body",
        element("a", "To the content", href="#content", class_="skip"),
        element("header", element("nav", *links, aria_label="Places"), class_="top"),
        element("main", element("h1", title), *content, id="content"),
        element("p", "", id="said", role="status"),
    )
    return "<!DOCTYPE html>\n" + element("html", head, body, lang="en") + "\n"


# Inputs of numbers. Those of type `number` drop a comma in silence in some browsers, and 7,5 becomes 75.
DECIMAL = {"type": "text", "inputmode": "decimal", "data_kind": "decimal", "maxlength": "20"}
WHOLE = {"type": "text", "inputmode": "numeric", "data_kind": "whole", "maxlength": "10"}


def labelled(label: str, name: str, **attributes) -> Markup:
    """An input with its label."""
    hint = attributes.pop("hint", "")
    return element(
        "p",
        element("label", label, for_=name),
        element("input", id=name, name=name, **attributes),
        element("span", hint, class_="aside") if hint else "",
        class_="field",
    )


def points(value: float | None, digits: int = 1) -> str:
    """
    >>> points(71.25), points(None)
    ('71.2', '–')
    """
    return "–" if value is None else f"{value:.{digits}f}"
