"""SHA-256 sums of the files of a run, against accidents: a copy that broke off, a file of another run."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import RunError


def sums_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256, hex, of those of the files that are there, by name."""
    from aqa_cache.disk.tensor_file import sha256_of

    return {name: sha256_of(folder / name) for name in sorted(names) if (folder / name).is_file()}


def check_sums(folder: Path, files: Mapping[str, str] | None) -> None:
    """Whether the files of a run are those that were written.

    Args:
        files: as `config.json` has them; None, as in runs of format 1: nothing is known of them.

    Raises:
        RunError: one has changed, is gone, or cannot be read.
    """
    again = "take the run from where it was trained again, or train it again"
    names = [name for name in files or () if Path(name).name != name]
    if names:
        raise RunError(f"{folder}: config.json names the file {names[0]!r}, which is none of a run; {again}")
    try:
        found = sums_of(folder, files or ())
    except OSError as error:
        raise RunError(f"{error.filename}: cannot be read ({error.strerror}); {again}") from None
    for name, expected in (files or {}).items():
        if name not in found:
            raise RunError(f"{folder / name}: is not there, and is part of the run; {again}")
        if found[name] != expected:
            raise RunError(
                f"{folder / name}: is not the file that the run was written with (SHA-256"
                f" {found[name][:12]}…, config.json says {expected[:12]}…); {again}"
            )
