"""What is found in a folder, what is left out and said, and names that are spelt otherwise."""

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from click.testing import CliRunner
from numbered_video import image_number, number_image, write_numbered_video
from small_extraction import CONFIG, contents

from aqa_cache.annotations import Sample, read_annotations, write_annotations
from aqa_cache.errors import AqaError
from aqa_cache.extraction.run import extract
from aqa_cache.extraction.sources import find_samples
from aqa_cache.video.decoding import decode
from aqa_cache.video.missing import why_missing
from aqa_cache.video.probing import probe
from aqa_cache.video.recognition import VIDEO_SUFFIXES
from aqa_cli.extract import main as aqa_extract


def folder_with(place: Path, *names: str) -> Path:
    """A folder with empty files of these names."""
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).touch()
    return place


def found(folder: Path) -> list[str]:
    return [sample.video for sample in find_samples(folder).samples]


def test_files_of_every_known_suffix_are_found_and_no_other_is_left_out_in_silence(tmp_path):
    known = [f"v{number}{suffix}" for number, suffix in enumerate(sorted(VIDEO_SUFFIXES))]
    folder_with(tmp_path, *known, "UPPER.VOB", "logo.gif", "a.xyz", "b.xyz", "c.xyz", "README")
    source = find_samples(tmp_path)
    assert {sample.video for sample in source.samples} == {*known, "UPPER.VOB"}
    assert source.notes == (
        "Left out, since their names are not those of videos: 3 .xyz (a.xyz, …), README, logo.gif",
    )


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("v.vob", "mpeg2video", {}),
        ("v.mxf", "mpeg2video", {}),
        ("v.asf", "wmv2", {}),
        ("v.m2v", "mpeg2video", {}),
        ("v.mjpeg", "mjpeg", {"strict": "unofficial"}),
        ("v.f4v", "libx264", {}),
        ("v.3g2", "mpeg4", {}),
        ("v.y4m", "rawvideo", {}),
        ("v.ivf", "libvpx", {}),
    ],
)
def test_videos_of_suffixes_that_were_not_known_have_their_frames(tmp_path, name, codec, options):
    video = write_numbered_video(tmp_path / name, 20, codec=codec, **options)
    assert found(tmp_path) == [name] and probe(video).frames == 20
    assert [image_number(frame.rgb()) for frame in decode(video)] == list(range(20))


@pytest.mark.parametrize(
    ("names", "videos", "left_out"),
    [
        (["cover.jpg", "day/v.mp4"], ["day/v.mp4"], "cover.jpg"),
        (["cover.jpg", "day/raw/v.mp4", "other.mp4"], ["day/raw/v.mp4", "other.mp4"], "cover.jpg"),
        (["a/thumb.png", "a/raw/v.mp4", "b.mp4"], ["a/raw/v.mp4", "b.mp4"], "a/thumb.png"),
        (["cover.jpg", "dive/1.jpg", "dive/2.jpg"], ["dive"], "cover.jpg"),
        (["a/1.jpg", "a/2.jpg", "a/thumbs/1.jpg"], ["a"], ""),
        (["a/1.jpg", "a/2.jpg", "a/raw/v.mp4"], ["a/raw/v.mp4"], "2 .jpg (a/1.jpg, …)"),
        (["a/first.jpg", "a/second.jpg"], ["a"], ""),
        (["a/first.jpg", "a/notes/readme.txt"], ["a"], ""),
    ],
)
def test_a_picture_hides_no_video_and_no_thumbnail_hides_frames(tmp_path, names, videos, left_out):
    source = find_samples(folder_with(tmp_path, *names))
    assert [sample.video for sample in source.samples] == videos
    line = f"Left out, since their names are not those of videos: {left_out}"
    assert source.notes == ((line,) if left_out else ())


def test_links_that_lead_back_give_every_video_once_under_its_own_name(tmp_path):
    folder = folder_with(tmp_path / "in", "set/b/v.mp4")
    (folder / "set/a").symlink_to(folder / "set/b")
    (folder / "set/b/back").symlink_to("..")
    (folder / "set/b/self").symlink_to(".")
    (folder / "elsewhere").symlink_to(folder_with(tmp_path / "out", "w.mp4"))
    source = find_samples(folder)
    assert [sample.video for sample in source.samples] == ["elsewhere/w.mp4", "set/b/v.mp4"]
    assert source.notes == (
        "Left out, since they link to folders that are here already: set/a, set/b/back, set/b/self",
    )


