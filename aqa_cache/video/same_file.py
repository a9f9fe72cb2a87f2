"""Names that are one video: written in another way, linked, or copied."""

import filecmp
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

_LOOKED_AT = 1 << 16  # bytes at three places, before two files of one size are compared


def names_of_one_file(folder: Path, videos: Iterable[str]) -> dict[str, str]:
    """For names that lead to a file, or folder of frames, that another name leads to as well, the one to call
    it by: the plainest, which is no link and has no `.` or `..`.

    Of videos that are not there the spelling decides.
    """
    same: dict[tuple, list[str]] = {}
    for video in dict.fromkeys(videos):
        same.setdefault(_identity(folder / video), []).append(video)
    return {
        video: best
        for names in same.values()
        if len(names) > 1
        for best in [min(names, key=lambda name: (_is_roundabout(folder, name), len(name), name))]
        for video in names
        if video != best
    }


def copies(folder: Path, videos: Iterable[str]) -> dict[str, str]:
    """For videos that hold the same bytes as an earlier one, that one; folders of frames are not compared."""
    by_size: dict[int, list[str]] = {}
    for video in dict.fromkeys(videos):
        try:
            if (folder / video).is_file() and (size := (folder / video).stat().st_size):
                by_size.setdefault(size, []).append(video)
        except (OSError, ValueError):
            continue
    found: dict[str, str] = {}
    for size, names in by_size.items():
        if len(names) == 1:
            continue
        alike: dict[bytes, list[str]] = {}
        for name in names:
            try:
                alike.setdefault(_look(folder / name, size), []).append(name)
            except OSError:  # who decodes it says so
                continue
        for group in alike.values():
            originals: list[str] = []
            for name in group:
                original = next((one for one in originals if _equal(folder / one, folder / name)), None)
                if original is None:
                    originals.append(name)
                else:
                    found[name] = original
    return found


def _identity(path: Path) -> tuple:
    try:
        stat = path.stat()
        return stat.st_dev, stat.st_ino
    except (OSError, ValueError):
        return (os.path.abspath(path),)


def _is_roundabout(folder: Path, name: str) -> bool:
    path = folder / name
    return (
        os.path.isabs(name)
        or os.path.normpath(name).replace(os.sep, "/") != name
        or os.path.realpath(path) != os.path.join(os.path.realpath(folder), os.path.normpath(name))
    )


def _look(path: Path, size: int) -> bytes:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for place in (0, size // 2, max(0, size - _LOOKED_AT)):
            file.seek(place)
            digest.update(file.read(_LOOKED_AT))
    return digest.digest()


def _equal(one: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False
