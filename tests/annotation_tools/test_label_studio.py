import json

import pytest

from aqa_cache.annotation_tools.export import Asked
from aqa_cache.annotation_tools.importing import import_annotations
from aqa_cache.annotations import Columns
from aqa_cache.errors import AnnotationError


def of_range(key, first, last, *labels):
    value = {"ranges": [{"start": first, "end": last}], "timelinelabels": list(labels)}
    return {"id": key, "from_name": "move", "to_name": "video", "type": "timelinelabels", "value": value}


def said(name, kind, value, key="whole"):
    return {"id": key, "from_name": name, "to_name": "video", "type": kind, "value": value}


def score(points, key="whole"):
    return said("score", "number", {"number": points}, key)


def task(*annotations, video="/data/upload/3/0a1b2c3d-a%20b.mp4"):
    made = [{"completed_by": who, "result": result} for who, result in annotations]
    return {"id": 1, "data": {"video": video}, "annotations": made, "predictions": []}


@pytest.fixture
def imported(tmp_path):
    def read(*tasks, **asked):
        (tmp_path / "tasks.json").write_text(json.dumps(tasks))
        return import_annotations(tmp_path / "tasks.json", asked=Asked(**asked))

    return read


def test_ranges_are_frames_from_one_on_and_what_is_said_of_a_range_is_of_it_alone(imported):
    result = [
        of_range("r1", 1, 40, "vault"),
        of_range("r2", 41, 41, "vault", "fall"),
        score(7.5, "r1"),
        said("stars", "rating", {"rating": 4}, "r2"),
        said("family", "choices", {"choices": ["tuck"]}),
        said("caption", "textarea", {"text": ["nice", "and high"]}, "r1"),
        said("box", "videorectangle", {"sequence": []}),
    ]
    done = imported(task((5, result), video="/data/local-files/?d=day%201/a.mp4"))
    first, second = done.samples
    assert (first.video, first.start_frame, first.end_frame) == ("a.mp4", 0, 40)
    assert (second.start_frame, second.end_frame, second.final_score) == (40, 41, None)
    assert (first.final_score, first.caption, second.caption) == (7.5, "nice; and high", None)
    assert first.classes == {"move": "vault", "family": "tuck"} and second.classes["move"] == "vault; fall"
    assert second.extra == {"stars": "4"} and first.sample_id == "a_0-40"
    assert any("results of other kinds are left out: 1 videorectangle" in note for note in done.notes)
    assert any("player counted them" in note and "--frame-rate N" in note for note in done.notes)
    mapped = imported(task((5, result)), columns=Columns.parse("final_score=stars,group=move"))
    assert (mapped.samples[1].final_score, mapped.samples[0].group) == (4.0, "vault")


def test_frames_of_another_rate_become_times(imported):
    done = imported(task((5, [of_range("r", 26, 50, "x")])), frame_rate=25.0)
    assert done.samples[0].extra == {"start": "0:00:01.000000", "end": "0:00:02.000000"}
    assert done.samples[0].start_frame is None


def test_names_are_those_of_the_files(imported):
    videos = [
        "/data/upload/3/0a1b2c3d-a.mp4",
        "s3://bucket/day/b.mov",
        "https://h/c%20d.mp4?token=1",
        "e.mp4",
    ]
    done = imported(*(task((1, [score(1)]), video=video) for video in videos))
    assert [sample.video for sample in done.samples] == ["a.mp4", "b.mov", "c d.mp4", "e.mp4"]
    assert done.samples[0].start_frame is None, "a video without a range is one action"


def test_several_people_are_judges_and_their_mean_is_said(imported):
    both = task((7, [score(8), said("clean", "choices", {"choices": ["yes"]})]), (3, [score(6.5)]))
    done = imported(both, task((3, [score(5)]), video="/x/c.mp4"))
    first, second = done.samples
    assert first.judges == (6.5, 8.0) and first.final_score == 7.25 and "clean" not in first.classes
    assert second.final_score == 5.0
    assert any("scores of 2 annotators are judge_1 to judge_2" in note for note in done.notes)
    assert any("annotators differ in 'clean' 1 time(s)" in note for note in done.notes)


def test_yes_and_no_are_no_marks(imported):
    (sample,) = imported(task((1, [score(True)]), (2, [score(False)]), (3, [score(4)]))).samples
    assert sample.final_score is None and not sample.judges


def test_cancelled_and_empty_tasks_are_said(imported):
    cancelled = task((1, [score(2)]), (2, [score(3)]))
    cancelled["annotations"][0]["was_cancelled"] = True
    done = imported(cancelled, task(video="z.mp4"))
    assert [sample.final_score for sample in done.samples] == [3.0]
    assert any(
        "1 cancelled annotation(s) and 1 task(s) without any are left out" in note for note in done.notes
    )


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([{"id": 1, "video": "a.mp4", "score": 4}], "task 1 has no data or no annotations; export as JSON"),
        (
            [task((1, [of_range("r", 1, 9, "x")]), (2, [of_range("r", 1, 8, "x")]))],
            "1 and 2 marked different",
        ),
        ([task((1, [of_range("r", 0, 9, "x")]))], "a range is from 0 to 9, expected frames from 1 on"),
        ([task((1, [of_range("r", 9, 2, "x")]))], "a range is from 9 to 2"),
        ([task((1, [of_range("r", "1", 2, "x")]))], "a range is from '1' to 2"),
        ([task((1, [score(1)]), video="http://[::1/a.mp4")], "video is empty"),
        ([task((1, [score(1e308)]), (2, [score(1e308)]))], "final_score is 'inf'"),
        ([task((1, [said("start", "number", {"number": 1})]))], "something is called 'start'"),
        ([task()], "no task has an annotation"),
        (["a.mp4"], "task 1 is 'a.mp4', expected an object"),
        ([task((1, [{"type": "number", "value": 3}]))], "value of 'number' is '3', expected an object"),
    ],
)
def test_what_cannot_be_read_is_one_message(imported, tasks, message):
    with pytest.raises(AnnotationError, match=message):
        imported(*tasks)
