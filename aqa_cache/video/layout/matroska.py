"""Matroska and WebM.

Source: RFC 9559.
"""

import re
from collections.abc import Generator

from .file_bytes import Broken, FileBytes

MARK = b"\x1a\x45\xdf\xa3"
_CLUSTER, _BLOCKS = 0x1F43B675, {0xA3, 0xA0, 0xAF}
_IN_SEGMENT = {0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367}
_IN_CLUSTER = {*_BLOCKS, 0xE7, 0xAB, 0xA7, 0x5854}
_ANYWHERE = {0xEC, 0xBF}  # void, checksum
_SEGMENT, _TRACKS, _BLOCK_GROUP = 0x18538067, 0x1654AE6B, 0xA0
_TRACK_NUMBER = re.compile(rb"\xd7\x81(.)", re.S)
_IN_BLOCK_GROUP = (b"\xa1", b"\x9b", b"\xfb", b"\x75", b"\xfd", b"\xa2", b"\xa4", b"\xec", b"\xbf")


def _ebml(head: bytes) -> tuple[int, int | None, int] | None:
    """Identifier, size (None: unknown) and length of the header of an element, from the first 12 bytes of it;
    None if there is none.
    """
    if not head or head[0] < 0x10:
        return None
    first = 9 - head[0].bit_length()
    if len(head) <= first or not head[first]:
        return None
    size, end = _number(head, first)
    return (int.from_bytes(head[:first], "big"), size, end) if len(head) >= end else None


def _number(head: bytes, place: int) -> tuple[int | None, int]:
    """A number of one to eight bytes, None where all its bits are set, and the place behind it."""
    first = head[place] if place < len(head) else 0
    width = 9 - first.bit_length()
    if width > 8:
        return None, place
    value = int.from_bytes(head[place : place + width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), place + width


def elements(file: FileBytes) -> Generator[int, None, None]:
    """Byte offsets of the elements; see `structure`."""
    place, segment_end = 0, None
    while (element := _ebml(file.at(place, 12))) is not None and element[0] != _SEGMENT:
        if element[1] is None:
            return
        place += element[2] + element[1]
    if element is None:
        return
    place += element[2]
    segment_end = None if element[1] is None else place + element[1]
    began_at, tracks = -1, set()
    previous, cluster_end, in_cluster, began, frames_follow = place, None, False, False, True
    while place < file.size and (segment_end is None or place < segment_end):
        if in_cluster and place == cluster_end:
            in_cluster = False
        element = _ebml(file.at(place, 12))
        if element is None and place + 12 > file.size:
            raise Broken(previous if place > file.size else place, cut=True)
        name, size, header = element or (0, 0, 0)
        if in_cluster and cluster_end is None and name in _IN_SEGMENT:
            in_cluster = False
        known = name in (_IN_CLUSTER if in_cluster else _IN_SEGMENT) or name in _ANYWHERE
        limit = cluster_end if in_cluster else segment_end
        end = None if size is None else place + header + size
        if name == _TRACKS:
            tracks.update(
                found[0] | 0x80 for found in _TRACK_NUMBER.findall(file.at(place, header + (size or 0)))
            )
        certain = known and (not in_cluster or _is_block(file, place + header, name, tracks))
        if (
            not certain
            and not (known and began_at == place)
            and not _is_foreign(file, end, limit, in_cluster)
        ):
            if began:
                raise Broken(previous)
            return  # nothing here was understood so far
        if limit is not None and end is not None and end > limit and name != _CLUSTER:
            raise Broken(place)
        yield place
        if name == _CLUSTER:
            in_cluster, began, cluster_end, place = True, True, end, place + header
            previous = began_at = place
            continue
        if not in_cluster and began:
            frames_follow = False  # an index or tags, at the end
        if end is None:
            return
        if end > file.size:
            if in_cluster:
                raise Broken(place, cut=True)
            return
        previous, place = place, end
    if (in_cluster and cluster_end is not None and cluster_end > file.size) or (
        segment_end is not None and segment_end > file.size and began and frames_follow
    ):
        raise Broken(file.size, cut=True)


def _is_block(file: FileBytes, place: int, name: int, tracks: set[int]) -> bool:
    """Whether what is named a block begins as one."""
    first = file.at(place, 1)
    if name == _BLOCK_GROUP:
        return first in _IN_BLOCK_GROUP
    return name in _BLOCKS and bool(first) and (not tracks or first[0] in tracks)


def _is_foreign(file: FileBytes, end: int | None, limit: int | None, in_cluster: bool) -> bool:
    """Whether an element that is not known is one all the same: it is whole, and a known one follows."""
    if end is None or end > file.size or (limit is not None and end > limit):
        return False
    following = _ebml(file.at(end, 12))
    if following is None:
        return end == limit
    return following[0] in (_IN_CLUSTER | _IN_SEGMENT if in_cluster else _IN_SEGMENT) or end == limit


def promised_bytes(head: bytes) -> int | None:
    """By the segment that follows the header; None where it was left open."""
    length, place = _number(head, len(MARK))
    place += length or 0
    if int.from_bytes(head[place : place + 4], "big") != _SEGMENT:
        return None
    length, place = _number(head, place + 4)
    return None if length is None else place + length
