"""Zip archives that somebody else may have made: looked at whole before anything of them is written."""

import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from ..errors import AqaError, first_line
from .atomic import replacing

MOST_BYTES = 2**32 - 2**20  # of an archive and of all that is in it: no 64-bit extension is needed
MOST_FILES = 2000
# What is written may be so many times as large as the archive; tables of text come to about ten.
_MOST_GAIN, _ALWAYS_ALLOWED = 100, 2**26
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}")
_DEEPEST = 4
_PIECE = 2**20
# The record at the end: signature, disk numbers, entries, size and place of the directory, comment's length.
_END, _END_SIGNATURE = struct.Struct("<4s4H2LH"), b"PK\x05\x06"
_PACKED_BY = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What `zipfile` raises of an archive that is no whole one.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError)
_LARGEST_ENTRY = 512  # bytes of an entry of the directory, by far


def write_zip(path: str | Path, files: Mapping[str, Path]) -> None:
    """Write an archive of files; equal files give equal archives.

    Args:
        files: by name, parts separated by `/`, in the order of the archive.

    Raises:
        AqaError: it cannot be written, or would be larger than 4 GiB; an older one is intact.
    """
    size = sum(file.stat().st_size for file in files.values())
    if size > MOST_BYTES:
        raise AqaError(
            f"{path}: would hold {size:,} bytes, an archive takes {MOST_BYTES:,}; leave the backbone out"
        )
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", allowZip64=False) as archive:
        for name, file in files.items():
            _check_name(name)
            info = zipfile.ZipInfo(name)  # of 1980: no date of this machine
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            text = not name.endswith(".safetensors")
            info.compress_type = zipfile.ZIP_DEFLATED if text else zipfile.ZIP_STORED
            info.file_size = file.stat().st_size
            with open(file, "rb") as source, archive.open(info, "w") as target:
                while piece := source.read(_PIECE):
                    target.write(piece)


def unpack(path: str | Path, folder: Path, known: Callable[[str], bool]) -> list[str]:
    """Write the files of an archive into an empty folder, and nothing anywhere else.

    Args:
        known: whether a file of this name may be in it.

    Returns:
        The names, parts separated by `/`.

    Raises:
        AqaError: it is no such archive: a name that leads out of the folder, is there twice or is not known,
            a link, a file that is larger than it says or too large for the archive; nothing was written then,
            but for a damaged file. Or it cannot be read, or not be written (disk full).
    """
    with _opened(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                _check(Path(path), entries, known, os.fstat(file.fileno()).st_size)
                for entry in entries:
                    _write(archive, entry, folder / entry.filename)
        except _DAMAGE as error:
            raise AqaError(f"{path}: is damaged ({first_line(error)}); copy or pack it again") from None
        except OSError as error:
            raise AqaError(f"{path}: cannot be unpacked to {folder} ({error.strerror or error})") from None
    return [entry.filename for entry in entries]


def read_member(path: str | Path, name: str, most: int) -> bytes | None:
    """One small file of an archive, without unpacking the others; None where it is not there.

    Args:
        most: bytes that it may have.

    Raises:
        AqaError: as `unpack`, of this file.
    """
    with _opened(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                if name not in archive.namelist():
                    return None
                if archive.getinfo(name).compress_type not in _PACKED_BY:
                    raise AqaError(f"{path}: {name} is packed in another way; use aqa-data pack")
                with archive.open(name) as inner:
                    content = inner.read(most + 1)
        except _DAMAGE as error:
            raise AqaError(f"{path}: is damaged ({first_line(error)}); copy or pack it again") from None
        except OSError as error:
            raise AqaError(f"{path}: cannot be read ({error.strerror or error})") from None
    if len(content) > most:
        raise AqaError(f"{path}: {name} in it has more than {most:,} bytes; it is none of ours")
    return content


def _opened(path: str | Path) -> IO[bytes]:
    """The archive, of which the end is looked at: `zipfile` reads a directory of any size into memory."""
    path, file = Path(path), None
    try:
        if path.exists() and not path.is_file():  # a FIFO would be waited for
            raise AqaError(f"{path}: is no plain file, expected a zip archive that aqa-data pack wrote")
        file = open(path, "rb")
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise AqaError(f"{path}: has {size:,} bytes, expected at most {MOST_BYTES:,}")
        file.seek(max(0, size - _END.size))
        end = file.read(_END.size)
        if len(end) < _END.size or not end.startswith(_END_SIGNATURE):
            raise AqaError(f"{path}: is no zip archive that aqa-data pack wrote, or not all of one")
        _, _, _, _, entries, directory, _, comment = _END.unpack(end)
        if entries > MOST_FILES or directory > _LARGEST_ENTRY * entries or comment:
            raise AqaError(f"{path}: has {entries} files, expected at most {MOST_FILES} with short names")
        file.seek(0)
        return file
    except AqaError:
        if file is not None:
            file.close()
        raise
    except OSError as error:
        raise AqaError(f"{path}: cannot be read ({error.strerror})") from None


def _check(
    path: Path, entries: list[zipfile.ZipInfo], known: Callable[[str], bool], archive_bytes: int
) -> None:
    seen: dict[str, str] = {}
    for entry in entries:
        name = entry.orig_filename
        try:
            _check_name(name)
        except ValueError as error:
            raise AqaError(f"{path}: {error}; nothing of it was unpacked") from None
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise AqaError(f"{path}: {name} is a link or no plain file; nothing of it was unpacked")
        if entry.flag_bits & 1 or entry.compress_type not in _PACKED_BY:
            raise AqaError(f"{path}: {name} is encrypted or packed in another way; use aqa-data pack")
        same = unicodedata.normalize("NFC", name).casefold()  # one file on some disks
        if same in seen:
            raise AqaError(f"{path}: has {name} twice ({seen[same]}); nothing of it was unpacked")
        seen[same] = name
        if not known(name):
            raise AqaError(f"{path}: has a file {name}, which is none of a model; nothing was unpacked")
    if inside := next((a for a in seen for b in seen if b.startswith(f"{a}/")), None):
        raise AqaError(f"{path}: has {inside} as a file and as a folder; nothing of it was unpacked")
    packed, size = (sum(getattr(entry, of) for entry in entries) for of in ("compress_size", "file_size"))
    if packed > archive_bytes or size > min(MOST_BYTES, max(_ALWAYS_ALLOWED, _MOST_GAIN * archive_bytes)):
        raise AqaError(
            f"{path}: says that {size:,} bytes are in its {archive_bytes:,}, which is more than a model's can"
            " be; nothing of it was unpacked"
        )


def _check_name(name: str) -> None:
    parts = name.split("/")
    if len(parts) > _DEEPEST or not all(_PART.fullmatch(part) and not part.endswith(".") for part in parts):
        raise ValueError(f"has a file named {name!r:.200}, which could lie outside its folder")


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(entry) as source, open(target, "xb") as file:
        while piece := source.read(_PIECE):
            written += len(piece)
            if written > entry.file_size:
                raise zipfile.BadZipFile(f"{entry.filename} is larger than it says")
            file.write(piece)
    if written != entry.file_size:
        raise zipfile.BadZipFile(f"{entry.filename} is smaller than it says")
