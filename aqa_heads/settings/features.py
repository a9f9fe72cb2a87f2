"""Which caches a run reads."""

from collections.abc import Sequence
from pathlib import Path


class Features(tuple):
    """Paths or URLs of several caches; as text their names with commas between them."""

    def __str__(self) -> str:
        return ", ".join(map(str, self))


def as_features(given: str | Path | Sequence[str | Path]) -> str | Path | Features:
    """One path or URL as it is, several as `Features`."""
    if isinstance(given, str | Path):
        return given
    several = Features(given)
    return several[0] if len(several) == 1 else several
