"""What is a URL and what a path."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Two letters or more: one is a drive.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_url(text: object) -> bool:
    """Whether a text names a place by its protocol.

    >>> [is_url(text) for text in ("s3://bucket/parts", "videos/01.mp4", "C:/videos")]
    [True, False, False]
    """
    return isinstance(text, str) and bool(_URL.match(text))


def local_path(url: str) -> Path | None:
    """The path that a `file://` URL names; None of any other.

    >>> local_path("file:///mnt/a%20b").as_posix()
    '/mnt/a b'
    """
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme.lower() in ("file", "local") else None
