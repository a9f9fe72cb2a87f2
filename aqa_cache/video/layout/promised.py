"""How long a file has to be by its own headers."""

import os
from pathlib import Path

from . import asf, avi, flv, matroska, mp4

_HEAD_BYTES = 1 << 16


def promised_bytes(path: Path) -> int | None:
    """How long a file has to be by its own headers: MP4, QuickTime, AVI, Matroska, WebM, ASF (WMV), FLV.

    None where they do not say, as in transport and program streams, or in a file that was written as a live
    stream.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(_HEAD_BYTES)
        if head[:4] == b"RIFF":
            return avi.promised_bytes(file, size)
        if head[:4] == matroska.MARK:
            return matroska.promised_bytes(head)
        if head[:16] == asf.MARK:
            return asf.promised_bytes(head)
        if head[:3] == b"FLV":
            return flv.promised_bytes(head)
        return mp4.promised_bytes(file, size)
