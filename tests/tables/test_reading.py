"""Tables as people have them: read where that is possible in one way, else refused with what to do."""

import datetime
import re
import zipfile
from random import Random

import openpyxl
import pytest

from aqa_cache.annotations import Columns, Sample, read_annotations, read_table, write_annotations
from aqa_cache.errors import AnnotationError, AqaError
from aqa_cache.tables import xlsx
from aqa_cache.tables.values import seconds_of

ROWS = [["Video ", "Score", "Split"], ["a.mp4", 7.5, "Training"], ["b.mp4", 8, "validation"]]
SAMPLES = [
    Sample("a", "a.mp4", split="train", final_score=7.5),
    Sample("b", "b.mp4", split="val", final_score=8.0),
]


def book(path, *sheets, change=lambda sheet: None):
    made = openpyxl.Workbook()
    made.remove(made.active)
    for number, rows in enumerate(sheets):
        sheet = made.create_sheet(f"S{number}")
        for row in rows:
            sheet.append(row)
        change(sheet)
    made.save(path)
    return path


def table(tmp_path, text, encoding="utf-8"):
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    return tmp_path / "t.csv"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_kind_of_text_gives_the_same_samples(tmp_path, separator, encoding, end):
    point = '"7,5"' if separator == "," else "7,5"
    rows = [["Video ", "Score", "Split"], ["a.mp4", point, "Training"], ["b.mp4", "8", "validation"]]
    for first in ("", f"sep={separator}{end}"):
        text = first + "".join(separator.join(row) + end for row in rows)
        read = read_table(table(tmp_path, text, encoding))
        assert read.samples == SAMPLES
        (note,) = read.notes
        for said in ("'Video' as video", "'Score' as final_score", "decimal commas in final_score"):
            assert said in note


def test_a_book_gives_the_same_samples_wherever_its_table_stands(tmp_path):
    assert read_annotations(book(tmp_path / "t.xlsx", ROWS)) == SAMPLES
    several = book(tmp_path / "s.xlsx", [["notes"], ["of mine"]], [[], *ROWS, [], [None, None, None, None]])
    read = read_table(several)
    assert read.samples == SAMPLES and "sheet 'S1' of S0, S1" in read.notes[0]


@pytest.mark.parametrize(
    ("sheets", "change", "message"),
    [
        ([ROWS, ROWS], lambda sheet: None, "2 of its sheets may be the table .S0, S1.; save the one"),
        ([ROWS], lambda sheet: sheet.merge_cells("C2:C3"), "has merged cells .C2:C3."),
        ([ROWS], lambda sheet: sheet.cell(2, 2, "=1+1"), "1 cell.s. hold formulas whose value .* .B2."),
        ([ROWS], lambda sheet: sheet.cell(1_000_000, 9, "x"), "reaches to row 1,000,000 and column 9"),
        ([], lambda sheet: None, "has no column 'video'"),
    ],
)
def test_books_that_may_be_read_otherwise_are_refused(tmp_path, sheets, change, message):
    path = book(tmp_path / "t.xlsx", *(sheets or [[]]), change=change)
    with pytest.raises(AnnotationError, match=message):
        read_annotations(path)


