"""One HTML page that needs nothing from elsewhere."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from .elements import Markup, element
from .style import style

GENERATOR = "aqa-report"


def document(
    title: str,
    *sections: Any,
    contents: Markup | None = None,
    files: Sequence[str] = (),
    generator: str = GENERATOR,
    more_style: str = "",
    script: str = "",
    allow: Mapping[str, str] | None = None,
    refresh: int | None = None,
) -> str:
    """The whole page.

    Nothing is fetched, and nothing runs but `script`, whatever stands in a caption: the page's
    Content-Security-Policy names the script by its hash.

    Args:
        sections: what stands on the page, elements.
        contents: of `sections.contents`, which stay beside them.
        files: names of those that belong to the page.
        generator: the command that made it.
        more_style: rules of this kind of page, after those of all pages.
        script: JavaScript that runs when the page is there. All must be readable without it.
        allow: what else the policy lets in, by directive, such as `{"media-src": "'self' file:"}`; it takes
            the place of what the policy has for that directive; the script is added to its `script-src`.
        refresh: seconds until the page loads itself again; None: never.

    Raises:
        ValueError: the script holds `</script` or `<!--`, which end it or hide its end.

    Source: Content Security Policy Level 3, 2.3.1 (hashes); HTML, 4.12.1.3 (what a script may hold).
    """
    if "</script" in script.lower() or "<!--" in script:
        raise ValueError("the script of a page must hold neither '</script' nor '<!--'")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(script, allow or {})),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="generator", content=generator),
        element("meta", name="files", content=" ".join(files)),
        element("meta", http_equiv="refresh", content=refresh) if refresh else "",
        element("title", title),
        element("style", Markup(style(more_style))),
    )
    own = element("script", Markup(script)) if script else ""
    body = element(
        "body",
        *([contents] if contents else []),
        element("main", *sections, id="top"),
        own,
        class_="beside" if contents else None,
    )
    return "<!DOCTYPE html>\n" + element("html", head, "\n", body, lang="en") + "\n"


def files_of_page(path: Path, generator: str = GENERATOR) -> list[str] | None:
    """The names of files that a page says belong to it, as they stand there; None if another made it.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(100_000).decode("utf-8", errors="replace").partition("</head>")[0]
    if f'<meta name="generator" content="{generator}">' not in head:
        return None
    named = re.search(r'<meta name="files" content="([^"]*)">', head)
    return named[1].split() if named else []


def _policy(script: str, allow: Mapping[str, str]) -> str:
    """The content security policy of the page, as one line."""
    rules = {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        **allow,
    }
    if script:
        digest = b64encode(sha256(script.encode()).digest()).decode()
        rules["script-src"] = " ".join(filter(None, [rules.get("script-src"), f"'sha256-{digest}'"]))
    return "; ".join(f"{directive} {sources}" for directive, sources in rules.items())
