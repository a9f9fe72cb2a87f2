import numpy as np
import pytest
from conftest import DATA, MEDIA, image_number, number_image

from aqa_cache.errors import VideoError
from aqa_cache.video import decode, expected_frames, probe

FRAMES = {
    "archery.avi": 131, "mma_demo.mp4": 280, "-video-with-dash-.mp4": 5, "av1.mkv": 125, "hevc.mp4": 10,
    "no_duration.webm": 74, "non_zero_start.mp4": 12, "odd_size_vp9.mp4": 25, "rotated.mp4": 17,
    "rotated_90_3_frames.mov": 3, "two_video_streams.mp4": 390, "variable_frame_rate.mp4": 300,
}  # fmt: skip


def test_frames_equal_ffmpeg_bit_for_bit():
    wanted = {int(path.stem[-6:]): np.load(path)["rgb_hwc"] for path in (DATA / "oracles").glob("*frame*.npz")}
    assert sorted(wanted) == [0, 9, 35]
    for frame in decode(MEDIA / "two_video_streams.mp4"):
        if frame.index in wanted:
            np.testing.assert_array_equal(frame.rgb(), wanted.pop(frame.index))
        if not wanted:
            return
    raise AssertionError("video ended early")


@pytest.mark.parametrize("name", FRAMES)
def test_packets_and_decoding_count_the_same_frames(name):
    info = probe(MEDIA / name)
    times = [frame.pts_seconds for frame in decode(MEDIA / name)]
    assert info.frames == len(times) == FRAMES[name]
    assert times == sorted(times)


def test_b_frames_come_in_presentation_order(numbered_video):
    assert [image_number(frame.rgb()) for frame in decode(numbered_video)] == list(range(300))


def test_codec_threads_change_nothing(numbered_video):
    one = [frame.rgb().copy() for frame in decode(numbered_video, threads=1)]
    two = [frame.rgb().copy() for frame in decode(numbered_video, threads=2)]
    np.testing.assert_array_equal(one, two)


def test_rotation_side_data_is_honoured():
    upright = next(decode(MEDIA / "rotated_90_3_frames.mov")).rgb()
    assert upright.shape == (568, 320, 3)  # stored 568 wide; keys of a keyboard, upright after a turn clockwise


def test_stream_can_be_chosen():
    assert probe(MEDIA / "two_video_streams.mp4").width == 480
    assert probe(MEDIA / "two_video_streams.mp4", stream=0).width == 320
    with pytest.raises(VideoError, match=r"has no video stream 1; choose one of \[0, 3\]"):
        probe(MEDIA / "two_video_streams.mp4", stream=1)


def test_damage_is_reported_after_the_last_good_frame():
    good = []
    with pytest.raises(VideoError, match="is damaged after frame 27: 28 frames can be read"):
        for frame in decode(MEDIA / "corrupted_after_28_frames.mp4"):
            good.append(frame.index)
    assert good == list(range(28))


def test_zero_bytes():
    with pytest.raises(VideoError, match="zero_bytes.webm: has zero bytes"):
        probe(MEDIA / "zero_bytes.webm")


def test_no_video_stream(tmp_path):
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match=r"has no video stream \(its streams: audio\)"):
        next(decode(path))


def test_not_a_video(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("not a video")
    with pytest.raises(VideoError, match="text.mp4: cannot be opened as a video"):
        next(decode(path))
    with pytest.raises(VideoError, match="no such video"):
        next(decode(tmp_path / "gone.mp4"))


def test_frame_folder_in_the_order_of_names(tmp_path):
    from PIL import Image

    for number in range(12):
        Image.fromarray(number_image(number)).save(tmp_path / f"{number + 1:06d}.png")
    (tmp_path / "Thumbs.db").write_text("no image")
    assert [image_number(frame.rgb()) for frame in decode(tmp_path)] == list(range(12))
    assert probe(tmp_path).frames == expected_frames(tmp_path) == 12
    assert probe(tmp_path).frame_rate is None


def test_damaged_image_is_named(tmp_path):
    (tmp_path / "000001.jpg").write_bytes(b"\xff\xd8 broken")
    with pytest.raises(VideoError, match="000001.jpg: cannot be read as an image"):
        next(decode(tmp_path)).rgb()


def frame_folder(folder, names):
    from PIL import Image

    for number, name in enumerate(names):
        Image.fromarray(number_image(number)).save(folder / name)
    return folder


def test_images_are_ordered_by_their_numbers(tmp_path):
    frame_folder(tmp_path, [f"img_{number}.png" for number in range(1, 13)])
    (tmp_path / "._img_1.png").write_bytes(b"what macOS leaves behind")
    assert [image_number(frame.rgb()) for frame in decode(tmp_path)] == list(range(12))


def test_a_gap_among_images_is_refused(tmp_path):
    frame_folder(tmp_path, ["000001.png", "000002.png", "000004.png"])
    with pytest.raises(VideoError, match="has images that jump from 000002.png to 000004.png"):
        next(decode(tmp_path))