def test_what_is_no_book_or_without_bounds_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "t.xlsx"
    path.write_bytes(b"\xd0\xcf\x11\xe0old")
    with pytest.raises(AnnotationError, match=r"old Excel kind \(.xls\); save it as .xlsx"):
        read_annotations(path)
    path.write_bytes(xlsx.ZIP + b"cut")
    with pytest.raises(AnnotationError, match="damaged or encrypted"):
        read_annotations(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("content.xml", "an OpenDocument")
    with pytest.raises(AnnotationError, match="an archive, but not an Excel one"):
        read_annotations(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", '<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>')
    with pytest.raises(AnnotationError, match="declares entities"):
        read_annotations(path)
    monkeypatch.setattr(xlsx, "_MOST_BYTES", 1 << 16)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", " " * (1 << 17))
    with pytest.raises(AnnotationError, match="unpacks to 1 files of 131,072 bytes, expected up to"):
        read_annotations(path)


def test_frames_of_a_spreadsheet_and_words_for_nothing(tmp_path):
    text = "video,start_frame,end_frame,final_score,difficulty,class_kind,group\n"
    text += "a,0.0,120.0,n/a,-,none,NA\nb,,120,NaN,NA,NaN,n/a\n"
    read = read_table(table(tmp_path, text))
    assert read.samples == [
        Sample("a", "a", 0, 120, group="NA", classes={"kind": "none"}),
        Sample("b", "b", None, 120),
    ]
    assert "'n/a', 'NaN' in final_score as not known (2 cells)" in read.notes[0]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            ["1,234", "2,500"],
            "line 2: final_score is '1,234', .* between thousands: write numbers",
        ),
        (["7,5", "7.25"], "line 2: final_score is '7,5', expected a finite number"),
        (["1.234,5"], "line 2: final_score is '1.234,5'"),
        (["80%"], "line 2: final_score is '80%', .*write the number alone, without a unit"),
        (["80,5 Pkt."], "line 2: final_score is '80,5 Pkt.', .*known; write the number alone"),
        (["4_5"], "line 2: final_score is '4_5', expected a finite number"),
        (["1.021", "987"], "final_score has '1.021', and others are 987 and more, .* between thousands"),
    ],
)
def test_numbers_that_may_be_two_are_refused(tmp_path, cells, message):
    text = "video;final_score\n" + "".join(f"v{number};{cell}\n" for number, cell in enumerate(cells))
    with pytest.raises(AnnotationError, match=message):
        read_annotations(table(tmp_path, text))


def test_a_point_between_thousands_is_not_taken_for_a_decimal_one(tmp_path):
    text = "video;final_score;difficulty\na;1.021;2,5\nb;1.100;3\n"
    with pytest.raises(AnnotationError, match="final_score has '1.021', and difficulty has decimal commas"):
        read_annotations(table(tmp_path, text))
    for numbers in (["14.266", "8.500", "100"], ["0.925", "8"], ["1.02", "987"]):
        text = "video,final_score\n" + "".join(f"{cell},{cell}\n" for cell in numbers)
        assert [s.final_score for s in read_annotations(table(tmp_path, text))] == list(map(float, numbers))


def test_the_scale_is_read_as_numbers_are(tmp_path):
    text = "video;Score;Score_Min;score max\na;71,5;0,0;100\nb;60,5;0,0;n/a\n"
    read = read_table(table(tmp_path, text))
    scale = {"score_min": "0.0", "score_max": "100"}
    assert [sample.extra for sample in read.samples] == [scale, {"score_min": "0.0"}]
    assert "decimal commas in final_score, score_min" in read.notes[0] and len(read.notes) == 1
    with pytest.raises(AnnotationError, match="line 2: score_max is 'ten', expected a finite number"):
        read_annotations(table(tmp_path, "video,final_score,score_max\na,1,ten\n"))


def test_a_book_is_known_by_its_content_and_percent_is_said(tmp_path):
    book = openpyxl.Workbook()
    for cells in (["video", "final_score", "note"], ["a", 0.505, "50 %"]):
        book.active.append(cells)
    book.active["B2"].number_format = "0.0%"
    book.save(tmp_path / "book.xlsx")
    path = (tmp_path / "book.xlsx").rename(tmp_path / "annotations.csv")
    read = read_table(path)
    assert read.samples[0].final_score == 0.505
    assert "cells shown in % as shares of 1, 50 % as 0.5 (column B)" in read.notes[0]


def test_columns_are_known_by_any_case_and_asked_about_where_they_are_near(tmp_path):
    text = " VIDEO ,Final Score,Judge1,judge-2,Class_Kind,GROUP,dificulty,Dauer\na,1,2,3,x,g,4,5\n"
    read = read_table(table(tmp_path, text))
    extra = {"dificulty": "4", "Dauer": "5"}
    assert read.samples == [
        Sample("a", "a", group="g", final_score=1, judges=(2, 3), classes={"Kind": "x"}, extra=extra)
    ]
    (doubt,) = read.notes[1:]
    assert "column 'dificulty' has no meaning here; if it is difficulty" in doubt


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("video,final_scores", "'final_scores' has no meaning here; if it is final_score, name it so"),
        ("video,x", "no sample has a label .* its columns: video, x"),
    ],
)
def test_what_may_be_a_mistake_is_said(tmp_path, header, said):
    read = read_table(table(tmp_path, f"{header}\na,1{',2' * (header.count(',') - 1)}\n"))
    assert any(re.search(said, note) for note in read.notes)


