import io
import itertools
import math
import struct
from fractions import Fraction

import numpy as np
import pytest
from numbered_video import number_image, write_numbered_video

from aqa_cache.errors import VideoError
from aqa_cache.video.decoding import decode
from aqa_cache.video.orientation import AS_STORED, EXIF, of_display_matrix

ONE = 1 << 16
QUARTERS = [(1, 0), (0, 1), (-1, 0), (0, -1)]
EIGHT = [(*x, *y) for x, y in itertools.product(QUARTERS, QUARTERS) if x[0] * y[1] != x[1] * y[0]]


def display_matrix(a, b, c, d):
    return [round(a * ONE), round(b * ONE), 0, round(c * ONE), round(d * ONE), 0, 0, 0, 1 << 30]


def turned(degrees, mirrored=False):
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (cos, sin, sin, -cos) if mirrored else (cos, sin, -sin, cos)


def shown(stored, a, b, c, d):
    """Every pixel put where a display matrix of quarter turns says, one by one."""
    height, width = stored.shape[:2]
    right, down = np.meshgrid(np.arange(width), np.arange(height))
    right, down = a * right + c * down, b * right + d * down
    right, down = right - right.min(), down - down.min()
    picture = np.zeros((down.max() + 1, right.max() + 1, *stored.shape[2:]), stored.dtype)
    picture[down, right] = stored
    return picture


def write_turned_video(source, target, matrix):
    """A copy of an mp4 with another display matrix in its track header."""
    content = bytearray(source.read_bytes())
    place = content.index(b"tkhd") + 44
    content[place : place + 36] = struct.pack(">9i", *matrix)
    target.write_bytes(content)
    return target


@pytest.fixture(scope="module")
def plain_video(tmp_path_factory):
    return write_numbered_video(tmp_path_factory.mktemp("plain") / "plain.mp4", 3, grain=40)


def last_frame(path):
    *_, frame = decode(path)
    return frame.rgb().copy()


def test_eight_orientations_put_each_pixel_where_the_matrix_says():
    stored = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    pictures = set()
    for matrix in EIGHT:
        picture = of_display_matrix(display_matrix(*matrix)).upright(stored)
        np.testing.assert_array_equal(picture, shown(stored, *matrix))
        pictures.add(picture.tobytes())
    assert len(pictures) == len(EIGHT) == 8
    assert len(set(EXIF.values())) == 8


def test_videos_are_shown_as_their_matrix_says(plain_video, tmp_path):
    stored = last_frame(plain_video)
    for matrix in EIGHT:
        path = write_turned_video(plain_video, tmp_path / "turned.mp4", display_matrix(*matrix))
        np.testing.assert_array_equal(last_frame(path), shown(stored, *matrix), err_msg=str(matrix))


def test_frames_of_motion_jpeg_are_shown_as_their_exif_says(tmp_path):
    import av
    from PIL import Image

    images = {}
    for value in EXIF:
        exif = Image.Exif()
        exif[0x0112] = value
        jpeg = io.BytesIO()
        Image.fromarray(number_image(0b110)).save(jpeg, "JPEG", exif=exif)
        with av.open(str(tmp_path / f"{value}.mkv"), "w") as output:
            stream = output.add_stream("mjpeg", rate=25)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuvj420p"
            packet = av.Packet(jpeg.getvalue())
            packet.stream, packet.pts, packet.dts = stream, 0, 0
            packet.time_base, packet.is_keyframe = Fraction(1, 25), True
            output.mux(packet)
        images[value] = last_frame(tmp_path / f"{value}.mkv")
    for value, image in images.items():
        np.testing.assert_array_equal(image, EXIF[value].upright(images[1]), err_msg=str(value))


@pytest.mark.parametrize("mirrored", [False, True])
def test_within_a_degree_of_a_quarter_turn_is_one(mirrored):
    for quarter, off in itertools.product(range(0, 360, 90), (-0.99, -0.03, 0.03, 0.99)):
        exact = of_display_matrix(display_matrix(*turned(quarter, mirrored)))
        assert of_display_matrix(display_matrix(*turned(quarter + off, mirrored))) == exact
    for degrees in (1.1, 45, 88.9, -91.1, 181.1):
        with pytest.raises(ValueError, match=r"is rotated by .* degrees, expected a multiple of 90"):
            of_display_matrix(display_matrix(*turned(degrees, mirrored)))


def test_scale_changes_no_orientation():
    for a, b, c, d in EIGHT:
        larger = of_display_matrix(display_matrix(2 * a, 0.5 * b, 0.5 * c, 2 * d))
        assert larger == of_display_matrix(display_matrix(a, b, c, d))


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 1), (1, 1, 1, 1), (2, -1, -4, 2)])
def test_a_singular_matrix_is_none(plain_video, tmp_path, matrix):
    assert of_display_matrix(display_matrix(*matrix)) == AS_STORED
    path = write_turned_video(plain_video, tmp_path / "singular.mp4", display_matrix(*matrix))
    np.testing.assert_array_equal(last_frame(path), last_frame(plain_video))


def test_an_odd_angle_is_refused_with_its_number(plain_video, tmp_path):
    path = write_turned_video(plain_video, tmp_path / "slanted.mp4", display_matrix(*turned(30)))
    with pytest.raises(VideoError) as error:
        last_frame(path)
    assert str(error.value) == (
        "slanted.mp4: is rotated by 30 degrees, expected a multiple of 90; re-encode it upright"
    )
