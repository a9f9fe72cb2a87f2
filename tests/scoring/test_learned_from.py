"""Which videos are the same."""

from aqa_cache.disk.tensor_file import sha256_of
from aqa_heads.runs.training_samples import TrainingSample, VideoStamp
from aqa_heads.scoring.learned_from import Video, learned_notes, overlapping, same_path


def test_what_is_the_same_video():
    """By its path, and where files are known by these."""

    def sample(video, *stamp):
        return TrainingSample("a", video, stamp=VideoStamp(*stamp) if stamp else None)

    assert same_path("/data/a/01.mp4", "./a//01.mp4") and same_path("01.mp4", "x/01.mp4")
    assert same_path(r"C:\data\01.mp4", "data/01.mp4") and not same_path("b/01.mp4", "a/01.mp4")
    assert not same_path("", "") and not same_path("x01.mp4", "01.mp4")
    video = Video("b/01.mp4", VideoStamp(1000, 5))
    assert not Video("b/01.mp4").is_of(sample("a/01.mp4", 1000, 5))
    assert video.is_of(sample("a/01.mp4", 1000, 9)), "moved"
    assert video.is_of(sample("a/other.mp4", 1000, 5)), "renamed"
    assert not video.is_of(sample("b/01.mp4", 1001, 5)), "another of this name"
    assert not video.is_of(sample("a/02.mp4", 1000, 9))


def test_content_decides_where_it_is_known(tmp_path):
    for name, content in (("one.mp4", b"a" * 100), ("copy.mp4", b"a" * 100), ("other.mp4", b"b" * 100)):
        (tmp_path / name).write_bytes(content)
    learned = TrainingSample("a", "one.mp4", stamp=VideoStamp(100, 1, sha256_of(tmp_path / "one.mp4")))
    found = {
        path.name: Video(str(path), VideoStamp(100, 2), path).is_of(learned) for path in tmp_path.iterdir()
    }
    assert found == {"one.mp4": True, "copy.mp4": True, "other.mp4": False}
    assert not Video("one.mp4", VideoStamp(100, 1), tmp_path / "other.mp4").is_of(learned)
    assert Video("x/one.mp4", VideoStamp(100, 1), tmp_path).is_of(learned), "a folder is not hashed"


def test_without_frames_a_sample_of_the_same_name_and_video_is_the_same():
    learned = [("run", TrainingSample(name, "v.mp4")) for name in ("a", "b")]
    assert overlapping(learned, None, "a") == {"a": ["run"]} and overlapping(learned, None, "c") == {}
    (note,) = learned_notes(1, "a", learned, None, overlapping(learned, None, "a"))
    assert note.startswith("the run learned from it, or from the same frames of this video: the score is")
    (note,) = learned_notes(1, "c", learned, None, {})
    assert note.startswith("the run learned from 2 other sample(s) of this video (nearest: a)")
    framed = [("run", TrainingSample("a", "v.mp4", frames=(0, 10)))]
    assert overlapping(framed, (10, 20), "a") == {}, "another part under a name that was used before"
