import itertools

import numpy as np
import pytest
from jumping_law import check_jumps, counted_pictures
from numbered_video import image_number, write_numbered_video
from places import DATA, MEDIA

from aqa_cache.errors import VideoError
from aqa_cache.video import decoder
from aqa_cache.video import decoding as video
from aqa_cache.video.decoder import Decoder, Stopped
from aqa_cache.video.decoding import decode
from aqa_cache.video.frame_index import FrameIndex, Keyframe
from aqa_cache.video.packets import Damage
from aqa_cache.video.probing import probe


def test_frames_equal_ffmpeg_bit_for_bit():
    wanted = {
        int(path.stem[-6:]): np.load(path)["rgb_hwc"] for path in (DATA / "oracles").glob("*frame*.npz")
    }
    assert sorted(wanted) == [0, 9, 35]
    for frame in decode(MEDIA / "two_video_streams.mp4"):
        if frame.index in wanted:
            np.testing.assert_array_equal(frame.rgb(), wanted.pop(frame.index))
        if not wanted:
            return
    raise AssertionError("video ended early")


def test_b_frames_come_in_presentation_order(numbered_video):
    assert [image_number(frame.rgb()) for frame in decode(numbered_video)] == list(range(300))


def test_codec_threads_change_nothing(numbered_video):
    one = [frame.rgb().copy() for frame in decode(numbered_video, threads=1)]
    two = [frame.rgb().copy() for frame in decode(numbered_video, threads=2)]
    np.testing.assert_array_equal(one, two)


def test_rotation_side_data_is_honoured():
    upright = next(decode(MEDIA / "rotated_90_3_frames.mov")).rgb()
    # stored 568 wide; keys of a keyboard, upright after a turn clockwise
    assert upright.shape == (568, 320, 3)


def test_stream_can_be_chosen():
    assert probe(MEDIA / "two_video_streams.mp4").width == 480
    assert probe(MEDIA / "two_video_streams.mp4", stream=0).width == 320
    with pytest.raises(VideoError, match=r"has no video stream 1; choose one of \[0, 3\]"):
        probe(MEDIA / "two_video_streams.mp4", stream=1)


def test_damage_is_reported_after_the_last_good_frame():
    good = []
    with pytest.raises(VideoError, match="is damaged after frame 28: 29 frames can be read"):
        for frame in decode(MEDIA / "corrupted_after_28_frames.mp4"):
            good.append(frame.index)
    assert good == list(range(29))  # the last was in the decoder when packet 30 could not be decoded


