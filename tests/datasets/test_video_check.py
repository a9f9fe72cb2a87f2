from dataclasses import replace

import pytest

from aqa_cache.annotations import Sample
from aqa_cache.datasets.video_check import check_videos
from aqa_cache.errors import VideoError
from aqa_cache.video import probing

SAMPLES = [
    Sample("01_0001", "01.mp4", 10, 60, group="01"),
    Sample("01_0002", "01.mp4", 200, 300, group="01"),
    Sample("02_0001", "02.mp4", 5, 50, group="02"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of stand-in videos: a file's text is its frame rate and its number of frames."""

    def probe(path):
        if path.is_dir():
            return probing.VideoInfo(len(list(path.iterdir())), None, 32, 24)
        if not path.read_text():
            raise VideoError(path.name, "has zero bytes")
        rate, frames = path.read_text().split()
        return probing.VideoInfo(int(frames), float(rate), 32, 24)

    monkeypatch.setattr(probing, "probe", probe)
    (tmp_path / "01.mp4").write_text("25 300")
    (tmp_path / "02.mp4").write_text("25 50")
    return tmp_path


def test_videos_that_fit_leave_nothing_to_say(folder):
    check = check_videos(SAMPLES, folder, 25.0)
    assert (check.samples, check.notes, check.missing, check.unfit) == (SAMPLES, [], [], [])


def test_a_missing_video_is_listed_with_its_address(folder):
    (folder / "02.mp4").unlink()
    check = check_videos(SAMPLES, folder, 25.0, {"01": "https://one", "02": "https://two"})
    assert check.missing == ["02.mp4  https://two"]
    assert check.samples == SAMPLES
    assert not check.unfit


def test_a_video_must_reach_its_last_end_frame_and_no_further(folder):
    (folder / "01.mp4").write_text("25 299")
    (problem,) = check_videos(SAMPLES, folder, 25.0).unfit
    assert problem.startswith(
        "01.mp4: has 299 frames, but 1 of its samples end later, the last (01_0002: frames [200, 300))"
    )


@pytest.mark.parametrize("rate", [24.97, 29.97, 24.0, 50.0])
def test_another_frame_rate_is_a_problem(folder, rate):
    (folder / "02.mp4").write_text(f"{rate} 50")
    (problem,) = check_videos(SAMPLES, folder, 25.0).unfit
    assert f"02.mp4: has {rate:g} frames per second, expected 25" in problem


def test_the_rounding_of_a_container_is_no_other_frame_rate(folder):
    (folder / "02.mp4").write_text("25.0008 50")
    assert not check_videos(SAMPLES, folder, 25.0).unfit


def test_an_unreadable_video_does_not_hide_the_others(folder):
    (folder / "01.mp4").write_text("")
    (folder / "02.mp4").write_text("25 7")
    first, second = check_videos(SAMPLES, folder, 25.0).unfit
    assert first == "01.mp4: has zero bytes"
    assert second.startswith("02.mp4: has 7 frames")


@pytest.mark.parametrize("name", ["01.mkv", "01.MP4", "1.webm", "01/", "1/"])
def test_a_video_under_another_name_is_found_named_and_said(folder, name):
    (folder / "01.mp4").unlink()
    if name.endswith("/"):
        (folder / name).mkdir()
        for number in range(300):
            (folder / name / f"{number + 1:06d}.jpg").touch()
    else:
        (folder / name).write_text("25 300")
    check = check_videos(SAMPLES, folder, 25.0)
    found = name.rstrip("/")
    assert check.samples == [replace(s, video=found) if s.video == "01.mp4" else s for s in SAMPLES]
    assert f"{found} (for 01.mp4)" in check.notes[0]
    # a folder's frame rate cannot be checked, which is said
    assert (len(check.notes) == 2) == name.endswith("/")
    assert not check.missing + check.unfit


def test_the_name_asked_for_wins_and_a_choice_among_others_is_said(folder):
    (folder / "01.avi").write_text("25 300")
    assert check_videos(SAMPLES, folder, 25.0).samples == SAMPLES
    (folder / "01.mp4").unlink()
    (folder / "1.mkv").write_text("25 300")
    assert "01.avi (for 01.mp4, not 1.mkv)" in check_videos(SAMPLES, folder, 25.0).notes[0]


@pytest.mark.parametrize("name", ["01", "01.txt", "101.mp4", "01.mp4.part"])
def test_what_is_no_video_is_not_taken_for_one(folder, name):
    (folder / "01.mp4").unlink()
    (folder / name).write_text("25 300")
    assert check_videos(SAMPLES, folder, 25.0).missing == ["01.mp4"]


def test_a_name_may_lie_in_a_subfolder(folder):
    (folder / "dives").mkdir()
    (folder / "dives" / "01.mkv").write_text("25 300")
    samples = [replace(SAMPLES[0], video="dives/01.mp4"), replace(SAMPLES[2], video="nowhere/02.mp4")]
    check = check_videos(samples, folder, 25.0)
    assert check.samples[0].video == "dives/01.mkv"
    assert check.missing == ["nowhere/02.mp4"]


def test_real_videos_and_frames_are_measured(tmp_path):
    av = pytest.importorskip("av")
    image = pytest.importorskip("PIL.Image")
    import numpy as np

    for name, rate in (("01.mp4", 25), ("02.mp4", 30)):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("mpeg4", rate=rate)
            stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
            for _ in range(60):
                frame = av.VideoFrame.from_ndarray(np.zeros((24, 32, 3), np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    (tmp_path / "03").mkdir()
    for number in range(40):
        image.new("RGB", (32, 24)).save(tmp_path / "03" / f"{number + 1:06d}.jpg")
    samples = [SAMPLES[0], SAMPLES[2], Sample("03_0001", "03.mp4", 0, 41, group="03")]
    check = check_videos(samples, tmp_path, 25.0)
    assert [problem.split(",")[0] for problem in check.unfit] == [
        "02.mp4: has 30 frames per second",
        "03: has 40 frames",
    ]
