"""The documentation site: `python -m sphinx -W docs site`, then open site/index.html.

Pages are Markdown, as they read on GitHub; the reference of the API is made of docstrings, that of the
commands of click. Nothing is loaded from a network when a page is read.
"""

import posixpath
import re
from pathlib import Path

from pygments.lexers.special import TextLexer

project = "aqa-cache"
copyright = "the authors of aqa-cache, MIT licence"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
exclude_patterns = ["notebooks", "_build"]
html_theme = "furo"
html_title = "aqa-cache"
html_show_sourcelink = False
html_copy_source = False
html_show_search_summary = False  # these are fetched, which browsers refuse from the file system

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
suppress_warnings = ["myst.header", "ref.python"]

add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "exclude-members": "__repr__"}
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_custom_sections = [("Shape", "notes_style"), ("Source", "notes_style")]
napoleon_use_rtype = False
python_maximum_signature_line_length = 90

ROOT = Path(__file__).resolve().parent.parent
# Files of the repository that are pages of the site, too.
SHOWN = {
    "benchmarks/RESULTS.md": "results",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "LOG.md": "log",
}
_FILE_NAME = re.compile(r"`?(\w+/)*\w+\.md`?")
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def setup(app):
    """What is written reads well on GitHub and in an editor, too; the site has it in its own form."""
    app.add_lexer("csv", TextLexer)
    app.connect("source-read", _page)
    app.connect("autodoc-process-docstring", _literals)
    for part in ("description", "options", "epilog"):
        app.connect(f"sphinx-click-process-{part}", _text)


def _page(app, page, source):
    """Links as the site has them; a file that is shown takes the place of its page."""
    file = next((file for file, name in SHOWN.items() if name == page), f"docs/{page}.md")
    text = source[0] if file.startswith("docs/") else (ROOT / file).read_text(encoding="utf-8")
    source[0] = _LINK.sub(lambda link: _link(page, posixpath.dirname(file), *link.groups()), text)


def _link(page, folder, text, target, heading):
    file = posixpath.normpath(posixpath.join(folder, target))
    inside = f"{SHOWN[file]}.md" if file in SHOWN else file.removeprefix("docs/")
    if file not in SHOWN and not file.startswith("docs/"):  # code, which is not on the site
        return text
    text = "" if _FILE_NAME.fullmatch(text) else text  # the title of page or section in its place
    return f"[{text}]({posixpath.relpath(inside, posixpath.dirname(page) or '.')}{heading or ''})"


def _literals(app, what, name, obj, options, lines):
    """One backtick is a literal here, as in Markdown."""
    lines[:] = [re.sub(r"(?<![`:\w])`([^`]+)`(?![`_])", r"``\1``", line) for line in lines]


def _text(app, context, lines):
    """Help is text: an asterisk is one."""
    lines[:] = [line.replace("*", "\\*") for line in lines]
