"""Whatever cannot be decoded gives one message: the cause, as far as it can be known, and a next step."""

import io
import re
import zipfile

import av
import pytest
from containers import CONTAINERS
from numbered_video import image_number, write_numbered_video
from PIL import Image

from aqa_cache.errors import VideoError
from aqa_cache.video.decoding import decode
from aqa_cache.video.demuxers import OPTIONS
from aqa_cache.video.layout.mp4 import boxes, video_tracks
from aqa_cache.video.layout.promised import promised_bytes
from aqa_cache.video.mended import why_mended
from aqa_cache.video.probing import probe
from aqa_cache.video.unreadable import what_to_do

NEXT_STEP = re.compile(
    r"(download|copy) it( or copy it)? again|download or copy it again|re-encode it: ffmpeg|unpack it"
    r"|git lfs pull|download the video itself|fetch the video|name the|get it again"
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of one small video in each container."""
    folder = tmp_path_factory.mktemp("containers")
    return {
        name: write_numbered_video(folder / name, 12, codec=codec, container=options).read_bytes()
        for name, (codec, options) in CONTAINERS.items()
    }


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("v.mp4", content)
    return file.getvalue()


def outcome(path) -> str:
    """The message, empty where frames came; whatever came before it is right."""
    numbers = []
    try:
        for frame in decode(path):
            numbers.append(image_number(frame.rgb()))
    except VideoError as error:
        assert "\n" not in str(error) and str(error).startswith(path.name)
        return "" if numbers else str(error)
    return ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has zero bytes; copy or download it again"),
        (bytes(5000), "has nothing but zeros at its beginning"),
        (b"<!DOCTYPE html>\n<html><head><title>Sign in</title>", "is an HTML page, not a video"),
        (b"\xef\xbb\xbf\n <html lang='pt'>" + 900 * "Não há".encode(), "is an HTML page, not a video"),
        (b'{"error": "quota exceeded"}', 'is text, not a video (it begins \'{"error": "quota exceeded"}\')'),
        ("não há vídeo".encode("utf-16"), "is text, not a video (it begins 'não há vídeo')"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a Git LFS pointer"),
        (zipped(b"video"), "is a ZIP archive, not a video; unpack it"),
        (b"%PDF-1.7 \xff", "is a PDF document, not a video"),
        (bytes(range(1, 256)) * 30, "its first bytes do not tell why; if a player shows it, re-encode it"),
        (b"\x01", "its first bytes do not tell why"),
        (b"ffconcat version 1.0\nfile whole.mp4\n", "is a list of other files, and only what lies in a file"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nwhole.ts\n", "is a list of other files"),
        (b'<?xml version="1.0"?>\n<MPD type="static">', "is a list of other files"),
        (b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n", "is a list of other files"),
    ],
)
def test_what_is_no_video_is_named(tmp_path, content, message):
    (tmp_path / "v.mp4").write_bytes(content)
    said = outcome(tmp_path / "v.mp4")
    assert message in said and NEXT_STEP.search(said)


@pytest.mark.parametrize(
    "script",
    [
        "ffconcat version 1.0\nfile whole.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nv.ts\n#EXT-X-ENDLIST\n",
    ],
)
def test_no_neighbour_is_read_through_a_list_of_files(tmp_path, whole, script):
    (tmp_path / "whole.mp4").write_bytes(whole["v.mp4"])
    (tmp_path / "v.ts").write_bytes(whole["v.ts"])
    for name in ("list.mp4", "list.m3u8"):
        (tmp_path / name).write_text(script)
        with pytest.raises(VideoError, match="is a list of other files"):
            next(decode(tmp_path / name))
        with pytest.raises(VideoError, match="is a list of other files"):
            probe(tmp_path / name)
        assert why_mended(tmp_path / name) is None


def test_no_numbered_neighbours_are_read_by_a_pattern(tmp_path):
    for name in ("1.png", "2.png", "%d.png"):
        Image.new("RGB", (16, 16)).save(tmp_path / name)
    with pytest.raises(VideoError, match="cannot be opened as a video"):
        next(decode(tmp_path / "%d.png"))


@pytest.mark.parametrize(
    ("written", "codec"),
    [
        ("asf", "wmv2"),
        ("avi", "mpeg4"),
        ("dv", "dvvideo"),
        ("flv", "flv1"),
        ("gif", "gif"),
        ("apng", "apng"),
        ("gxf", "mpeg2video"),
        ("h263", "h263"),
        ("h264", "libx264"),
        ("hevc", "libx265"),
        ("ivf", "libvpx"),
        ("m4v", "mpeg4"),
        ("matroska", "ffv1"),
        ("mjpeg", "mjpeg"),
        ("mov", "mjpeg"),
        ("mp4", "libx264"),
        ("mpeg", "mpeg1video"),
        ("mpeg2video", "mpeg2video"),
        ("mpegts", "mpeg2video"),
        ("mxf", "mpeg2video"),
        ("nut", "mpeg4"),
        ("ogg", "libvpx"),
        ("rm", "rv10"),
        ("vob", "mpeg2video"),
        ("webm", "libvpx"),
        ("wtv", "mpeg2video"),
        ("yuv4mpegpipe", "wrapped_avframe"),
    ],
)
def test_every_kind_of_file_that_holds_its_own_pictures_is_read(tmp_path, written, codec):
    with av.open(str(tmp_path / "v"), "w", format=written) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = (720, 576) if written in ("dv", "gxf", "mxf") else (176, 144)
        names = [one.name for one in stream.codec.video_formats or ()]
        stream.pix_fmt = {"mjpeg": "yuvj420p"}.get(codec) or (
            names[0] if names and "yuv420p" not in names else "yuv420p"
        )
        for number in range(8):
            picture = av.VideoFrame(stream.width, stream.height, "rgb24").reformat(format=stream.pix_fmt)
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    with av.open(str(tmp_path / "v"), container_options=OPTIONS) as container:
        assert next(container.decode(video=0)).width == stream.width
    assert sum(1 for _ in decode(tmp_path / "v"))


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_file_cut_anywhere_gives_frames_or_a_message_with_a_next_step(tmp_path, whole, name):
    content = whole[name]
    points = [1, 3, 8, 20, *range(40, 700, 90), *range(700, len(content), max(90, len(content) // 25))]
    for point in points:
        (tmp_path / name).write_bytes(content[:point])
        said = outcome(tmp_path / name)
        assert not said or NEXT_STEP.search(said), f"cut after {point} bytes: {said}"


def test_a_cut_index_is_told_from_one_that_is_missing(tmp_path, whole):
    content = whole["v.mp4"]
    path = tmp_path / "v.mp4"
    index = next(box for box in boxes(io.BytesIO(content), 0, len(content)) if box.kind == b"moov")
    for point in range(index.start, index.end, 23):
        path.write_bytes(content[:point])
        said = outcome(path)
        if said and "frames can be read" not in said and "holds no frames" not in said:
            assert f"is cut inside its index (the moov atom), {point:,} of at least" in said
    path.write_bytes(content[: index.start - 8])
    assert "has no index (no moov atom): a recording or download that did not finish" in outcome(path)
    path.write_bytes(content[: index.start - 100])
    assert f"has no index (no moov atom) and it is cut, {index.start - 100:,} of at least" in outcome(path)
    with pytest.raises(VideoError, match="has no index"):
        probe(path)


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_headers_promise_is_what_a_whole_file_has(tmp_path, whole, name):
    content, path = whole[name], tmp_path / name
    path.write_bytes(content)
    if name == "v.ts":
        assert promised_bytes(path) is None
        return
    assert promised_bytes(path) == len(content)
    path.write_bytes(content[: 3 * len(content) // 4 + 1])
    assert promised_bytes(path) > 3 * len(content) // 4 + 1


def test_a_codec_without_a_decoder_is_named(tmp_path, whole):
    (tmp_path / "v.mp4").write_bytes(whole["v.mp4"].replace(b"avc1", b"xyz1"))
    assert "has no decoder here for its codec (xyz1); re-encode it: ffmpeg" in outcome(tmp_path / "v.mp4")
    assert [track.codec for track in video_tracks(tmp_path / "v.mp4")] == ["xyz1"]


def test_a_video_of_which_nothing_can_be_decoded_has_a_next_step(tmp_path, whole):
    content = bytearray(whole["front.mp4"])
    start = next(box for box in boxes(io.BytesIO(content), 0, len(content)) if box.kind == b"mdat").start
    content[start:] = b"\xff" * (len(content) - start)
    (tmp_path / "v.mp4").write_bytes(content)
    said = outcome(tmp_path / "v.mp4")
    assert "damaged from its first frame on" in said and NEXT_STEP.search(said)
    assert "does not know this kind of its codec" in what_to_do(
        tmp_path / "v.mp4", "Function not implemented"
    )
