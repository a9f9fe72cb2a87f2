import pytest
from numbered_video import image_number, number_image

from aqa_cache.errors import VideoError
from aqa_cache.video.decoding import decode, expected_frames, probe


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
