"""Files of text, JSON and XML that somebody else wrote: bounded, and nothing in them acts."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ..disk.plain_json import parse_json
from ..errors import AnnotationError, first_line

# Far beyond any export of annotations.
MOST_BYTES = 1 << 26
_MOST_LEVELS = 64
_MOST_ELEMENTS = 2_000_000


def read_text(path: Path) -> str:
    """Text in UTF-8, UTF-16 with a byte order mark, or Windows-1252.

    Raises:
        AnnotationError: it cannot be read, is too large, or is in another encoding.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(content) > MOST_BYTES:
        raise AnnotationError(
            f"{path}: is larger than {MOST_BYTES:,} bytes; export the annotations alone, or in parts"
        )
    kinds = ("utf-16",) if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252")
    for kind in kinds:
        try:
            return content.decode(kind)
        except UnicodeDecodeError:
            continue
    raise AnnotationError(f"{path}: is neither UTF-8, UTF-16 nor Windows-1252 text; export it as UTF-8")


def json_of(path: Path, text: str) -> Any:
    """What a JSON text says.

    Raises:
        AnnotationError: it is none that can be read.
    """
    try:
        return parse_json(text)
    except ValueError as error:
        raise AnnotationError(f"{path}: is no JSON that can be read: {first_line(error)}") from None


def xml_of(path: Path, text: str) -> ElementTree.Element:
    """The root of an XML text. A document type is refused, as entities, which may be without end or lead to
    other files, are declared in it.

    Raises:
        AnnotationError: it is none that can be read.
    """
    parser = ElementTree.XMLParser(target=_Tree(path))
    try:
        # As text, so that what it says of its encoding, which is often wrong, has no effect.
        parser.feed(text)
        return parser.close()
    except (ElementTree.ParseError, ValueError) as error:
        raise AnnotationError(f"{path}: is no XML that can be read: {first_line(error)}") from None


class _Tree(ElementTree.TreeBuilder):
    def __init__(self, path: Path):
        super().__init__()
        self._path, self._level, self._count = path, 0, 0

    def doctype(self, name, _public, _system):
        raise AnnotationError(
            f"{self._path}: declares a document type ({name!r:.60}), by which a file may grow without end or"
            " read others, and which no annotation tool writes; it is not read"
        )

    def start(self, tag, attrs):
        self._level, self._count = self._level + 1, self._count + 1
        if self._level > _MOST_LEVELS or self._count > _MOST_ELEMENTS:
            raise AnnotationError(
                f"{self._path}: is nested deeper than {_MOST_LEVELS} levels or has more than"
                f" {_MOST_ELEMENTS:,} elements; it is not read"
            )
        return super().start(tag, attrs)

    def end(self, tag):
        self._level -= 1
        return super().end(tag)
