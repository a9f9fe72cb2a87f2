"""Weights in several files: an index says which tensor lies in which of the files beside it."""

import re
from pathlib import Path

from ..errors import WeightsError
from .plain_json import parse_json

INDEX = ".safetensors.index.json"
_MOST_BYTES = 1 << 24
_PLAIN_NAME = re.compile(r"[\w-][\w.-]{0,200}\.safetensors")


def shards_of(path: Path) -> list[Path]:
    """The files that an index names, by name.

    Raises:
        WeightsError: it is no such index, or names what is no file in its own folder.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"is larger than {_MOST_BYTES >> 20} MiB")
        content = parse_json(path.read_text(encoding="utf-8"))
        names = set(content["weight_map"].values())
        wrong = [name for name in names if not (isinstance(name, str) and _PLAIN_NAME.fullmatch(name))]
        if wrong or not names:
            raise ValueError(f"names {wrong[0]!r:.100}" if wrong else "names no file")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path}: is no index of weights ({type(error).__name__}: {error}); expected JSON with"
            " weight_map: names of .safetensors files beside it"
        ) from None
    shards = [path.parent / name for name in sorted(names)]
    if lacking := [shard.name for shard in shards if not shard.is_file()]:
        raise WeightsError(
            f"{path}: names {len(shards)} files, of which {len(lacking)} are not there"
            f" ({', '.join(lacking[:3])}); copy or download them again"
        )
    return shards
