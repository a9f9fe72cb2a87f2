"""The user's cache folder."""

import os
from pathlib import Path


def user_cache() -> Path:
    """Where this program keeps files of its own, if nothing else is said: `aqa-cache` in
    `$XDG_CACHE_HOME`, else in `~/.cache`.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aqa-cache"
