import pytest
from numbered_video import image_number, number_image

from aqa_cache.errors import VideoError
from aqa_cache.video.decoding import decode, expected_frames, probe
from aqa_cache.video.frame_folder import list_images

NAMES = {
    "numbers": lambda number: f"{number}.png",
    "padded": lambda number: f"{number:06d}.png",
    "prefix": lambda number: f"img_{number}.png",
    "brackets": lambda number: f"frame ({number}).png",
    "side": lambda number: f"{number}_left.png",
    "padded side": lambda number: f"{number:03d}_left.png",
    "constant numbers": lambda number: f"video2_{number}_720.png",
    "case and suffix": lambda number: f"IMG{number}.PNG" if number % 2 else f"img{number}.png",
    "number and time": lambda number: f"{40 * number:04d}ms_{number}.png",
    "times": lambda number: f"t{40 * number}ms.png",
    "padded pairs": lambda number: f"{number // 5:02d}-{number % 5:02d}s.png",
    "letters": lambda number: f"{chr(ord('a') + number)}.png",
}


def touch_images(folder, names):
    for name in names:
        (folder / name).touch()
    return folder


def write_images(folder, names):
    from PIL import Image

    for number, name in enumerate(names):
        Image.fromarray(number_image(number)).save(folder / name)
    return folder


def test_frame_folder_in_the_order_of_names(tmp_path):
    write_images(tmp_path, [f"{number:06d}.png" for number in range(1, 13)])
    (tmp_path / "Thumbs.db").write_text("no image")
    (tmp_path / "._000001.png").write_bytes(b"what macOS leaves behind")
    assert [image_number(frame.rgb()) for frame in decode(tmp_path)] == list(range(12))
    assert probe(tmp_path).frames == expected_frames(tmp_path) == 12
    assert probe(tmp_path).frame_rate is None


@pytest.mark.parametrize("first", [0, 1, 98])
@pytest.mark.parametrize("naming", NAMES)
def test_images_are_ordered_by_their_numbers(tmp_path, naming, first):
    if naming == "letters":
        first = 0
    names = [NAMES[naming](number) for number in range(first, first + 12)]
    touch_images(tmp_path, names)
    assert [image.name for image in list_images(tmp_path)] == names


@pytest.mark.parametrize(
    "stray",
    [
        "poster.jpg",
        "3 (copy).png",
        "3 copy 2.png",
        "cover_0.jpg",
        "thumb13.png",
        "3_mask.png",
        "contact sheet 2024-01-05.webp",
    ],
)
@pytest.mark.parametrize("naming", [name for name in NAMES if name != "letters"])
def test_a_stray_image_is_refused_by_name(tmp_path, naming, stray):
    touch_images(tmp_path, [NAMES[naming](number) for number in range(1, 13)])
    (tmp_path / stray).touch()
    with pytest.raises(VideoError) as error:
        next(decode(tmp_path))
    usual = min(image.name for image in tmp_path.iterdir() if image.name != stray)
    assert str(error.value) == (
        f"{tmp_path.name}: has {stray} beside 12 images named like {usual}, so the order of its frames is not"
        " known; move out what is no frame, and name frames by number, such as 000001.jpg, 000002.jpg, ..."
    )
    assert expected_frames(tmp_path) == 0


def test_two_series_in_one_folder_are_refused(tmp_path):
    touch_images(tmp_path, [f"{side}_{number:03d}.jpg" for side in ("flow", "rgb") for number in range(9)])
    with pytest.raises(VideoError, match=r"has rgb_000.jpg, rgb_001.jpg, rgb_002.jpg and 6 more beside 9"):
        list_images(tmp_path)


@pytest.mark.parametrize("names", [("1.png", "2.jpg", "2.png"), ("1_l.jpg", "2_l.jpg", "02_l.jpg")])
def test_two_images_of_one_number_are_refused(tmp_path, names):
    touch_images(tmp_path, names)
    with pytest.raises(
        VideoError, match=f"has two images of number 2, {min(names[1:])} and {max(names[1:])}"
    ):
        list_images(tmp_path)


def test_numbers_that_leave_the_order_open_are_refused(tmp_path):
    touch_images(tmp_path, [f"{time:.2f}s.jpg".replace(".", "_", 1) for time in (0.5, 9.75, 10.25)])
    with pytest.raises(VideoError, match="has images that differ in more than one number"):
        list_images(tmp_path)


@pytest.mark.parametrize("name", ["{:06d}.png", "{}_720.png"])
def test_a_gap_among_images_is_refused(tmp_path, name):
    touch_images(tmp_path, [name.format(number) for number in (1, 2, 4)])
    jump = f"has images that jump from {name.format(2)} to {name.format(4)}"
    with pytest.raises(VideoError, match=jump):
        next(decode(tmp_path))


def test_damaged_image_is_named(tmp_path):
    (tmp_path / "000001.jpg").write_bytes(b"\xff\xd8 broken")
    with pytest.raises(VideoError, match="000001.jpg: cannot be read as an image"):
        next(decode(tmp_path)).rgb()
