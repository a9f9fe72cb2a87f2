"""Frames that are coded as two fields, each with a packet of its own, are counted once."""

import itertools
import re

import pytest
from jumping_law import check_jumps
from numbered_video import write_numbered_video
from places import DATA

from aqa_cache.video import decoding as video
from aqa_cache.video.decoding import decode
from aqa_cache.video.fields import FieldReader
from aqa_cache.video.probing import probe

FIELDS = 8  # packets of the file that hold a field; the others hold a frame
FRAME_TICKS = 3003


def packets_of(path):
    import av

    with av.open(str(path)) as container:
        video = container.streams.video[0]
        return (
            [packet for packet in container.demux(video) if packet.size],
            video.codec_context.name,
            video.codec_context.extradata,
        )


def joined(target, order):
    """The field-coded and the frame-coded part of the file, in some order, one after the other."""
    import av

    with (
        av.open(str(DATA / "odd_media" / "fields_then_frames.mp4")) as container,
        av.open(str(target), "w") as output,
    ):
        video = container.streams.video[0]
        stream = output.add_stream_from_template(video)
        packets = [packet for packet in container.demux(video) if packet.size]
        parts = {"fields": packets[:FIELDS], "frames": packets[FIELDS : FIELDS + 12]}
        begin = 0
        for name in order:
            part = parts[name]
            for packet in part:
                copy = av.Packet(bytes(packet))
                copy.stream, copy.time_base, copy.is_keyframe = stream, packet.time_base, packet.is_keyframe
                copy.pts = packet.pts - part[0].pts + begin + FRAME_TICKS
                copy.dts = packet.dts - part[0].dts + begin
                output.mux(copy)
            begin += (len(part) // 2 if name == "fields" else len(part)) * FRAME_TICKS
    return target


@pytest.mark.parametrize("suffix", ["ts", "mkv", "mp4"])
@pytest.mark.parametrize("order", [["fields", "frames"], ["frames", "fields", "frames"]], ids="-".join)
def test_jumping_over_fields_changes_nothing(tmp_path, suffix, order, monkeypatch):
    monkeypatch.setattr(video, "MIN_JUMP", 3)
    path = joined(tmp_path / f"joined.{suffix}", order)
    check_jumps(path, trials=2)
    assert probe(path).frames == sum(1 for _ in decode(path))


def test_packets_with_fields_are_told_from_those_with_frames():
    packets, codec, extradata = packets_of(DATA / "odd_media" / "fields_then_frames.mp4")
    reader = FieldReader(codec, extradata)
    kinds = [reader.holds_field(packet, packet.is_keyframe) for packet in packets]
    assert kinds == [True] * FIELDS + [False] * (len(packets) - FIELDS)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("mp4", {}),
        ("ts", {}),
        ("mp4", {"x264-params": "tff=1"}),  # fields within frames
        ("ts", {"x264-params": "tff=1"}),
        ("mp4", {"x264-params": "cqm=jvt", "profile": "high", "preset": "medium"}),
        ("ts", {"codec": "mpeg2video", "flags": "+ildct+ilme"}),
    ],
)
def test_whole_frames_are_no_fields(tmp_path, suffix, options):
    path = write_numbered_video(tmp_path / f"frames.{suffix}", 60, g="20", grain=20, **options)
    packets, codec, extradata = packets_of(path)
    reader = FieldReader(codec, extradata)
    assert not any(reader.holds_field(packet, packet.is_keyframe) for packet in packets)


def test_fields_of_mpeg2(tmp_path):
    path = write_numbered_video(tmp_path / "frames.mpg", 5, codec="mpeg2video")
    packets, codec, _ = packets_of(path)
    reader = FieldReader(codec, None)
    for packet, structure in itertools.product(packets, (1, 2, 3)):
        data = bytearray(bytes(packet))
        place = re.search(rb"\x00\x00\x01\xb5[\x80-\x8f]", data).start()
        data[place + 6] = data[place + 6] & ~3 | structure
        assert reader.holds_field(data, keyframe=False) == (structure != 3)


def test_what_cannot_be_read_counts_as_a_field():
    assert FieldReader("mpeg2video", None).holds_field(b"\0\0\1\xb5", keyframe=True)
    assert FieldReader("h264", None).holds_field(b"\0\0\0\1\x67\x64\0", keyframe=True)
