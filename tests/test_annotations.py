import math
from dataclasses import replace

import pytest
from numbered_video import write_numbered_video

from aqa_cache.annotations import Sample, from_columns, read_annotations, to_columns, write_annotations
from aqa_cache.errors import AnnotationError, AqaError
from aqa_cache.extraction.sources import find_samples

SAMPLES = [
    Sample(
        "a",
        "x/a.mp4",
        0,
        100,
        "train",
        "event, 1",
        "f1",
        88.05,
        3.2,
        (7.0, 8.5),
        {"position": "pike"},
        'said "so"\nand more',
    ),
    Sample("b", "-b.mp4", extra={"note": "ü"}),
]


def test_what_is_written_is_read(tmp_path):
    write_annotations(tmp_path / "a.csv", SAMPLES)
    assert read_annotations(tmp_path / "a.csv") == SAMPLES
    assert from_columns(to_columns(SAMPLES)) == SAMPLES


def test_every_character_is_read_back(tmp_path):
    texts = [f"a{chr(number)}b" for number in range(1, 0x2100)] + ["=1+1", "+a", "-1", "@a", "'a", "\ufeffa"]
    samples = [
        Sample(text, f"{text}.mp4", group=text, fold=text, classes={"x\ry": text}, caption=text)
        for text in texts
    ]
    samples.append(Sample("extra", "a.mp4", extra={texts[12]: texts[9]}))
    write_annotations(tmp_path / "a.csv", samples)
    assert read_annotations(tmp_path / "a.csv") == samples


@pytest.mark.parametrize("name", ["sample_id", "video", "group", "fold", "caption"])
def test_half_a_character_is_refused_by_name_and_nothing_is_written(tmp_path, name):
    sample = replace(Sample("a", "a.mp4"), **{name: "b\ud800c"})
    with pytest.raises(AnnotationError, match=f"'{name}' holds '.ud800', half of a surrogate pair"):
        write_annotations(tmp_path / "a.csv", [sample])
    assert not (tmp_path / "a.csv").exists()
    (tmp_path / "a.csv").write_bytes(b"sample_id,video\na\xed\xa0\x80,b\n")
    with pytest.raises(AnnotationError, match="line 2: 'sample_id' holds '.ud800'"):
        read_annotations(tmp_path / "a.csv")


def test_spreadsheet_habits_are_fine(tmp_path):
    (tmp_path / "a.csv").write_bytes(
        "\ufeffsample_id , video,,final_score,\r\n a , a.mp4 ,, 7.5 ,\r\n,,,,\r\n".encode()
    )
    assert read_annotations(tmp_path / "a.csv") == [Sample("a", "a.mp4", final_score=7.5)]


