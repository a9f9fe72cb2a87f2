"""What comes of videos that are legal but unusual, or broken: the right frames, or one true message."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from jumping_law import check_jumps, content
from media_law import remux
from numbered_video import image_number, number_image, write_numbered_video
from places import DATA, MEDIA, ROOT

from aqa_cache.errors import VideoError
from aqa_cache.video.decoding import decode
from aqa_cache.video.probing import probe

MORE_MEDIA = Path(os.environ.get("AQA_MEDIA", ROOT.parent / "shared" / "media"))
FRAMES = {
    "archery.avi": 131,
    "basketball.mp4": 300,
    "football_juggle.mp4": 247,
    "mma_demo.mp4": 280,
    "-video-with-dash-.mp4": 5,
    "av1.mkv": 125,
    "fields_then_frames.mp4": 124,
    "hevc.mp4": 10,
    "no_duration.webm": 74,
    "non_zero_start.mp4": 12,
    "odd_size_vp9.mp4": 25,
    "phone_rotated_vfr.mp4": 25,
    "rotated.mp4": 17,
    "rotated_90_3_frames.mov": 3,
    "two_video_streams.mp4": 390,
    "variable_frame_rate.mp4": 300,
}
ERRORS = {
    "corrupted_after_28_frames.mp4": "is damaged after frame 28: 29 frames can be read",
    "threads_differ.mkv": "is damaged after frame 41: 42 frames can be read (a picture is incomplete)",
    "zero_bytes.webm": "zero_bytes.webm: has zero bytes; copy or download it again",
}


def media(name: str) -> Path:
    for path in (MEDIA / name, DATA / "odd_media" / name, *MORE_MEDIA.rglob(name)):
        if path.exists():
            return path
    pytest.skip(
        f"{name} is too large for the repository and not in {MORE_MEDIA}; set AQA_MEDIA to its folder"
    )


def error_of(path: Path, **options) -> tuple[int, str]:
    """How many frames come before the error, and its message."""
    count = 0
    with pytest.raises(VideoError) as error:
        for frame in decode(path, **options):
            frame.rgb()
            count += 1
    return count, str(error.value)


def test_every_file_of_the_collection_has_its_outcome():
    known = FRAMES.keys() | ERRORS.keys()
    there = {
        path.name
        for folder in (MEDIA, DATA / "odd_media", MORE_MEDIA)
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert there <= known


@pytest.mark.parametrize("name", FRAMES)
def test_frames_are_counted_and_jumping_changes_nothing(name):
    path = media(name)
    times = [frame.pts_seconds for frame in decode(path)]
    assert probe(path).frames == FRAMES[name] == len(times)
    assert times == sorted(times)
    if FRAMES[name] > 20:
        large = FRAMES[name] == 390 or "football" in name or "fields" in name
        check_jumps(path, trials=2 if large else 4)


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_be_read_has_one_message(name):
    assert ERRORS[name] in error_of(media(name))[1]


@pytest.mark.parametrize("name", ["corrupted_after_28_frames.mp4", "threads_differ.mkv"])
def test_several_threads_do_not_move_the_damage(name, said):
    path = media(name)
    assert error_of(path, threads=4) == error_of(path)
    assert len(said) == 1 and "is damaged somewhere" in said[0]


def test_what_refers_to_a_damaged_picture_is_not_given():
    # Frames 42 and 43 are shown before the damaged one and decoded after it; what libav makes up for what
    # they take from it depends on the threads.
    frames = {}
    for threads in (1, 2, 4):
        frames[threads] = []
        with pytest.raises(VideoError):
            for frame in decode(media("threads_differ.mkv"), threads=threads):
                frames[threads].append(content(frame))
    assert frames[1] == frames[2] == frames[4] and len(frames[1]) == 42


def test_names_and_metadata_need_not_be_utf8(tmp_path):
    import av

    path = tmp_path / "titled.avi"
    with av.open(str(path), "w") as output:
        output.metadata["title"] = "a plain title"
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(number_image(5), format="rgb24")))
        output.mux(stream.encode(None))
    data = path.read_bytes()
    assert b"a plain title" in data
    path.write_bytes(data.replace(b"a plain title", b"\xe9\xff plain \xfe\xe8\xe9"))
    with pytest.raises(UnicodeDecodeError):
        av.open(str(path))
    assert [image_number(frame.rgb()) for frame in decode(path)] == [5]


def sound(path: Path, codec: str) -> Path:
    import av

    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=44100)
        for _ in range(3):
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 1152), np.float32), format="fltp", layout="mono"
            )
            silence.sample_rate = 44100
            output.mux(stream.encode(silence))
        output.mux(stream.encode(None))
    return path


def test_sound_alone_has_no_video_stream(tmp_path):
    path = sound(tmp_path / "sound.mp4", "aac")
    message = "sound.mp4: has no video stream (its streams: audio); name the file that has the pictures"
    assert error_of(path) == (0, f"{message}, or download or copy it again")
    with pytest.raises(VideoError, match="has no video stream"):
        probe(path)


def test_cover_art_is_no_video(tmp_path):
    from PIL import Image

    path = sound(tmp_path / "song.mp3", "libmp3lame")
    Image.new("RGB", (8, 8)).save(tmp_path / "cover.png")
    picture = b"\0image/png\0\3\0" + (tmp_path / "cover.png").read_bytes()
    frame = b"APIC" + len(picture).to_bytes(4, "big") + b"\0\0" + picture
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\3\0\0" + size + frame + path.read_bytes())
    assert "song.mp3: has no video stream (its streams: audio, cover art); name" in error_of(path)[1]


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif"])
def test_a_picture_is_a_video_of_one_frame(tmp_path, kind):
    from PIL import Image

    path = tmp_path / "one.mp4"
    Image.new("RGB", (1, 1)).save(path, format=kind)
    (frame,) = decode(path)
    assert frame.rgb().shape == (1, 1, 3)
    assert (probe(path).frames, probe(path).width, probe(path).height) == (1, 1, 1)


def test_an_encrypted_video_is_refused(tmp_path, said):
    key = {
        "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
        "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
    }
    path = write_numbered_video(
        tmp_path / "secret.mp4", 100, g="20", container={"encryption_scheme": "cenc-aes-ctr", **key}
    )
    message = "secret.mp4: is encrypted; decrypt it first: ffmpeg -decryption_key KEY -i IN -c copy OUT"
    assert error_of(path) == error_of(path, wanted=[(80, 90)]) == (0, message)
    assert not said
    with pytest.raises(VideoError, match="secret.mp4: is encrypted"):
        probe(path)


@pytest.mark.parametrize("suffix", ["mp4", "avi"])
@pytest.mark.parametrize("options", [{}, {"threads": 2}, {"wanted": [(0, 2), (40, None)]}])
def test_a_packet_cut_short_is_the_end(tmp_path, suffix, options):
    whole = write_numbered_video(
        tmp_path / "whole.mp4", 100, grain=20, bf="0", container={"movflags": "faststart"}
    )
    path = tmp_path / f"cut.{suffix}"
    if suffix == "avi":
        whole = write_numbered_video(tmp_path / "whole.avi", 100, grain=20, bf="0")
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    _, message = error_of(path, **options)
    with pytest.raises(VideoError) as probed:
        probe(path)
    assert message == str(probed.value)
    good = int(message.split(": ")[2].split()[0])
    assert f"is damaged after frame {good - 1}: {good} frames can be read (a packet is cut short" in message
    numbers = []
    with pytest.raises(VideoError):
        for frame in decode(path):
            numbers.append(image_number(frame.rgb()))
    assert numbers == list(range(good)) and 30 < good < 90


@pytest.mark.parametrize(("suffix", "promise"), [("mkv", "of about 100 frames"), ("ts", "the file is cut")])
def test_what_is_shorter_than_it_says_ends_early(tmp_path, suffix, promise):
    whole = write_numbered_video(tmp_path / f"whole.{suffix}", 100, grain=20, bf="0")
    path = tmp_path / f"shorter.{suffix}"
    path.write_bytes(whole.read_bytes()[:-4000])
    count, message = error_of(path)
    assert "ends early" in message and promise in message and 10 < count < 100
    with pytest.raises(VideoError, match="ends early"):
        probe(path)


def test_a_stream_may_end_between_its_packets(tmp_path):
    data = write_numbered_video(tmp_path / "whole.ts", 100, grain=20, bf="0").read_bytes()
    path = tmp_path / "shorter.ts"
    begins = [place for place in range(0, len(data), 188) if data[place + 1] & 64]  # of a frame or a table
    path.write_bytes(data[: begins[len(begins) // 2]])
    numbers = [image_number(frame.rgb()) for frame in decode(path)]
    assert numbers == list(range(probe(path).frames)) and 10 < len(numbers) < 100


def test_a_stream_that_begins_late_is_counted_from_the_first_frame_that_can_be_shown(tmp_path, said):
    whole = write_numbered_video(tmp_path / "whole.ts", 100, g="25")
    path = remux(whole, tmp_path / "late.ts", lambda number, data: data if number >= 10 else None)
    assert probe(path).frames == 75
    got = {frame.index: image_number(frame.rgb()) for frame in decode(path, wanted=[(40, 50)])}
    assert [got[index] for index in range(40, 50)] == list(range(65, 75))
    assert "does not begin with a keyframe" in said[0]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_missing_keyframe_at_the_start_is_said(tmp_path, suffix, said):
    whole = write_numbered_video(tmp_path / "whole.mp4", 100, g="25")
    path = remux(whole, tmp_path / f"late.{suffix}", lambda number, data: data if number else None)
    frames = [(frame.missing, image_number(frame.rgb())) for frame in decode(path)]
    assert frames[:74] == [(24, number) for number in range(25, 99)]  # the last hangs on libav's version
    assert said == [
        f"late.{suffix}: does not begin with a keyframe: 24 frames before the first that can be shown are"
        " lost; frames are numbered from that one."
    ]


@pytest.mark.parametrize("suffix", ["ts", "mkv"])
def test_joined_parts_give_the_frames_up_to_the_joint(tmp_path, suffix):
    # MPEG-TS: the counters of the second part begin anew, which looks like a loss; the frames that are still
    # in the decoder are whole.
    first = write_numbered_video(tmp_path / f"first.{suffix}", 41, g="20")
    second = write_numbered_video(tmp_path / f"second.{suffix}", 30, g="20")
    path = tmp_path / f"joined.{suffix}"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    numbers = []
    try:
        for frame in decode(path):
            numbers.append(image_number(frame.rgb()))
    except VideoError as error:
        assert f"is damaged after frame {len(numbers) - 1}" in str(error)
    assert numbers[:41] == list(range(41)) and numbers[41:] in ([], list(range(30)))


@pytest.mark.parametrize("bf", ["0", "3"])
def test_times_of_avi_are_those_of_its_frame_rate(tmp_path, bf):
    path = write_numbered_video(tmp_path / "times.avi", 100, bf=bf, g="20")
    for options in ({}, {"threads": 2}, {"wanted": [(60, 100)]}):
        for frame in decode(path, **options):
            assert frame.pts_seconds == frame.index / 25 and image_number(frame.rgb()) == frame.index


def test_hdr_is_said(tmp_path, said):
    path = write_numbered_video(tmp_path / "hdr.mp4", 50, **{"x264-params": "transfer=smpte2084"})
    for wanted in (None, [(40, 50)]):
        said.clear()
        list(decode(path, wanted=wanted))
        assert said == ["hdr.mp4: is HDR (PQ); its frames are not tone-mapped, and look pale beside others."]


def test_lost_packets_of_a_transport_stream_are_damage(tmp_path):
    data = write_numbered_video(tmp_path / "whole.ts", 100, grain=20).read_bytes()
    path = tmp_path / "lossy.ts"
    half = len(data) // 2 // 188 * 188
    path.write_bytes(data[:half] + data[half + 5 * 188 :])
    count, message = error_of(path)
    assert f"lossy.ts: is damaged after frame {count - 1}: {count} frames can be read (a packet" in message
    assert "if it was joined from parts, this mends it: ffmpeg -i IN -c copy OUT" in message


def test_no_frames_at_all(tmp_path):
    import av

    path = tmp_path / "empty.avi"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        output.start_encoding()
    assert (
        error_of(path) == error_of(path, wanted=[(50, 60)]) == (0, "empty.avi: holds no frames; get it again")
    )
    with pytest.raises(VideoError, match="empty.avi: holds no frames; get it again"):
        probe(path)


@pytest.mark.parametrize(("later", "expected"), [("4", []), ("0", ["has times that run backwards"])])
def test_the_size_may_change_inside_a_stream(tmp_path, later, expected, said):
    import av

    path = write_numbered_video(tmp_path / "first.ts", 60, g="20")
    container = {"mpegts_flags": "initial_discontinuity", "output_ts_offset": later}
    with av.open(str(tmp_path / "second.ts"), "w", options=container) as output:
        stream = output.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "20"})
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        for number in range(60, 120):
            image = np.kron(number_image(number), np.ones((2, 2, 1), np.uint8))
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode(None))
    path.write_bytes(path.read_bytes() + (tmp_path / "second.ts").read_bytes())
    sizes = [frame.rgb().shape[0] for frame in decode(path)]
    assert sizes == [64] * 60 + [128] * 60
    said.clear()
    wanted = {frame.index: frame.rgb() for frame in decode(path, wanted=[(5, 8), (100, 110)])}
    assert [image_number(wanted[number][::2, ::2]) for number in range(100, 110)] == list(range(100, 110))
    assert [line.split(": ")[1].split(";")[0] for line in said] == expected
    assert (50 in wanted) == bool(expected)


def test_hidden_frames_of_vp8_are_not_counted(tmp_path):
    # A reference frame that is never shown has a packet of its own; bit 4 of its first byte says so.
    shown = write_numbered_video(tmp_path / "shown.webm", 100, codec="libvpx", g="25", deadline="realtime")
    path = remux(
        shown,
        tmp_path / "hidden.webm",
        lambda number, data: bytes([data[0] & ~16 if number == 20 else data[0]]) + data[1:],
    )
    assert probe(path).frames == 99
    got = {frame.index: image_number(frame.rgb()) for frame in decode(path, wanted=[(60, 63)])}
    assert [got[number] for number in (60, 61, 62)] == [61, 62, 63]


def test_packed_b_frames_of_mpeg4(tmp_path):
    # DivX put a B-frame into the packet of the frame it is shown before, and an empty frame where it belongs.
    import av

    source = write_numbered_video(tmp_path / "source.avi", 61, codec="mpeg4", bf="1", g="30")
    with av.open(str(source)) as container:
        coded = [bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.size]
    packed: list[bytes] = []
    for data in coded:
        is_b_frame = data[data.index(b"\0\0\1\xb6") + 4] >> 6 == 2
        if is_b_frame:
            packed[-1] += data
            packed.append(b"\0\0\1\xb6\x50\x4f")  # coding type P, no time passed, not coded
        else:
            packed.append(data)
    path = remux(source, tmp_path / "packed.avi", lambda number, data: packed[number])
    # Only a stream that names DivX as its encoder is read this way; the name must keep its length.
    signed = re.sub(
        rb"Lavc[0-9.]+", lambda name: b"DivX503b".ljust(len(name[0]) - 1, b"1") + b"p", path.read_bytes()
    )
    path.write_bytes(signed)
    assert sum(len(data) == 6 for data in packed) == 30
    assert [image_number(frame.rgb()) for frame in decode(path)] == list(range(61))
    assert probe(path).frames == 61
