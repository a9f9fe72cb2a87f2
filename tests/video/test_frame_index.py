import itertools
from types import SimpleNamespace

import pytest
from numbered_video import write_numbered_video

from aqa_cache.video import decoding as video
from aqa_cache.video.fields import FieldReader
from aqa_cache.video.frame_index import Doubtful, FrameIndex, Keyframe, _index, index_frames
from aqa_cache.video.opening import opened
from aqa_cache.video.packets import Damage, read_packets


def packet(time, key=False, discard=False, side_data=()):
    return SimpleNamespace(
        pts=time,
        size=1,
        is_keyframe=key,
        is_discard=discard,
        has_sidedata=side_data.__contains__,
    )


def indexed(*packets, codec="vp9", end=None, more=()):
    context = SimpleNamespace(codec=SimpleNamespace(canonical_name=codec), extradata=None)
    flush = SimpleNamespace(size=0)
    return index_frames(itertools.chain(packets, more, [flush]), SimpleNamespace(codec_context=context), end)


def test_numbers_worked_by_hand():
    # Decoding order of an open GOP: pictures 5 and 6 follow keyframe 7 in the file, and are shown before it.
    index = indexed(
        packet(10, key=True),
        packet(13),
        packet(11),
        packet(12),
        packet(14),
        packet(17, key=True),
        packet(15),
        packet(16),
    )
    assert index == FrameIndex(
        [10, 11, 12, 13, 14, 15, 16, 17], [Keyframe(0, 0), Keyframe(7, 5)], complete=True
    )
    assert index.keyframe_before(6) == Keyframe(0, 0)
    assert index.keyframe_before(7) == Keyframe(7, 5)


def test_discarded_packets_are_no_frames():
    index = indexed(
        packet(0, key=True, discard=True), packet(1, discard=True), packet(2), packet(3, key=True), packet(4)
    )
    assert index.times == [2, 3, 4]
    assert index.keyframes == [Keyframe(0, 0), Keyframe(1, 3)]


def test_reading_ends_once_the_wanted_frames_are_known():
    packets = (packet(time, key=time % 10 == 0) for time in range(1000))
    index = indexed(*packets, end=25)
    assert not index.complete and len(index.times) == 40
    assert index.clip([(3, 5), (10, 25)]) == [(3, 5), (10, 25)]


@pytest.mark.parametrize(
    ("ranges", "inside"),
    [
        ([(2, 4), (6, 10)], [(2, 4), (6, 10)]),
        ([(2, 4), (6, 11)], [(2, 4), (6, 10)]),
        ([(2, 4), (6, None)], [(2, 4), (6, 10)]),
        ([(2, 4), (30, 40), (50, None)], [(2, 4), (9, 10)]),
    ],
)
def test_ranges_are_cut_to_the_frames_there_are(ranges, inside):
    assert FrameIndex(list(range(10)), [Keyframe(0, 0)], complete=True).clip(ranges) == inside


@pytest.mark.parametrize(
    ("packets", "why"),
    [
        ([packet(0, key=True), packet(None)], "has packets without a presentation time"),
        ([packet(0, key=True), packet(1), packet(1)], "has packets with the same presentation time"),
        ([packet(0), packet(1, key=True)], "does not begin with a keyframe"),
        ([packet(2, key=True), packet(1)], "has times that run backwards"),
        ([packet(0, key=True), packet(5), packet(3, key=True)], "has times that run backwards"),
        (
            [packet(0, key=True), packet(5, key=True), packet(9, key=True), packet(4)],
            "has times that run backwards",
        ),
        ([packet(0, key=True, side_data=["new_extradata"])], "changes its codec's parameters"),
        ([packet(0, key=True, side_data=["encryption_info"])], "is encrypted"),
        ([], "has no packets with a frame"),
        ([packet(0, key=True, discard=True)], "has no packets with a frame"),
    ],
)
def test_packets_that_do_not_tell_are_doubted(packets, why):
    with pytest.raises(Doubtful, match=why):
        indexed(*packets)


def test_damage_in_the_packets_is_doubted():
    def packets():
        yield packet(0, key=True)
        raise Damage("made up")

    with pytest.raises(Doubtful, match=r"is damaged somewhere \(made up\)"):
        indexed(more=packets())


def test_codecs_with_other_than_one_frame_per_packet_are_doubted():
    with pytest.raises(Doubtful, match="has packets of vp8, which may hold any number of frames"):
        indexed(packet(0, key=True), codec="vp8")


def test_it_is_what_decoding_gives(tmp_path):
    path = write_numbered_video(
        tmp_path / "variable.mkv", 90, g="30", times_ms=[40 * n + n % 7 for n in range(90)]
    )
    with opened(path, None) as (container, stream):
        index = index_frames(read_packets(path, container, stream), stream)
        seconds = [float(time * stream.time_base) for time in index.times]
    assert seconds == [frame.pts_seconds for frame in video.decode(path)]
    assert [one.number for one in index.keyframes] == [0, 30, 60]


def test_packets_that_are_thrown_away_are_no_frames():
    """An edit list throws packets away; the place of a packet is then not the number of its frame."""
    from types import SimpleNamespace

    packets = [
        SimpleNamespace(
            pts=place,
            is_corrupt=False,
            is_discard=place < 20,
            is_keyframe=place in (0, 100, 105, 200),
            has_sidedata=lambda _: False,
        )
        for place in range(300)
    ]
    for end in range(1, 280):
        index = _index(iter(packets), FieldReader("vp9", None), end)
        assert len(index.times) >= end and index.times[:end] == list(range(20, 20 + end))
