"""Videos that are not where the annotations say: another spelling, or the nearest name."""

import difflib
import functools
import os
import unicodedata
from pathlib import Path, PurePosixPath

from ..errors import escaped

# Beyond so many names in a folder only those that differ in case or suffix are looked for: the others take
# too long where many are missing.
_COMPARED = 500


def spelt_on_disk(folder: Path, video: str) -> str | None:
    """The name, relative to `folder`, of the one file or folder whose name has the same letters in another
    Unicode form (NFC, NFD); None where there is none, or more than one.
    """
    place, parts = folder, []
    for part in PurePosixPath(video).parts:
        if not os.path.lexists(place / part):
            same = [name for name in _names(place) if _letters(name) == _letters(part)]
            if len(same) != 1:
                return None
            part = same[0]
        parts.append(part)
        place = place / part
    return PurePosixPath(*parts).as_posix()


def missing_video(path: Path) -> str:
    """Why a sample whose video is not there has no features, and what to do."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        return (
            f"its name has characters that names on this system have not ({error.encoding}): {path.name!a};"
            " use a locale in UTF-8, such as LC_ALL=C.UTF-8"
        )
    if any(name != path.name and escaped(name) == path.name for name in _names(path.parent)):
        return f"its name is not UTF-8, and names are stored as UTF-8; rename {escaped(str(path))}"
    return (
        f"no such video ({escaped(str(path))}){why_missing(path)}; correct the column 'video' in the"
        " annotations, or fetch it"
    )


def why_missing(path: Path) -> str:
    """What is known of why a path is not there, as the end of a sentence; empty where nothing is."""
    parent, part = path.parent, path.name
    while not parent.exists() and parent != parent.parent:
        parent, part = parent.parent, parent.name
    names = _names(parent)
    nearest = _nearest(part, names)
    if nearest is None:
        return f"; {escaped(str(parent))} has no {part!r}" if parent != path.parent else ""
    where = f" in {escaped(str(parent))}" if parent != path.parent else " there"
    same = _letters(nearest) == _letters(part)
    form = ", the same letters in another Unicode form (NFC, NFD)" if same else ""
    return f"; the nearest name{where} is {escaped(nearest)!r}{form}"


def _nearest(part: str, names: tuple[str, ...]) -> str | None:
    letters = _letters(part)
    exact = next((name for name in names if _letters(name) == letters), None)
    if exact is not None:
        return exact
    folded = letters.casefold()
    near = [name for name in names if _stem(_letters(name).casefold()) == _stem(folded)]
    if near or len(names) > _COMPARED:
        return near[0] if near else None
    by_letters = {_letters(name).casefold(): name for name in names}
    close = difflib.get_close_matches(folded, by_letters, 1, 0.75)
    return by_letters[close[0]] if close else None


def _letters(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _stem(name: str) -> str:
    return name.rsplit(".", 1)[0]


def _names(folder: Path) -> tuple[str, ...]:
    try:
        return _listed(str(folder), folder.stat().st_mtime_ns)
    except OSError:
        return ()


@functools.lru_cache(maxsize=16)
def _listed(folder: str, _changed: int) -> tuple[str, ...]:
    """The visible names in a folder, sorted; kept while its time stays, for where many are missing."""
    return tuple(sorted(name for name in os.listdir(folder) if not name.startswith(".")))