def test_columns_of_other_names_are_mapped(tmp_path):
    path = table(tmp_path, "Clip;Punkte;Begin;Ende\na;1,5;10;20\n")
    mapped = Columns.parse("video=Clip,final_score=punkte,start=Begin,end=Ende,unit=frame")
    assert read_annotations(path, mapped) == [Sample("a", "a", 10, 20, final_score=1.5)]
    with pytest.raises(AnnotationError, match="gives times in place of frames; aqa-extract"):
        read_annotations(path, Columns.parse("video=Clip,start=Begin,unit=s"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("final_score", "is not of the form KNOWN=YOURS"),
        ("score_=Punkte", "'score_' is no column that is known here, did you mean final_score"),
        ("final_score=Punkt", "there is no such column; the nearest is 'Punkte'"),
        ("final_score=Punkte,difficulty=Punkte", "column 'Punkte' two meanings"),
        ("start=Punkte,unit=h", "unit is 'h', expected s, ms or frame"),
        ("unit=s", "unit is of start and end"),
    ],
)
def test_mappings_that_cannot_be_are_refused(tmp_path, columns, message):
    with pytest.raises(AnnotationError, match=message):
        read_annotations(table(tmp_path, "video;Punkte\na;1\n"), Columns.parse(columns))


def test_two_columns_of_one_meaning_are_refused(tmp_path):
    with pytest.raises(AnnotationError, match="columns 'Split' and 'SPLIT' may both be split; rename"):
        read_annotations(table(tmp_path, "video,Split,SPLIT\na,train,test\n"))


def test_rows_of_one_video_have_names_that_do_not_change_with_their_order(tmp_path):
    rows = ["v.mp4,0,10", "v.mp4,10,20", "w.mp4,,", "d/v.mp4,,"]
    text = "video,start_frame,end_frame\n"
    forward = read_annotations(table(tmp_path, text + "\n".join(rows)))
    backward = read_annotations(table(tmp_path, text + "\n".join(reversed(rows))))
    assert [sample.sample_id for sample in forward] == ["v_0-10", "v_10-20", "w", "d/v"]
    assert forward == backward[::-1]
    with pytest.raises(AnnotationError, match="line 3: is the same part of v.mp4 as line 2"):
        read_annotations(table(tmp_path, text + rows[0] + "\n" + rows[0]))


@pytest.mark.parametrize(
    ("cell", "unit", "seconds"),
    [
        ("1:05.2", None, 65.2),
        ("0:01:05,2", None, 65.2),
        ("65,25", "s", 65.25),
        ("65250", "ms", 65.25),
        ("n/a", "s", None),
        ("", None, None),
    ],
)
def test_times(cell, unit, seconds):
    assert seconds_of(cell, unit) == pytest.approx(seconds)


def test_times_of_a_spreadsheet(tmp_path):
    rows = [["video", "from", "to"], ["a", datetime.time(0, 1, 5), datetime.timedelta(seconds=66.5)]]
    read = read_table(book(tmp_path / "t.xlsx", rows), Columns.parse("start=from,end=to"))
    assert read.times == {"a": (65.0, 66.5)}


def test_begin_and_end_without_a_unit_are_times_or_a_question(tmp_path):
    read = read_table(table(tmp_path, "video,Start,End\na,1:05,1:06.5\n"))
    assert read.times == {"a": (65.0, 66.5)}
    with pytest.raises(AnnotationError, match="line 2: start is '65' may be seconds or frames; say which"):
        read_table(table(tmp_path, "video,start,end\na,65,66\n"))
    both = table(tmp_path, "video,start,end_frame\na,65,66\n")
    assert read_annotations(both) == [Sample("a", "a", None, 66, extra={"start": "65"})]


def test_a_table_of_this_project_is_read_without_a_word(tmp_path):
    write_annotations(tmp_path / "a.csv", SAMPLES)
    assert read_table(tmp_path / "a.csv").notes == ()


def test_books_that_are_damaged_anywhere_are_one_message(tmp_path):
    path = book(tmp_path / "t.xlsx", ROWS)
    whole, random = path.read_bytes(), Random(0)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(random.randint(1, 5)):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        path.write_bytes(damaged)
        try:
            read_table(path)
        except AqaError as error:
            assert str(error).startswith(str(path))
