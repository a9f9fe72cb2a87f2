"""A person's own videos and table: what is found and what is not is said, before any network is loaded."""

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from numbered_video import write_numbered_video
from places import MEDIA
from small_extraction import CONFIG, contents

from aqa_cache.annotations import Columns, Sample, write_annotations
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.clips.rule import ClipRule
from aqa_cache.errors import AnnotationError, AqaError
from aqa_cache.extraction.run import ExtractionConfig, extract
from aqa_cache.extraction.sources import find_samples
from aqa_cache.video.decoding import decode
from aqa_cli.extract import main as aqa_extract


def folder_with(place: Path, *names: str, **tables: str) -> Path:
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(name.encode())
    for name, text in tables.items():
        (place / name.replace("__", ".")).write_text(text)
    return place


@pytest.mark.parametrize("name", ["Annotations.csv", "ANNOTATIONS.CSV", "labels.csv", "my scores.tsv"])
def test_a_table_of_another_name_is_taken_and_named(tmp_path, name):
    folder_with(tmp_path, "a.mp4", **{name: "video,score\na.mp4,7.5\n", "other__csv": "x,y\n1,2\n"})
    source = find_samples(tmp_path)
    assert source.samples == [Sample("a", "a.mp4", final_score=7.5)]
    assert source.said_table() == f"Annotations: {tmp_path / name}, 1 row(s)."


def test_where_no_table_is_taken_it_is_said_what_was_seen(tmp_path):
    folder_with(tmp_path, "a.mp4", "b.xls", labels__csv="name,score\na,7\n")
    source = find_samples(tmp_path)
    assert source.samples == [Sample("a", "a.mp4")]
    assert (
        "no sample has a label (seen: b.xls (not a kind that is read), labels.csv (no column video, which"
        in (source.said_table())
    )
    mapped = find_samples(tmp_path, columns=Columns.parse("video=name,final_score=score"))
    assert mapped.samples == [Sample("a", "a", final_score=7.0)]


def test_two_tables_are_one_question(tmp_path):
    folder_with(tmp_path, "a.mp4", one__csv="video\na.mp4\n", two__csv="video\na.mp4\n")
    with pytest.raises(AnnotationError, match="2 files may be the annotations .one.csv, two.csv.; name"):
        find_samples(tmp_path)


def test_videos_without_a_row_are_listed(tmp_path):
    folder_with(tmp_path, "a.mp4", "new.mp4", "day/b.mp4", annotations__csv="video,score\n./day/b.mp4,1\n")
    (note,) = find_samples(tmp_path).notes[-1:]
    assert note.startswith("2 of 3 videos have no row in annotations.csv, and are not extracted: a.mp4, new")


def test_missing_videos_are_said_before_a_network_is_loaded(tmp_path, output, said):
    write_annotations(tmp_path / "annotations.csv", [Sample("x", "dive1.mov"), Sample("y", "b.mp4")])
    lost = ExtractionConfig(weights="no.pth")
    with pytest.raises(AqaError, match="none of the 2 video.s. that it names is in") as error:
        extract(tmp_path, output, lost)
    write_numbered_video(tmp_path / "dive1.mp4", 16)
    with pytest.raises(AqaError, match="the nearest name there is 'dive1.mp4'") as error:
        extract(tmp_path, output, lost)
    assert "weights" not in str(error.value) and not list(output.parent.glob("feats.h5*"))
    said.clear()
    write_numbered_video(tmp_path / "b.mp4", 16)
    extract(tmp_path, output, CONFIG)
    line = next(line for line in said if "not there" in line)
    assert line.startswith("1 of 2 videos are not there: dive1.mov") and "dive1.mp4" in line
    assert said.index(line) < next(place for place, one in enumerate(said) if "random weights" in one)


def test_where_every_sample_fails_that_is_an_error(tmp_path, output):
    write_numbered_video(tmp_path / "a.mp4", 20)
    config = ExtractionConfig(
        weights="random", size=32, batch_size=4, workers=1, clip_rule=ClipRule(window=103)
    )
    with pytest.raises(AqaError, match="none of the 1 sample.s. has features.*\n  a .a.mp4.: .*103"):
        extract(tmp_path, output, config)
    words = "--weights random --size 32 --batch-size 4 --workers 1 --window 103".split()
    result = CliRunner().invoke(aqa_extract, [*words, str(tmp_path), str(output)])
    assert result.exit_code == 1 and "The file has the reasons and no features" in result.stderr
    with FeatureCache(output) as cache:
        assert "103" in cache.reasons[0]


def _fails(*_, **__):
    raise AssertionError("something was done first")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that takes no file")
def test_a_folder_that_takes_no_file_is_refused_before_anything_is_done(tmp_path, monkeypatch):
    write_numbered_video(tmp_path / "a.mp4", 16)
    monkeypatch.setattr("aqa_cache.extraction.run.find_samples", _fails)
    monkeypatch.setattr("aqa_cache.extraction.continuation.load_model", _fails)
    with pytest.raises(AqaError, match="/proc/feats.h5: the folder /proc cannot be written to"):
        extract(tmp_path, "/proc/feats.h5", CONFIG)


