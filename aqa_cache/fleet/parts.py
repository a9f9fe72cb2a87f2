"""Parts in a place: small caches, put whole, under a name that says what is in them, with their own SHA-256.

A part is a cache file (docs/schema.md) behind a header of 512 bytes, which HDF5 passes over.
"""

import hashlib
import json
import re
import shutil
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..annotations import Sample
from ..cache_file.feature_spec import FeatureSpec, canonical_json
from ..cache_file.record import Record
from ..cache_file.writer import write_cache
from ..disk.atomic import replacing
from ..disk.plain_json import parse_json
from ..errors import AqaError
from ..extraction.numerics import of_computing

HEADER_BYTES = 512
_FORMAT = "aqa-part"
_VERSION = 1
_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})-([0-9a-f]{32})(\.failed)?\.h5")
_BLOCK = 1 << 20

Key = tuple[str, str, int | None, int | None, int, int]
"""What a sample is known by: id, video, first frame, frame behind the last, and its video's size and time."""


class DamagedPart(AqaError):
    """A part has not the bytes that were put."""


@dataclass(frozen=True)
class PartName:
    """What the name of a part says.

    Args:
        settings: of the fingerprint; numerics: of the numerics; samples: of the samples' keys and the views;
            each the first digits of a SHA-256.
        failed: whether it holds the samples that failed, with why, in place of those that have features.
    """

    settings: str
    numerics: str
    samples: str
    failed: bool = False

    def __str__(self) -> str:
        return f"{self.settings}-{self.numerics}-{self.samples}{'.failed' if self.failed else ''}.h5"

    @classmethod
    def parse(cls, name: str) -> "PartName | None":
        """None where a file is no part."""
        found = _NAME.fullmatch(name)
        return cls(found[1], found[2], found[3], bool(found[4])) if found else None


def settings_digest(spec: FeatureSpec) -> str:
    return spec.fingerprint[:16]


def numerics_digest(numerics: dict[str, Any]) -> str:
    """Of what decides the last bits; decoding has its version in the record of each sample."""
    return _digest(of_computing(numerics))[:16]


def samples_digest(keys: Iterable[Key], views: Sequence[str]) -> str:
    return _digest([list(views), sorted(map(list, keys), key=lambda key: key[0])])[:32]


def key_of(sample: Sample, stamp: tuple[int, int]) -> Key:
    return sample.sample_id, sample.video, sample.start_frame, sample.end_frame, *stamp


def key_of_record(record: Record) -> Key:
    return key_of(record.sample, (record.video_size, record.video_mtime_ns))


def write_part(
    path: Path,
    records: Sequence[Record],
    spec: FeatureSpec,
    numerics: dict[str, Any],
    views: Sequence[str],
    in_order: bool = False,
) -> None:
    """Write a part: the same datasets and attributes whenever the same samples were made with the same
    numerics. The header also says which host wrote it.

    Args:
        in_order: as the records are given; by default by their samples' ids.
    """
    ordered = records if in_order else sorted(records, key=lambda record: record.sample.sample_id)
    body = path.with_name(path.name + ".body")
    try:
        write_cache(body, ordered, spec, views=views, numerics=numerics, dtype="float32")
        said = {
            "format": _FORMAT,
            "version": _VERSION,
            "bytes": body.stat().st_size,
            "sha256": _sha256(body, 0),
            "host": socket.gethostname()[:100],
        }
        with replacing(path) as temporary, open(body, "rb") as content, open(temporary, "wb") as target:
            target.write(json.dumps(said).encode().ljust(HEADER_BYTES - 1) + b"\n")
            shutil.copyfileobj(content, target, _BLOCK)
    finally:
        body.unlink(missing_ok=True)


def check_part(path: Path, name: str) -> str:
    """Whether a part is whole; gives the host that wrote it.

    Args:
        name: of the part, for a person.

    Raises:
        DamagedPart: it is not.
        AqaError: a later version of this program wrote it.
    """
    with open(path, "rb") as file:
        said = read_header(file.read(HEADER_BYTES), name)
    there = path.stat().st_size - HEADER_BYTES
    if said["bytes"] != there:
        raise DamagedPart(f"{name}: has {there:,} of {said['bytes']:,} bytes")
    if said["sha256"] != _sha256(path, HEADER_BYTES):
        raise DamagedPart(f"{name}: its SHA-256 is not the one that it says")
    return said["host"]


def read_header(head: bytes, name: str) -> dict[str, Any]:
    """What the header of a part says: `bytes`, `sha256`, `host`.

    Raises:
        DamagedPart, AqaError: as `check_part`.
    """
    try:
        said = parse_json(head.decode())
    except ValueError:
        said = None
    if not isinstance(said, dict) or said.get("format") != _FORMAT or len(head) < HEADER_BYTES:
        raise DamagedPart(f"{name}: does not begin as a part does")
    if said.get("version") != _VERSION:
        raise AqaError(
            f"{name}: is a part of version {said.get('version')}, this program knows {_VERSION}; update it"
        )
    if not (
        isinstance(said.get("bytes"), int)
        and isinstance(said.get("sha256"), str)
        and isinstance(said.get("host"), str)
    ):
        raise DamagedPart(f"{name}: its header lacks bytes, sha256 or host")
    return said


def _digest(content: object) -> str:
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()  # pyright: ignore[reportArgumentType]


def _sha256(path: Path, start: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(start)
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
