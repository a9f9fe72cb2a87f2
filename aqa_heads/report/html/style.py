"""The look of every page: colours for light and dark, and one style sheet for screen, phone and print."""

from pathlib import Path

# Name of the CSS variable: (on white, on dark). Told apart with any of the common colour vision deficiencies
# (after Okabe & Ito); figures name each line directly as well.
COLOURS = {
    "series-0": ("#1f2328", "#f0f3f6"),
    "series-1": ("#0072b2", "#58b0ee"),
    "series-2": ("#d55e00", "#ff8b3d"),
    "series-3": ("#009e73", "#2fcf9f"),
    "series-4": ("#b5478c", "#ee93c8"),
    "series-5": ("#b98600", "#ecbe3b"),
    "series-6": ("#3fa3dc", "#a5dcff"),
    "series-7": ("#7a5230", "#cfa27c"),
    "series-8": ("#7d7d00", "#cfcf4a"),
    "series-9": ("#5b5fc7", "#a9adf0"),
    "ink": ("#20262d", "#e6eaef"),
    "muted": ("#5b6570", "#a3adb8"),
    "grid": ("#e3e6ea", "#30363d"),
    "context": ("#c9cfd6", "#454d57"),
}
SERIES = 10
# Of the page itself; figures have no background of their own.
_OF_PAGE = {
    "page": ("#ffffff", "#15191e"),
    "raised": ("#f6f7f9", "#1e242b"),
    "alarm": ("#8a2b00", "#ffb184"),
    "alarm-page": ("#fff1e8", "#3a2013"),
}


def style(more: str = "") -> str:
    """The style sheet, whose colours are CSS variables (`var(--ink)`); dark where the reader's system is, and
    light in print.

    Args:
        more: rules of one kind of page, which come last.
    """
    light, dark = (
        "".join(f"--{name}:{pair[of]};" for name, pair in (COLOURS | _OF_PAGE).items()) for of in (0, 1)
    )
    rules = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{rules}{more}"
    )
