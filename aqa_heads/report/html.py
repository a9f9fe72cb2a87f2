"""One HTML page that needs nothing from elsewhere: elements whose text is escaped, and the style they stand
in.
"""

from collections.abc import Iterable, Sequence
from html import escape

from .drawing import COLOURS

GENERATOR = "aqa-report"


class Markup(str):
    """Text that is HTML already. Any other text is escaped where it enters an element."""


def element(tag: str, *children, **attributes) -> Markup:
    """One HTML element; an attribute's trailing underscore is dropped, None is left out.

    >>> element("td", "a < b", class_="number")
    '<td class="number">a &lt; b</td>'
    """
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
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


def document(title: str, files: Sequence[str], *sections) -> str:
    """The whole page; `files` names those that belong to it."""
    head = element(
        "head",
        Markup('<meta charset="utf-8">'),
        # Nothing is fetched and nothing runs, whatever stands in a caption.
        Markup(
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        ),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        Markup(f'<meta name="generator" content="{GENERATOR}">'),
        Markup(f'<meta name="files" content="{escape(" ".join(files))}">'),
        element("title", title),
        element("style", Markup(_style())),
    )
    body = element("body", element("main", *sections))
    return "<!DOCTYPE html>\n" + element("html", head, "\n", body, lang="en") + "\n"


def _style() -> str:
    light, dark = ("".join(f"--{name}:{pair[dark]};" for name, pair in COLOURS.items()) for dark in (0, 1))
    light += "--page:#ffffff;--raised:#f6f7f9;--alarm:#8a2b00;--alarm-page:#fff1e8;"
    dark += "--page:#15191e;--raised:#1e242b;--alarm:#ffb184;--alarm-page:#3a2013;"
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{_RULES}"
    )


_RULES = """
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100% }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
main { max-width: 1220px; margin: 0 auto; padding: 2rem 1.25rem 4rem }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 3rem 0 .6rem; padding-top: .9rem;
  border-top: 1px solid var(--grid) }
h3 { font-size: 1rem; margin: 1.6rem 0 .3rem }
h3 .note { font-weight: 400 }
p, ul, dl { max-width: 46rem; margin: .5rem 0 }
ul { padding-left: 1.2rem }
.byline, .note, figcaption, .aside { color: var(--muted) }
.note, figcaption { font-size: .875rem }
.aside { display: block; font-size: .8125rem; font-weight: 400; line-height: 1.35 }
td .aside, th .aside { font-size: .9em }
.lead { font-size: 1.06rem }
.banner { max-width: none; margin: 1.2rem 0; padding: .8rem 1rem; color: var(--alarm);
  background: var(--alarm-page);
  border: 2px solid currentColor; border-radius: 6px; font-weight: 600 }
.warning { padding: .45rem .8rem; border-left: 4px solid var(--alarm); background: var(--alarm-page);
  max-width: none }
.scroll { overflow-x: auto; margin: .8rem 0 }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums }
th, td { padding: .42rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--grid) }
thead th { vertical-align: bottom; font-weight: 600; line-height: 1.25;
  border-bottom: 1.5px solid var(--muted) }
tbody th { font-weight: 600; position: sticky; left: 0; background: var(--page); min-width: 6.8rem }
thead th:first-child { position: sticky; left: 0; background: var(--page) }
tbody.floor td, tbody.floor th { background: var(--raised); font-weight: 400 }
tbody.floor tr:first-child > * { border-top: 1.5px solid var(--muted) }
.results th, .results td { padding-inline: .4rem }
.results .number { text-align: right }
.results td.number { white-space: nowrap }
.below { color: var(--muted); font-style: italic }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin-right: .4em }
figure { margin: 1rem 0 }
figure svg { display: block; width: 100%; height: auto; font-family: inherit }
svg * { stroke-linejoin: round; stroke-linecap: butt }
figcaption { max-width: 46rem; margin-top: .3rem }
.narrow { display: none !important }
.pair, .many { display: grid; gap: .4rem 1.2rem }
.pair { grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)) }
.many { grid-template-columns: repeat(auto-fill, minmax(min(100%, 225px), 1fr)) }
.matrices { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: flex-end }
.matrices svg { width: auto; max-width: 100% !important }
.pair figure, .many figure, .matrices figure { margin: 0; max-width: 100%; min-width: 0 }
.many figure { display: flex; flex-direction: column; justify-content: flex-end }
.many figcaption, .matrices figcaption { margin: 0 0 .2rem; color: var(--ink) }
.captions td { min-width: 13rem; overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .15rem 1rem;
  font-size: .875rem;
  max-width: none }
dt { color: var(--muted) }
dd { margin: 0; overflow-wrap: anywhere; min-width: 0 }
.audit { grid-template-columns: 8rem 1fr; font-size: 1rem; max-width: 60rem; gap: .35rem 1rem }
.audit dt { grid-column: 1 } .audit dd { grid-column: 2 }
.leak { color: var(--alarm); font-weight: 600 }
a { color: inherit }
.files { columns: 2 18rem; max-width: none; font-size: .875rem }
.files li { break-inside: avoid }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .92em;
  overflow-wrap: anywhere }
details { border-bottom: 1px solid var(--grid) }
summary { cursor: pointer; padding: .45rem 0; overflow-wrap: anywhere }
@media screen and (min-width: 641px) { tbody.floor th { white-space: nowrap }
  tbody.floor .aside { white-space: normal } }
@media (max-width: 640px) {
  main { padding: 1.2rem .9rem 3rem }
  h1 { font-size: 1.5rem }
  .wide { display: none !important }
  .narrow { display: block !important }
  tbody th { min-width: 7.2rem } .setting { display: none }
  .captions thead { display: none }
  .captions tr, .captions th, .captions td { display: block; border: 0; padding: .25rem 0; position: static }
  .captions tr { border-bottom: 1px solid var(--grid); padding: .5rem 0 }
  .captions td::before { content: attr(data-label); display: block; color: var(--muted); font-size: .78rem }
  dl, dl.audit { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .35rem }
  .audit dd { grid-column: 1 }
}
@media print {
  @page { margin: 14mm }
  body { font-size: 10pt } main { max-width: none; padding: 0 }
  h2 { margin-top: 1.6rem; break-after: avoid } h3 { break-after: avoid }
  figure, tr, .banner { break-inside: avoid }
  .scroll { overflow: visible } table { font-size: 7.5pt } th, td { padding: .2rem .3rem }
  tbody th { position: static; min-width: 0 }
  .results th, .results td { padding-inline: .2rem }
  details::details-content { content-visibility: visible; block-size: auto }
  details dl { font-size: 7pt; grid-template-columns: max-content 1fr max-content 1fr; gap: 0 .6rem }
  .pair { grid-template-columns: 1fr 1fr } .many { grid-template-columns: repeat(4, 1fr) }
  .wide { display: block !important } .setting { display: table-cell } .narrow { display: none !important }
}
"""
