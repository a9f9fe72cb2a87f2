"""The files beside a report: its figures as PNG and PDF, and the numbers of its tables and figures as CSV."""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from aqa_cache.disk.csv_file import csv_bytes

from .html import Markup, Section, element
from .html.drawing import Drawing, use
from .printed_tables import latex_table, markdown_table


class Attachments:
    """Files by name, collected while the page is made.

    Args:
        folder: name of the folder that will hold them, beside the page.
    """

    def __init__(self, folder: str):
        self.folder = folder
        self.files: dict[str, bytes] = {}
        self._said: dict[str, str] = {}
        self._shared: set[str] = set()

    def figure(
        self, name: str, drawing: Drawing, caption: Markup | str = "", caption_first: bool = False
    ) -> Markup:
        """The figure as it stands on the page; its PNG is kept. Figures must stand there in this order."""
        stem = self._free(name, "png").removesuffix(".png")
        self.files[f"{stem}.png"], self.files[f"{stem}.pdf"] = drawing.png, drawing.pdf
        shown = [Markup(self._with_shared(drawing))]
        if drawing.narrow_svg is not None:
            shown = [
                element("div", Markup(svg), class_=kind)
                for kind, svg in (("wide", drawing.svg), ("narrow", drawing.narrow_svg))
            ]
        said = [element("figcaption", caption)] if caption else []
        return element("figure", *said, *shown) if caption_first else element("figure", *shown, *said)

    def table(self, name: str, header: Sequence[str], rows: Iterable[Sequence], what: str) -> None:
        """Keep a CSV file; cells that are None are empty, numbers are exact. `what` says what is in it."""
        kept = self._free(name, "csv")
        self.files[kept], self._said[kept] = csv_bytes([header, *rows]), what

    def printed(self, name: str, header: Sequence[str], rows: Sequence[Sequence[str]], what: str) -> None:
        """Keep a table as it is printed: LaTeX and Markdown."""
        for ending, text in (
            ("tex", latex_table(header, rows, f"{what[:1].upper()}{what[1:]}.")),
            ("md", markdown_table(header, rows)),
        ):
            kept = self._free(name, ending)
            self.files[kept] = text.encode("utf-8", "backslashreplace")
            self._said[kept] = f"{what}, as {'LaTeX' if ending == 'tex' else 'Markdown'}"

    def section(self) -> Section:
        """The section that names them all."""
        figures = [name.removesuffix(".png") for name in self.files if name.endswith(".png")]
        links = (element("li", self._link(name), f": {what}") for name, what in self._said.items())
        drawn = (
            element(
                "li", f"{name}: ", self._link(f"{name}.png", "PNG"), ", ", self._link(f"{name}.pdf", "PDF")
            )
            for name in figures
        )
        content = (element("ul", *links, class_="files"), element("ul", *drawn, class_="files"))
        return Section("Files", content, f"numbers and figures, beside this page in {self.folder}/")

    def _with_shared(self, drawing: Drawing) -> str:
        """The markup of a figure; what it shares is written out in the first figure that has it."""
        svg = drawing.svg
        for name, part in drawing.shared.items():
            if name not in self._shared:
                svg = svg.replace(use(name), part)
                self._shared.add(name)
        return svg

    def _link(self, name: str, shown: str | None = None) -> Markup:
        return element("a", shown or name, href=quote(f"./{self.folder}/{name}", errors="surrogateescape"))

    def _free(self, name: str, ending: str) -> str:
        """A file name that any system takes and that no other file has."""
        stem = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "unnamed"
        number, found = 1, f"{stem}.{ending}"
        while found in self.files:
            number += 1
            found = f"{stem}_{number}.{ending}"
        return found
