"""Whether packets hold frames or single fields of them, from the headers of H.264 and MPEG-2 pictures.

A frame of an interlaced video may be coded as two fields, each with a packet of its own; a decoder gives one
frame for both.

Source: ITU-T H.264, 7.3.2.1.1, 7.3.2.2 and 7.3.3; ISO/IEC 13818-2, 6.2.3.1.
"""

import re
from collections.abc import Iterator

_HEADERS = 4096  # bytes of a packet in which those of its first picture lie
_WITH_CHROMA = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)  # profiles
_FRAME_PICTURE = 3


class _Bits:
    """Numbers of an H.264 unit, most significant bit first."""

    def __init__(self, data: bytes):
        plain = data.replace(b"\0\0\3", b"\0\0")
        self._value, self._left = int.from_bytes(plain, "big"), 8 * len(plain)

    def take(self, count: int) -> int:
        if count > self._left:
            raise ValueError("too short")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def unsigned(self) -> int:
        """An Exp-Golomb code."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:
                raise ValueError("not a code")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)


class FieldReader:
    """Reads packets in the order of decoding.

    Args:
        codec: name of the decoder.
        extradata: of the stream; parameters that are not in packets.
    """

    def __init__(self, codec: str, extradata: bytes | None):
        self._codec, self._length = codec, 0
        # By identifier: bits of a frame's number, planes coded apart, whether fields may occur; and the
        # sequence's identifier and whether it is known.
        self._sequences: dict[int, tuple[int, bool, bool]] = {}
        self._pictures: dict[int, int] = {}
        self._unread = False  # whether parameters of the stream could not be read
        if codec == "h264" and extradata:
            if extradata[0] == 1 and len(extradata) > 6:
                self._length = (extradata[4] & 3) + 1
                self._unread = self._units(_listed(extradata))
            else:
                self._unread = self._units(_between_start_codes(extradata))

    def holds_field(self, packet, keyframe: bool) -> bool:
        """Whether a packet holds a field; also True where that cannot be told."""
        if self._codec == "mpeg2video":
            return _is_mpeg2_field(bytes(memoryview(packet)[:_HEADERS]))
        if self._codec != "h264" or not (keyframe or self._may_be_fields):
            return False
        data = bytes(memoryview(packet)[:_HEADERS])
        units = _with_lengths(data, self._length) if self._length else _between_start_codes(data)
        return self._units(units)

    @property
    def admits_fields(self) -> bool:
        """Whether the parameters of the stream admit fields; also True where they cannot be read.

        They do not say whether there are any, in which only the packets agree.
        """
        return self._unread or self._may_be_fields

    @property
    def _may_be_fields(self) -> bool:
        return any(fields for _, _, fields in self._sequences.values())

    def _units(self, units: Iterator[bytes]) -> bool:
        """Read the units up to the first slice; whether that is one of a field."""
        for unit in units:
            kind = unit[0] & 31 if unit else 0
            try:
                if kind == 7:
                    self._read_sequence(unit)
                elif kind == 8:
                    bits = _Bits(unit[1:16])
                    picture, sequence = bits.unsigned(), bits.unsigned()
                    self._pictures[picture] = sequence
                elif kind in (1, 2, 5):
                    return self._may_be_fields and self._is_field_slice(unit)
            except (ValueError, KeyError):
                return True
        return False

    def _read_sequence(self, unit: bytes) -> None:
        bits = _Bits(unit[1:])
        profile = bits.take(8)
        bits.take(16)
        identifier, apart = bits.unsigned(), False
        if profile in _WITH_CHROMA:
            chroma = bits.unsigned()
            apart = chroma == 3 and bool(bits.take(1))
            bits.unsigned(), bits.unsigned(), bits.take(1)
            if bits.take(1):
                for table in range(8 if chroma != 3 else 12):
                    if bits.take(1):
                        _skip_scaling_list(bits, 16 if table < 6 else 64)
        number_bits = bits.unsigned() + 4
        order = bits.unsigned()
        if order == 0:
            bits.unsigned()
        elif order == 1:
            bits.take(1), bits.signed(), bits.signed()
            for _ in range(bits.unsigned()):
                bits.signed()
        bits.unsigned(), bits.take(1), bits.unsigned(), bits.unsigned()
        self._sequences[identifier] = number_bits, apart, not bits.take(1)

    def _is_field_slice(self, unit: bytes) -> bool:
        bits = _Bits(unit[1:40])
        bits.unsigned(), bits.unsigned()
        number_bits, apart, may_be_field = self._sequences[self._pictures[bits.unsigned()]]
        bits.take(2 * apart + number_bits)
        return may_be_field and bool(bits.take(1))


def admits_fields(codec: str, extradata: bytes | None) -> bool:
    """Whether the parameters of an H.264 or MPEG-2 stream admit pictures that are fields.

    Args:
        codec, extradata: as `FieldReader` takes them.
    """
    if codec == "mpeg2video":
        # The extension with number 1: four bits of number, eight of profile, one that says progressive.
        extensions = re.finditer(rb"\x00\x00\x01\xb5([\x10-\x1f])(.)", extradata or b"", re.DOTALL)
        return any(not extension[2][0] & 0x08 for extension in extensions)
    return FieldReader(codec, extradata).admits_fields


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _listed(extradata: bytes) -> Iterator[bytes]:
    """The units of an MP4 or Matroska decoder configuration."""
    place = 5
    for mask in (31, 255):
        if place >= len(extradata):
            return
        count, place = extradata[place] & mask, place + 1
        for _ in range(count):
            size = int.from_bytes(extradata[place : place + 2], "big")
            yield extradata[place + 2 : place + 2 + size]
            place += 2 + size


def _with_lengths(data: bytes, length: int) -> Iterator[bytes]:
    place = 0
    while place + length < len(data):
        size = int.from_bytes(data[place : place + length], "big")
        yield data[place + length : place + length + size]
        place += length + size


def _between_start_codes(data: bytes) -> Iterator[bytes]:
    yield from data.split(b"\0\0\1")[1:]


def _is_mpeg2_field(data: bytes) -> bool:
    place = data.find(b"\0\0\1\xb5")
    while place >= 0 and len(data) > place + 6:
        if data[place + 4] >> 4 == 8:
            return data[place + 6] & 3 != _FRAME_PICTURE
        place = data.find(b"\0\0\1\xb5", place + 4)
    return True
