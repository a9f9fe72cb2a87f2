"""Pages of scores as files: `index.html`, and of several samples one page each in `pages/`."""

import os
import re
from importlib.resources import files
from pathlib import Path

from aqa_cache.disk.atomic import replacing
from aqa_cache.disk.links import refuse_link
from aqa_cache.errors import AqaError

from ...report.html import Markup, document, element, files_of_page, glossary
from ..results import Score, ScoreTable
from ..writing import make_folder
from .media import media_of
from .ranking import ranking
from .sections import Shown, body, heading, verdict, warning
from .side_by_side import FIRST, SECOND, comparison_section
from .timeline import clips, player

GENERATOR = "aqa-score"
INDEX, FOLDER = "index.html", "pages"
_MOST_LETTERS = 80
# Videos lie beside the page: in the file system, or on the server that it comes from.
_ALLOW = {"media-src": "'self' file:", "img-src": "data:"}


def check_pages(folder: str | Path) -> None:
    """Whether pages may be written into a folder, before the work that makes them.

    Raises:
        AqaError: there is another file of the name, or a link in place of the folder of pages.
    """
    refuse_link(Path(folder) / FOLDER, "the folder of the pages")
    _check_ours(Path(folder) / INDEX)


def write_pages(table: ScoreTable, folder: str | Path) -> Path:
    """Write `index.html` into a folder: of one sample its page, of several the ranked table, and a page each
    in `pages/`. Pages of an earlier call that are not among them are removed.

    Returns:
        That of `index.html`.

    Raises:
        AqaError: they cannot be written, or files of others have their names.
    """
    folder = Path(folder)
    check_pages(folder)
    index, below = folder / INDEX, folder / FOLDER
    names = {} if len(table.scores) == 1 else _names(table.scores)
    before = _named_in(index)
    for name in names.values():
        _check_ours(below / name)
    make_folder(below if names else folder)
    for score in table.scores if names else ():
        _replace(below / names[score.sample_id], _page(_shown(score, table, below), back=True))
    _replace(index, _index(table, folder, names))
    for name in before - set(names.values()):
        if _is_ours(below / name):
            (below / name).unlink()
    return index


def _shown(score: Score, table: ScoreTable, page: Path, name: str = "video") -> Shown:
    return Shown(score, table, media_of(score, table.folder, page, table.stream), name)


def _index(table: ScoreTable, folder: Path, names: dict[str, str]) -> str:
    if len(table.scores) == 1:
        return _page(_shown(table.scores[0], table, folder))
    parts: list[Markup] = []
    if (made := table.comparison) is not None:
        by_id = {score.sample_id: score for score in table.scores}
        first, second = (
            _shown(by_id[sample], table, folder, name)
            for sample, name in ((made.first, FIRST), (made.second, SECOND))
        )
        parts += comparison_section(made, first, second)
    links = {sample: f"./{FOLDER}/{name}" for sample, name in names.items()}
    title = f"{len(table.scores)} {'stretches, to be looked at' if table.by_fit else 'scored samples'}"
    title = "Two takes" if table.comparison is not None else title
    ranked = ranking(table, links)
    parts = [element("h1", title), *parts, *([element("h2", "Both")] if parts else []), *ranked]
    return _document(title, parts, sorted(names.values()))


def _page(shown: Shown, back: bool = False) -> str:
    """One sample's page."""
    score = shown.score
    top = element(
        "div",
        element("div", *player(shown.media), *clips(score, shown.media), class_="seen"),
        element("div", *verdict(shown), class_="said"),
        class_="top",
    )
    parts = (
        [element("p", element("a", "All samples", href=f"../{INDEX}"), class_="note back")] if back else []
    )
    parts += [*heading(shown), *warning(shown), top, *body(shown)]
    return _document(score.sample_id, parts)


def _document(title: str, parts: list[Markup], names: list[str] | tuple = ()) -> str:
    own = files(__package__)
    return document(
        title,
        *parts,
        *glossary(*parts),
        files=names,
        generator=GENERATOR,
        more_style=own.joinpath("page.css").read_text(encoding="utf-8"),
        script=own.joinpath("page.js").read_text(encoding="utf-8"),
        allow=_ALLOW,
    )


def _names(scores) -> dict[str, str]:
    """A file name for each sample_id, that any system takes and no other has."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for score in scores:
        stem = re.sub(r"[^A-Za-z0-9]+", "_", score.sample_id).strip("_")[:_MOST_LETTERS] or "sample"
        name, number = f"{stem}.html", 1
        while name.lower() in taken:
            number += 1
            name = f"{stem}_{number}.html"
        taken.add(name.lower())
        found[score.sample_id] = name
    return found


def _named_in(index: Path) -> set[str]:
    """The pages that an earlier index names."""
    named = files_of_page(index, GENERATOR) if index.is_file() else None
    return {name for name in named or () if re.fullmatch(r"[A-Za-z0-9_]+\.html", name)}


def _is_ours(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and files_of_page(path, GENERATOR) is not None


def _check_ours(path: Path) -> None:
    if os.path.lexists(path) and not _is_ours(path):
        raise AqaError(f"{path}: is there and is no page of aqa-score; choose another -o, or move it away")


def _replace(path: Path, page: str) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(page.encode("utf-8", "backslashreplace"))
