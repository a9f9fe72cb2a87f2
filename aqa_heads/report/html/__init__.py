"""What every page of the project is made of: elements, the page itself, its style, figures, and its terms."""

from .elements import Markup, element, join, number, table
from .glossary import glossary, term
from .page import GENERATOR, document, files_of_page
from .sections import Section, contents
from .style import COLOURS, SERIES, style

__all__ = [
    "COLOURS",
    "GENERATOR",
    "SERIES",
    "Markup",
    "Section",
    "contents",
    "document",
    "element",
    "files_of_page",
    "glossary",
    "join",
    "number",
    "style",
    "table",
    "term",
]