def test_missing_marks_stay_missing(tmp_path):
    (tmp_path / "a.csv").write_text("sample_id,video,judge_1,judge_2\na,a.mp4,,8\nb,b.mp4,,\n")
    first, second = read_annotations(tmp_path / "a.csv")
    assert math.isnan(first.judges[0]) and first.judges[1] == 8 and second.judges == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column 'video' \\(its columns: none\\)"),
        ("sample_id,score\na,1\n", "has no column 'video'"),
        ("sample_id,video\n", "has a header but no samples"),
        ("sample_id,video,video\na,b,c\n", "column 'video' appears 2 times"),
        ("sample_id,video,judge_2\na,b,1\n", "judge_1, judge_2, … without a gap, got \\[2\\]"),
        ("sample_id,video\na,b\nc,d\na,e\n", "line 4: sample_id 'a' is already on line 2"),
        ("sample_id,video,split\na,b,dev\n", "line 2: unknown split 'dev'; use one of train, val, test"),
        (
            "sample_id,video,final_score\na,b,good\n",
            "line 2: final_score is 'good', expected a finite number",
        ),
        ("sample_id,video,final_score\na,b,inf\n", "line 2: final_score is 'inf', expected a finite number"),
        ("sample_id,video,difficulty\na,b,0\n", "line 2: difficulty is 0.0, it must be greater than 0"),
        (
            "sample_id,video,start_frame\na,b,-3\n",
            "line 2: start_frame is '-3', expected a whole number of frames",
        ),
        (
            "sample_id,video,start_frame,end_frame\na,b,9,9\n",
            "line 2: end_frame 9 must be greater than start_frame 9",
        ),
        (",sample_id,video\n0,a,b\n", "column 1 has no name but has content; name it, or delete it"),
        ("sample_id,video,class_\na,b,c\n", "column 'class_' has no usable name"),
        ("sample_id,video\na\n", "line 2: has 1 cells but the header names 2 columns"),
        ("sample_id,video\n,b\n", "line 2: sample_id is empty"),
        ("sample_id,video\n..,b\n", "line 2: sample_id is '..', which names a folder"),
        ("sample_id,video\na,b\0\n", "line 2: video is .*, which holds a NUL character"),
        (f"sample_id,video,end_frame\na,b,{'1' * 5000}\n", "line 2: end_frame is '1+, expected"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(AnnotationError, match=message):
        read_annotations(tmp_path / "a.csv")


def test_all_mistakes_at_once(tmp_path):
    (tmp_path / "a.csv").write_text("sample_id,video,split\n" + "".join(f"s{n},v,dev\n" for n in range(30)))
    with pytest.raises(
        AnnotationError, match="(?s)30 unusable row\\(s\\):\n  line 2: .*… and 10 more"
    ) as error:
        read_annotations(tmp_path / "a.csv")
    assert str(error.value).count("unknown split") == 20


def test_not_utf8(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"sample_id,video\na,\xff.mp4\n")
    with pytest.raises(AnnotationError, match="is not UTF-8 text"):
        read_annotations(tmp_path / "a.csv")


def test_samples_of_a_folder_without_annotations(tmp_path):
    (tmp_path / "sub" / "frames").mkdir(parents=True)
    for name in ("b.mp4", "a.avi", "a.mp4", "sub/c.mp4", "notes.txt", ".hidden.mp4", "sub/frames/000001.jpg"):
        (tmp_path / name).touch()
    source = find_samples(tmp_path)
    assert [(sample.sample_id, sample.video) for sample in source.samples] == [
        ("a.avi", "a.avi"),
        ("a.mp4", "a.mp4"),
        ("b", "b.mp4"),
        ("sub/c", "sub/c.mp4"),
        ("sub/frames", "sub/frames"),
    ]


def test_annotations_in_the_folder_are_found(tmp_path):
    write_annotations(tmp_path / "annotations.csv", SAMPLES)
    assert find_samples(tmp_path).samples == SAMPLES


@pytest.mark.parametrize("video", ["/elsewhere/a.mp4", "../a.mp4", "sub/../../a.mp4"])
def test_only_a_table_that_is_named_leads_out_of_the_folder_and_that_is_said(tmp_path, video):
    table = tmp_path / "videos" / "annotations.csv"
    table.parent.mkdir()
    write_annotations(table, [Sample("a", video), Sample("b", "sub/../b.mp4")])
    with pytest.raises(AqaError, match=f"1 video.s. lie outside .*videos: {video}; a table that is found"):
        find_samples(table.parent)
    source = find_samples(table.parent, table)
    assert [note for note in source.notes if "lie outside" in note] == [
        f"{table}: 1 video(s) lie outside {table.parent}: {video}."
    ]


def test_one_video_of_an_annotated_folder(tmp_path):
    write_annotations(tmp_path / "annotations.csv", SAMPLES)
    video = write_numbered_video(tmp_path / "alone.mp4", 2)
    assert find_samples(video).samples == [Sample("alone", "alone.mp4")]
    with pytest.raises(AnnotationError.__base__, match="has no sample of alone.mp4"):
        find_samples(video, tmp_path / "annotations.csv")
