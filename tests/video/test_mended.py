"""Videos that earlier versions gave wrong frames of are known by a look, and no others are."""

import io
import os

import pytest
from containers import CONTAINERS
from numbered_video import number_image, write_numbered_video
from places import MEDIA

from aqa_cache.video.layout.mp4 import boxes, video_tracks
from aqa_cache.video.mended import why_mended


@pytest.mark.parametrize("name", [name for name in CONTAINERS if name != "v.avi"])
def test_a_plain_video_is_not_mended(tmp_path, name):
    codec, options = CONTAINERS[name]
    assert why_mended(write_numbered_video(tmp_path / name, 12, codec=codec, container=options)) is None


def test_of_the_real_files_only_the_avi_is(tmp_path):
    found = {path.name: why_mended(path) for path in MEDIA.iterdir()}
    assert [name for name, why in found.items() if why and not name.endswith(".avi")] == []


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts"])
@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"x264-params": "interlaced=1"}),
        ("libx264", {"x264-params": "interlaced=1:cqm=jvt"}),
        ("mpeg2video", {"flags": "+ildct+ilme"}),
    ],
)
def test_interlaced_streams_may_be_coded_by_fields(tmp_path, name, codec, options):
    video = write_numbered_video(tmp_path / name, 12, codec=codec, **options)
    assert why_mended(video).startswith("is interlaced, and if it is coded by fields")


@pytest.mark.parametrize(
    ("matrix", "mirrored"),
    [
        ((1, 0, 0, 1), False),
        ((0, 1, -1, 0), False),
        ((-1, 0, 0, -1), False),
        ((0, 0, 0, 0), False),
        ((-1, 0, 0, 1), True),
        ((1, 0, 0, -1), True),
        ((0, 1, 1, 0), True),
    ],
)
def test_matrices_that_mirror(tmp_path, matrix, mirrored):
    content = bytearray(write_numbered_video(tmp_path / "v.mp4", 12).read_bytes())
    plain = b"".join(value.to_bytes(4, "big") for value in (1 << 16, 0, 0, 0, 1 << 16, 0))
    a, b, c, d = ((value << 16).to_bytes(4, "big", signed=True) for value in matrix)
    place = content.index(plain, content.index(b"tkhd"))
    content[place : place + 24] = a + b + bytes(4) + c + d + bytes(4)
    (tmp_path / "v.mp4").write_bytes(content)
    assert video_tracks(tmp_path / "v.mp4")[0].matrix == matrix
    assert (why_mended(tmp_path / "v.mp4") == "is shown mirrored, and its frames were not") == mirrored


def test_files_that_are_cut_where_their_header_tells(tmp_path):
    for name, (codec, options) in CONTAINERS.items():
        video = write_numbered_video(tmp_path / name, 12, codec=codec, container=options)
        video.write_bytes(video.read_bytes()[:-300])
        told = why_mended(video) == "is shorter than its header says, which was not noticed"
        assert told == (name != "v.ts")


def test_files_that_do_not_begin_with_a_keyframe(tmp_path):
    import av

    source = write_numbered_video(tmp_path / "whole.mp4", 12, g="6")
    for suffix, mended in (("mp4", True), ("mkv", True), ("ts", False)):
        with av.open(str(source)) as container, av.open(str(tmp_path / f"v.{suffix}"), "w") as output:
            stream = output.add_stream_from_template(container.streams.video[0])
            for number, packet in enumerate(container.demux(video=0)):
                if number and packet.size:
                    packet.stream = stream
                    output.mux(packet)
        why = why_mended(tmp_path / f"v.{suffix}") or ""
        assert why.startswith("does not begin with a keyframe") == mended


def test_avi_for_its_times(tmp_path):
    video = write_numbered_video(tmp_path / "v.avi", 12, codec="mpeg4")
    assert why_mended(video) == "is AVI, whose clip times came late"
    video.rename(tmp_path / "v.mp4")
    assert why_mended(tmp_path / "v.mp4") == "is AVI, whose clip times came late"


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["1", "2", "10"], None),
        (["a", "b", "c"], None),
        (["frame_01", "frame_02"], None),
        (["1", "2", "10", "poster"], "has images whose names leave their order open"),
        (["1", "2", "10", "3 (copy)"], "has images whose names leave their order open"),
        (["f (1)", "f (2)", "f (10)"], "has numbers in the middle of its images' names"),
        (["f (1)", "f (2)", "f (3)"], None),
    ],
)
def test_names_whose_order_changed(tmp_path, names, why):
    from PIL import Image

    numbers = range(len(names))
    for number, name in zip(numbers, names, strict=True):
        Image.fromarray(number_image(number)).save(tmp_path / f"{name}.jpg")
    if names[:3] == ["1", "2", "10"]:  # without a gap
        (tmp_path / "10.jpg").rename(tmp_path / "3.jpg")
    found = why_mended(tmp_path)
    assert found is None if why is None else found.startswith(why)


@pytest.mark.parametrize(
    ("mode", "suffix", "orientation", "why"),
    [
        ("RGB", "png", None, None),
        ("L", "tif", None, None),
        ("RGB", "jpg", 1, None),
        ("I;16", "png", None, "has images of 16 bits or floating point"),
        ("I;16", "tif", None, "has images of 16 bits or floating point"),
        ("F", "tif", None, "has images of 16 bits or floating point"),
        ("RGB", "jpg", 6, "has images with an EXIF orientation"),
        ("L", "webp", 3, "has images with an EXIF orientation"),
    ],
)
def test_images_that_came_out_otherwise(tmp_path, mode, suffix, orientation, why):
    from PIL import Image

    for number in range(3):
        exif = Image.Exif()
        if orientation and number:  # not the first
            exif[0x0112] = orientation
        Image.new(mode, (8, 8)).save(tmp_path / f"{number}.{suffix}", exif=exif)
    found = why_mended(tmp_path)
    assert found is None if why is None else found.startswith(why)


def test_what_cannot_be_looked_at_is_not_called_mended(tmp_path):
    assert why_mended(tmp_path / "gone.mp4") is None
    (tmp_path / "text.mp4").write_text("no video")
    assert why_mended(tmp_path / "text.mp4") is None
    video = write_numbered_video(tmp_path / "v.mp4", 12)
    content = video.read_bytes()
    index = next(box for box in boxes(io.BytesIO(content), 0, len(content)) if box.kind == b"moov")
    video.write_bytes(content[: index.start] + os.urandom(index.end - index.start))
    assert why_mended(video) is None