def test_a_link_beside_frames_does_not_make_them_pictures(tmp_path):
    folder_with(tmp_path, "v.mp4", "dive/1.jpg", "dive/2.jpg")
    (tmp_path / "dive/up").symlink_to("..")
    assert found(tmp_path) == ["dive", "v.mp4"]
    folder = folder_with(tmp_path / "links", "cover.jpg")
    (folder / "day").symlink_to(folder_with(tmp_path / "elsewhere", "w.mp4"))
    assert found(folder) == ["day/w.mp4"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    folder_with(tmp_path, "v.mp4", "locked/w.mp4")
    (tmp_path / "locked").chmod(0)
    try:
        with pytest.raises(AqaError, match="locked: cannot be read .Permission denied"):
            find_samples(tmp_path)
    finally:
        (tmp_path / "locked").chmod(0o700)


def test_a_name_that_is_not_utf8_fails_its_own_sample(tmp_path, output):
    # In a folder whose name is not UTF-8 either, which is nobody's sample.
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9t\xe9"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    write_numbered_video(tmp_path / "good.mp4", 16).rename(folder / "good.mp4")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.mp4")).touch()
    options = (
        "--weights",
        "random",
        "--size",
        "32",
        "--batch-size",
        "4",
        "--workers",
        "1",
        "--last-clip",
        "drop",
    )
    result = CliRunner().invoke(aqa_extract, [*options, str(folder), str(output)])
    assert result.exit_code == 1 and "Traceback" not in result.output
    records = contents(output)
    assert records["good"].ok and list(records) == [r"caf\xe9", "good"]
    assert records[r"caf\xe9"].reason == (
        r"caf\xe9 (caf\xe9.mp4): its name is not UTF-8, and names are stored as UTF-8; rename"
        rf" {tmp_path}/\xe9t\xe9/caf\xe9.mp4"
    )
    assert extract(folder, output, CONFIG).reused == 1


def test_names_in_another_unicode_form_are_found_and_said(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "são/plongée.mp4") for form in ("NFC", "NFD"))
    for on_disk, in_table in ((composed, decomposed), (decomposed, composed)):
        folder = folder_with(tmp_path / str(len(on_disk)), on_disk)
        write_annotations(folder / "annotations.csv", [Sample("a", in_table), Sample("b", in_table, 3)])
        source = find_samples(folder)
        assert source.samples == [Sample("a", on_disk), Sample("b", on_disk, 3)]
        assert source.notes[0].startswith("1 video(s) are named in the annotations in another Unicode form")
        assert [sample.video for sample in read_annotations(folder / "annotations.csv")] == [in_table] * 2


def test_unicode_forms_that_are_ambiguous_are_not_guessed(tmp_path):
    letters = "\u1e69.mp4"  # s with dots above and below: three spellings
    other, third, asked = "s\u0323\u0307.mp4", letters, "s\u0307\u0323.mp4"
    folder_with(tmp_path, other, third)
    write_annotations(tmp_path / "annotations.csv", [Sample("a", asked)])
    source = find_samples(tmp_path)
    assert source.samples == [Sample("a", asked)] and not any("Unicode" in note for note in source.notes)
    assert "the same letters in another Unicode form" in why_missing(tmp_path / asked)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("day/dive_1.mov", "; the nearest name there is 'dive_1.mp4'"),
        ("day/DIVE_1.MP4", "; the nearest name there is 'dive_1.mp4'"),
        ("day/dive_l.mp4", "; the nearest name there is 'dive_1.mp4'"),
        ("Day/dive_1.mp4", "; the nearest name in {folder} is 'day'"),
        ("night/dive_1.mp4", "; {folder} has no 'night'"),
        ("day/other.mp4", ""),
    ],
)
def test_what_is_missing_has_the_nearest_name_in_its_message(tmp_path, asked, message):
    folder_with(tmp_path, "day/dive_1.mp4", "day/somersault.mp4")
    assert why_missing(tmp_path / asked) == message.format(folder=tmp_path)


def test_images_are_read_from_a_folder_beside_its_thumbnails(tmp_path):
    from PIL import Image

    (tmp_path / "dive/thumbs").mkdir(parents=True)
    for number in range(3):
        Image.fromarray(number_image(number)).save(tmp_path / f"dive/{number}.png")
    (tmp_path / "dive/thumbs/0.png").touch()
    assert found(tmp_path) == ["dive"]
    assert [image_number(frame.rgb()) for frame in decode(tmp_path / "dive")] == [0, 1, 2]


def test_names_that_the_system_encodes_otherwise_fail_their_own_samples(tmp_path):
    """Where the locale is not UTF-8, and Python was told to follow it."""
    for name in ("0.mp4", "跳.mp4"):
        (tmp_path / name).touch()
    code = """
import sys
from pathlib import Path
from aqa_cache.extraction.sources import find_samples
from aqa_cache.video.missing import missing_video
from aqa_cache.video.opening import video_stamp
source = find_samples(Path(sys.argv[1]))
for sample in source.samples:
    path = source.path(sample)
    print(ascii(sample.sample_id), path.is_file(), video_stamp(path)[1] > 0, missing_video(path))
"""
    system = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=os.environ | system,
        capture_output=True,
        encoding="utf-8",
    )
    assert not done.returncode, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("'0' True True")
    if sys.platform == "linux":
        assert second.startswith(r"'\u8df3' False False its name has characters that names on this system")
