"""Videos that lie elsewhere than in the folder of videos."""

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import escaped, some


def videos_outside(folder: Path, videos: Iterable[str]) -> list[str]:
    """Those of the names, relative to a folder or not, that lead out of it; links are not followed."""
    base = os.path.abspath(folder)
    inside = base.rstrip(os.sep) + os.sep
    return [
        video
        for video in dict.fromkeys(videos)
        if not os.path.normpath(os.path.join(base, video)).startswith(inside)
    ]


def said_outside(folder: Path, outside: list[str]) -> str:
    """Which they are, in one line."""
    return f"{len(outside)} video(s) lie outside {folder}: {some([escaped(video) for video in outside])}"