def test_not_a_video(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("not a video")
    with pytest.raises(VideoError, match="text.mp4: is text, not a video"):
        next(decode(path))
    with pytest.raises(VideoError, match="no such video"):
        next(decode(tmp_path / "gone.mp4"))


OPEN_GOP = {"g": "30", "preset": "medium", "x264-params": "open-gop=1:bframes=3:scenecut=0"}
OPEN_GOP_HEVC = {
    "codec": "libx265",
    "g": "30",
    "preset": "ultrafast",
    "x265-params": "open-gop=1:log-level=none",
}
VARIABLE = [40 * number + number * number % 17 + 3000 * (number > 100) for number in range(200)]
ALT_REF = {
    "g": "30",
    "auto-alt-ref": "1",
    "lag-in-frames": "16",
    "deadline": "good",
    "cpu-used": "8",
    "b": "200k",
}
# File name, options of the encoder.
JUMPED = {
    "closed GOP": ("closed.mp4", {"g": "30"}),
    "every frame a keyframe": ("intra.mp4", {"g": "1"}),
    "open GOP, MP4": ("open.mp4", OPEN_GOP),
    "open GOP, Matroska": ("open.mkv", OPEN_GOP),
    "open GOP, MPEG-TS": ("open.ts", OPEN_GOP),
    "variable frame rate": ("variable.mp4", {"g": "20", "times_ms": VARIABLE}),
    "late start": ("late.ts", {"g": "25", "container": {"output_ts_offset": "7000"}}),
    "fragmented MP4": ("fragmented.mp4", {"g": "30", "container": {"movflags": "frag_keyframe+empty_moov"}}),
    "AVI without B-frames": ("plain.avi", {"g": "30", "bf": "0"}),
    "open GOP, HEVC": ("hevc.mp4", OPEN_GOP_HEVC),
    "VP9 with alt-ref frames": ("vp9.webm", {"codec": "libvpx-vp9", **ALT_REF}),
    "MPEG-2": ("mpeg2.mpg", {"codec": "mpeg2video", "g": "15", "bf": "2"}),
}
NOT_JUMPED = {
    "AVI with B-frames": ("reordered.avi", {"g": "30"}, "is not where its packet promised it"),
    "intra refresh": (
        "refresh.mp4",
        {"g": "30", "preset": "medium", "x264-params": "intra-refresh=1"},
        "is not where its packet promised it",
    ),
    "VP8": (
        "vp8.webm",
        {"codec": "libvpx", "g": "30", "deadline": "realtime"},
        "has packets of vp8, which may hold any number of frames",
    ),
    "MPEG-4 part 2": (
        "part2.avi",
        {"codec": "mpeg4", "g": "30", "bf": "2"},
        "has packets of mpeg4, which may",
    ),
}


@pytest.mark.parametrize("case", JUMPED)
def test_jumping_changes_nothing_and_saves_decoding(tmp_path, case):
    name, options = JUMPED[case]
    path = write_numbered_video(tmp_path / name, 200, grain=20, **options)
    decoded, plain, said = check_jumps(path)
    assert decoded < 0.9 * plain and not said


@pytest.mark.parametrize("case", NOT_JUMPED)
def test_what_cannot_be_jumped_over_is_decoded_and_said(tmp_path, case):
    name, options, why = NOT_JUMPED[case]
    path = write_numbered_video(tmp_path / name, 200, grain=20, **options)
    _, _, said = check_jumps(path)
    assert said
    for line in said:
        assert line.startswith(f"{name}: ") and why in line
        assert line.endswith("; decoding it from its first frame, every frame, on one thread.")


def test_only_the_frames_from_the_keyframe_on_are_decoded(tmp_path):
    path = write_numbered_video(tmp_path / "long.mp4", 1000, g="50")
    with counted_pictures() as decoded:
        given = [frame.index for frame in decode(path, wanted=[(510, 520), (560, 570), (5000, 6000)])]
    assert given == [0, *range(510, 520), *range(560, 570), 999]
    # The first, which is always looked at; on from keyframe 500, past 550, which is too near to jump to; on
    # from the last keyframe.
    assert decoded == [1 + (570 - 500) + (1000 - 950)]


def test_reading_without_decoding_is_moving(tmp_path, monkeypatch):
    # On a slow disk, what is jumped over takes long; a thread that reads it does not hang.
    monkeypatch.setattr(decoder, "SIGN_OF_LIFE", 0)
    path = write_numbered_video(tmp_path / "long.mp4", 1000, g="50")
    calls = []
    next(frames := decode(path, wanted=[(0, 1), (950, 952)], go_on=lambda: calls.append(1) or True))
    before = len(calls)
    assert before > 950  # the packets from which it is known where frames are
    assert next(frames).index == 950 and len(calls) - before > 900  # those that are jumped over

    for count in (10, before + 10):
        left = iter([True] * (count - 1) + [False])
        with pytest.raises(Stopped):
            list(decode(path, wanted=[(0, 1), (950, 952)], go_on=left.__next__))
        assert next(left, None) is None


def test_a_short_gap_is_not_worth_an_index(numbered_video, monkeypatch):
    monkeypatch.setattr(video, "index_frames", None)
    given = [frame.index for frame in decode(numbered_video, wanted=[(10, 20), (40, 50)])]
    assert given == list(range(50))


def test_a_range_past_the_end_shows_where_the_end_is(numbered_video):
    for wanted in ([(200, 400)], [(100, 150), (300, 310)], [(5000, None)], [(0, 301)]):
        assert list(decode(numbered_video, wanted=wanted))[-1].index == 299


def test_nothing_wanted_nothing_decoded(numbered_video):
    assert list(decode(numbered_video, wanted=[])) == []


def test_what_was_given_out_is_not_given_twice(numbered_video, monkeypatch, said):
    # A decoder that fails on the way: the frames before come from the quick way, those after from the plain
    # one.
    read, calls = Decoder.pictures, []

    def failing(decoder):
        calls.append(decoder)
        for count, picture in enumerate(read(decoder)):
            if decoder is calls[0] and count == 60:
                raise Damage("made up")
            yield picture

    monkeypatch.setattr(Decoder, "pictures", failing)
    for wanted, threads in (([(5, 250), (290, 300)], 1), (None, 2)):
        calls.clear()
        said.clear()
        frames = [
            (frame.index, image_number(frame.rgb()))
            for frame in decode(numbered_video, wanted=wanted, threads=threads)
        ]
        assert [one for one in frames if one[0] >= 5] == [(number, number) for number in range(5, 300)]
        assert said == [
            "numbered.mp4: is damaged somewhere (made up); decoding it from its first frame, every frame, on"
            " one thread."
        ]


def test_frames_given_out_under_a_wrong_number_are_an_error(tmp_path, monkeypatch):
    # Packets that are no frames, in the part that was jumped over, cannot be seen until everything is
    # decoded.
    path = write_numbered_video(tmp_path / "hidden.mp4", 200, g="50")
    honest = video.index_frames

    def shifted(packets, stream, end=None):
        index = honest(packets, stream, end)
        return FrameIndex(
            [index.times[0], index.times[0] + 1, *index.times[1:]],
            [Keyframe(one.number + (one.number > 0), one.packet) for one in index.keyframes],
            index.complete,
        )

    monkeypatch.setattr(video, "index_frames", shifted)
    monkeypatch.setattr(video, "_shown_from", fail_after(5))
    with pytest.raises(
        VideoError,
        match="hidden.mp4: has packets that do not tell its frames, seen at frame 105; re-encode it",
    ):
        list(decode(path, wanted=[(101, 120)]))


def fail_after(count):
    def shown_from(time, pictures):
        yield from itertools.islice(pictures, count)

    return shown_from
