"""Videos by their content."""

import contextlib
import threading
from collections.abc import Iterable

from .source import Source


def hashes_of(source: Source, videos: Iterable[str], stop: threading.Event) -> dict[str, str]:
    """SHA-256 of videos, hex, as far as `stop` lets it come; of a frame folder none is made."""
    hashes = {}
    for video in videos:
        # One that cannot be read has no hash, and fails by itself when it is decoded.
        with contextlib.suppress(OSError):
            if not stop.is_set() and (sha256 := source.sha256(video)):
                hashes[video] = sha256
    return hashes