@pytest.mark.skipif(not hasattr(os, "link"), reason="needs links")
def test_names_of_one_file_are_one_video(tmp_path):
    folder_with(tmp_path / "v", "s.mp4", "other.mp4")
    os.link(tmp_path / "v/s.mp4", tmp_path / "v/hard.mp4")
    (tmp_path / "v/soft.mp4").symlink_to("s.mp4")
    names = ["./s.mp4", "s.mp4", str(tmp_path / "v/s.mp4"), "../v/s.mp4", "soft.mp4", "hard.mp4"]
    samples = [Sample(f"x{number}", name, 0, 9) for number, name in enumerate(names)]
    write_annotations(tmp_path / "t.csv", [*samples, Sample("y", "other.mp4")])
    source = find_samples(tmp_path / "v", tmp_path / "t.csv")
    assert [sample.video for sample in source.samples] == ["s.mp4"] * 6 + ["other.mp4"]
    assert any(note.startswith("5 name(s) lead to a video that another row names") for note in source.notes)


def test_a_copy_is_said_and_that_it_is_on_both_sides(tmp_path):
    folder_with(tmp_path, "a.mp4")
    shutil.copy(tmp_path / "a.mp4", tmp_path / "b.mp4")
    rows = [Sample("a", "a.mp4", split="train"), Sample("b", "b.mp4", split="test")]
    write_annotations(tmp_path / "annotations.csv", rows)
    source = find_samples(tmp_path)
    assert source.samples == rows
    assert any("b.mp4 is a copy of a.mp4, with rows in test and train" in note for note in source.notes)
    assert source.copies == {"a.mp4", "b.mp4"}


def test_a_cache_knows_its_copies_also_one_that_was_added_later(tmp_path, output, said):
    (tmp_path / "v").mkdir()
    write_numbered_video(tmp_path / "v/a.mp4", 16)
    write_numbered_video(tmp_path / "v/other.mp4", 17)
    extract(tmp_path / "v", output, CONFIG)
    assert [record.video_sha256 for record in contents(output).values()] == ["", ""]
    shutil.copy(tmp_path / "v/a.mp4", tmp_path / "v/b.mp4")
    said.clear()
    extract(tmp_path / "v", output, CONFIG)
    assert any("b.mp4 is a copy of a.mp4; unless that is meant, delete one" in line for line in said)
    hashes = {name: record.video_sha256 for name, record in contents(output).items()}
    assert len(hashes["a"]) == 64 and hashes == {"a": hashes["a"], "b": hashes["a"], "other": ""}


def test_times_become_the_frames_that_the_file_says(tmp_path):
    """Of a video whose frames last differently long: the frames shown from begin to end, none twice."""
    shutil.copy(MEDIA / "variable_frame_rate.mp4", tmp_path / "v.mp4")
    shown = [frame.pts_seconds for frame in decode(tmp_path / "v.mp4")]
    shown = [time - shown[0] for time in shown]
    middle = shown[len(shown) // 2]
    text = f"video;Begin;Ende;score\nv.mp4;0;{middle:.3f};1,5\nv.mp4;{middle:.3f};;2,5\n"
    folder_with(tmp_path, table__csv=text.replace(".", ",").replace("v,mp4", "v.mp4"))
    with pytest.raises(AnnotationError, match="start is '0' may be seconds or frames; say which"):
        find_samples(tmp_path, columns=Columns.parse("start=Begin,end=Ende"))
    source = find_samples(tmp_path, columns=Columns.parse("start=Begin,end=Ende,unit=s"))
    first, second = source.samples
    assert (first.start_frame, second.end_frame) == (0, None)
    assert first.end_frame == second.start_frame == len(shown) // 2
    assert first.final_score == 1.5 and first.sample_id != second.sample_id


@pytest.mark.parametrize(
    ("begin", "end", "message"),
    [
        ("0:00", "1:05:00", "end is 3900 s, but the video lasts 0.800 s"),
        ("0.2", "0:00.1", "end '0:00.1' must be later than start '0.2'"),
        ("0:75", "", "'0:75' is no time"),
        ("soon", "", "'soon' is no time; expected seconds"),
    ],
)
def test_times_that_cannot_be_are_refused(tmp_path, begin, end, message):
    write_numbered_video(tmp_path / "v.mp4", 20)
    folder_with(tmp_path, table__csv=f"video,Begin,End\nv.mp4,{begin},{end}\n")
    with pytest.raises(AnnotationError, match=message):
        find_samples(tmp_path, columns=Columns.parse("start=Begin,end=End,unit=s"))


def test_a_table_of_another_name_goes_all_the_way(tmp_path, output):
    write_numbered_video(tmp_path / "a.mp4", 16)
    folder_with(tmp_path, punkte__csv="\ufeffvideo;Score;Split\r\na.mp4;7,5;Training\r\n")
    extract(tmp_path, output, CONFIG)
    record = contents(output)["a"]
    assert record.ok and (record.sample.final_score, record.sample.split) == (7.5, "train")
