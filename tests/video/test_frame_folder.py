import io
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numbered_video import image_number, number_image

from aqa_cache.annotations import Sample
from aqa_cache.clips.preprocess import MTL_AQA, FramePreparer
from aqa_cache.clips.rule import ClipRule
from aqa_cache.errors import VideoError
from aqa_cache.video.decoding import decode
from aqa_cache.video.frame_folder import list_images, read_image
from aqa_cache.video.probing import expected_frames, probe
from aqa_cache.video.reader import Outcome, VideoReader

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


def stored(image, suffix, **options) -> bytes:
    target = io.BytesIO()
    image.save(target, {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper()), **options)
    return target.getvalue()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_images_are_shown_as_their_exif_says(tmp_path, suffix, mode):
    from PIL import Image, ImageOps

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8))
    shapes = []
    for value in (*range(1, 9), 0, 9):
        exif = Image.Exif()
        exif[0x0112] = value
        content = stored(picture.convert(mode), suffix, exif=exif)
        with Image.open(io.BytesIO(content)) as image:
            shown = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        upright = read_image(written(tmp_path / f"{value}{suffix}", content))
        np.testing.assert_array_equal(upright, shown, err_msg=str(value))
        shapes.append(upright.shape)
    assert shapes == 4 * [(24, 40, 3)] + 4 * [(40, 24, 3)] + 2 * [(24, 40, 3)]


def test_damaged_exif_does_not_damage_the_picture(tmp_path):
    from PIL import Image

    content = stored(Image.fromarray(number_image(5)), ".png", exif=b"Exif\0\0no header of TIFF")
    assert image_number(read_image(written(tmp_path / "1.png", content))) == 5


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_images_of_eight_bits_give_their_colours(tmp_path, mode):
    from PIL import Image

    picture = Image.fromarray(number_image(0b1010)).convert(mode)
    if "A" in mode:
        picture.putalpha(7)
    np.testing.assert_array_equal(
        read_image(written(tmp_path / "1.png", stored(picture, ".png"))), number_image(0b1010)
    )


def test_transparent_colours_of_a_palette_change_nothing(tmp_path):
    from PIL import Image

    palette = Image.fromarray(number_image(0b1010)).convert("P")
    content = stored(palette, ".png", transparency=bytes(range(200)))
    np.testing.assert_array_equal(read_image(written(tmp_path / "1.png", content)), number_image(0b1010))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("of_eight", [lambda grey: grey * 257, lambda grey: grey << 8])
def test_grey_of_sixteen_bits_is_the_same_frame_as_of_eight(tmp_path, suffix, of_eight):
    from PIL import Image

    grey = np.arange(256, dtype=np.uint16).reshape(8, 32)
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [
        read_image(
            written(tmp_path / f"{number}{suffix}", stored(Image.fromarray(values), suffix, exif=exif))
        )
        for number, values in enumerate((grey.astype(np.uint8), of_eight(grey)))
    ]
    np.testing.assert_array_equal(*frames)
    assert frames[0].shape == (32, 8, 3)


@pytest.mark.parametrize(("dtype", "mode"), [(np.float32, "F"), (np.int32, "I")])
def test_images_of_unknown_white_are_refused_by_name(tmp_path, dtype, mode):
    from PIL import Image

    written(tmp_path / "007.tif", stored(Image.fromarray(np.ones((8, 8), dtype)), ".tif"))
    with pytest.raises(VideoError) as error:
        next(decode(tmp_path)).rgb()
    assert str(error.value) == (
        f"{tmp_path.name}: has an image of mode {mode}, 007.tif; expected 8 or 16 bits per channel, unsigned,"
        " with white at the largest value; convert its images"
    )


@pytest.mark.parametrize("kind", ["EPS", "GIF", "PPM"])
def test_only_formats_of_frames_are_opened(tmp_path, monkeypatch, kind):
    from PIL import Image

    def no_program(*_, **__):
        raise AssertionError("an image started a program")

    for name in ("Popen", "run", "call", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, name, no_program)
    Image.fromarray(number_image(3)).save(tmp_path / "000001.png", kind)
    with pytest.raises(VideoError) as error:
        next(decode(tmp_path)).rgb()
    assert str(error.value) == (
        f"{tmp_path.name}: has an image that cannot be read, 000001.png (is none of BMP, JPEG, PNG, TIFF,"
        " WEBP); get it again"
    )


def outcomes(folder, samples):
    reader = VideoReader(folder, dict(enumerate(samples)), ClipRule(clip_len=4))
    return [item for item in reader.read(FramePreparer(MTL_AQA)) if isinstance(item, Outcome)]


@pytest.mark.parametrize("damaged", [5, 7, 8])
def test_a_damaged_image_is_named_and_what_comes_before_it_is_taken(tmp_path, damaged):
    write_images(tmp_path, [f"{number:03d}.jpg" for number in range(1, 13)])
    path = tmp_path / f"{damaged:03d}.jpg"
    path.write_bytes(path.read_bytes()[:200])
    before, across, whole = outcomes(
        tmp_path, [Sample("before", "v", 0, 4), Sample("across", "v", 4, 8), Sample("whole", "v")]
    )
    assert (before.reason, before.clips) == ("", (1,))
    image = f"has an image that cannot be read, {path.name} ("
    assert across.reason.startswith(f"needs frames [4, 8) but the video {image}")
    assert whole.reason.startswith(image) and whole.reason.endswith("); get it again")


def test_whatever_the_bytes_an_image_is_read_or_named(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = [
        stored(Image.fromarray(number_image(5)), suffix, exif=exif)
        for suffix in (".jpg", ".png", ".webp", ".tif")
    ]
    read = 0
    for number in range(400):
        content = bytearray(whole[number % len(whole)])
        if number % 3:
            for place in rng.integers(0, min(len(content), 200), rng.integers(1, 9)):
                content[place] = rng.integers(256)
        else:
            del content[rng.integers(len(content)) :]
        try:
            frame = read_image(written(tmp_path / "1.jpg", bytes(content)))
        except VideoError as error:
            assert "1.jpg (" in str(error) or "1.jpg;" in str(error)
        else:
            read += 1
            assert frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
    assert 0 < read < 400
