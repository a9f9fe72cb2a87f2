"""A model that travels: what is in `model.zip`, and how it is read where it comes from somebody else.

The archive holds `aqa_model.json`, one folder `runs/NAME` for each run that is averaged, and if asked for
`backbone.safetensors`. Nothing in it is unpickled or imported, and it is looked at whole before anything of
it is written (`aqa_cache.disk.zip_file`).
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqa_cache.disk.zip_file import read_member, unpack
from aqa_cache.errors import AqaError

from ..errors import RunError
from ..runs.record import Needed, Text, Whole, parse_json

SUFFIX, FORMAT = ".zip", 1
RECORD, RUNS, BACKBONE = "aqa_model.json", "runs", "backbone.safetensors"
_LARGEST_TEXT = 2**20  # bytes of the record, and of a card
# Of a run: tables, records, weights, the card. No code, nothing that would be unpickled.
_OF_A_RUN = re.compile(rf"{RUNS}/[^/]+/[A-Za-z][A-Za-z0-9_]*\.(json|csv|safetensors|md)")
_KIND = {
    "aqa_model": Needed(Whole(1, 2**31)),
    "runs": Needed([Needed(Text(200))]),
    "backbone": bool,
    "without_neighbours": bool,
    "holds": [Needed(Text(1000))],
    "made_by": Text(200),
}


@dataclass(frozen=True)
class Packed:
    """A packed model, unpacked.

    Args:
        folder: of the run folders.
        backbone: weights that came with it; None: they are looked for.
    """

    folder: Path
    backbone: Path | None


def is_packed(run: object) -> bool:
    """Whether what names a run is an archive."""
    return isinstance(run, str | Path) and Path(run).suffix.lower() == SUFFIX and Path(run).is_file()


@contextmanager
def unpacked(path: Path) -> Iterator[Packed]:
    """The model of an archive in a folder that vanishes with the block.

    Raises:
        AqaError: it is no packed model, or not one to be trusted.
    """
    record = read_record(path)
    with tempfile.TemporaryDirectory(prefix="aqa-model-") as folder:
        place = Path(folder)
        names = set(unpack(path, place, _is_known))
        for name in record["runs"]:
            if f"{RUNS}/{name}/config.json" not in names:
                raise RunError(f"{path}: {RECORD} names a run {name!r:.200}, not there; pack it again")
        if bool(record.get("backbone")) != (BACKBONE in names):
            raise RunError(f"{path}: {RECORD} and the archive differ on the backbone; pack it again")
        try:
            yield Packed(place / RUNS, place / BACKBONE if BACKBONE in names else None)
        except AqaError as error:
            if folder not in (said := str(error)):
                raise
            said = said.replace(f"{folder}/", f"{path}: ")  # a folder that nobody can look into
            raise RunError(said.replace("train the run again", "copy it again, or pack it again")) from None


def read_record(path: Path) -> dict[str, Any]:
    """What `aqa_model.json` says.

    Raises:
        AqaError: it is not there, damaged, or of a newer format.
    """
    content = read_member(path, RECORD, _LARGEST_TEXT)
    if content is None:
        raise RunError(f"{path}: holds no {RECORD}; expected a model that aqa-data pack wrote")
    try:
        record = parse_json(content.decode(), _KIND)
    except ValueError as error:
        raise RunError(f"{path}: {RECORD} cannot be read ({error}); pack it again") from None
    if record["aqa_model"] > FORMAT:
        raise RunError(
            f"{path}: is a packed model of format {record['aqa_model']}, this program reads up to {FORMAT};"
            " upgrade aqa-cache"
        )
    if not record["runs"]:
        raise RunError(f"{path}: {RECORD} names no run; pack it again")
    return record


def _is_known(name: str) -> bool:
    return name in (RECORD, BACKBONE) or _OF_A_RUN.fullmatch(name) is not None
