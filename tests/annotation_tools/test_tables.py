"""BORIS, ELAN, and other tables of tools: their quirks, on small files written after their descriptions."""

import pytest

from aqa_cache.annotation_tools.export import Asked
from aqa_cache.annotation_tools.importing import import_annotations
from aqa_cache.annotations import Columns, read_table
from aqa_cache.errors import AnnotationError

BORIS = (
    "Observation id,Observation date,Description,Media file,Total length,FPS,score,Subject,Behavior,"
    "Behavioral category,Modifiers,Behavior type,Start (s),Stop (s),Duration (s),Comment start,Comment stop\n"
    "day 1,2026-05-01,,/home/me/day 1/a.mp4,60.0,25.0,7.5,Anna,vault,,tuck,STATE,1.200,3.400,2.2,"
    '"good, high",\n'
    "day 1,2026-05-01,,/home/me/day 1/a.mp4,60.0,25.0,7.5,Anna,step,,,POINT,3.500,3.500,NA,,\n"
    "day 2,2026-05-02,,C:\\clips\\b.mp4,60.0,25.0,6,Mia,vault,,pike,STATE,0.000,2.000,2.0,,\n"
)
ELAN_HEADER = (
    "Tier\tParticipant\tBegin Time - hh:mm:ss.ms\tBegin Time - ss.msec\tEnd Time - hh:mm:ss.ms\t"
    "End Time - ss.msec\tDuration - hh:mm:ss.ms\tDuration - ss.msec\tAnnotation\n"
)
ELAN_ROWS = (
    "routine\tAnna\t00:00:01.200\t1.2\t00:00:03.400\t3.4\t00:00:02.200\t2.2\tfirst, and best\n"
    "routine\tMia\t00:01:00.000\t60.0\t00:01:02.500\t62.5\t00:00:02.500\t2.5\tsecond\n"
    "score\t\t00:00:02.000\t2.0\t00:00:03.600\t3.6\t00:00:01.600\t1.6\t7.5\n"
    "score\t\t00:01:01.000\t61.0\t00:01:02.000\t62.0\t00:00:01.000\t1.0\t6\n"
    "family\t\t00:00:01.300\t1.3\t00:00:02.000\t2.0\t00:00:00.700\t0.7\ttuck\n"
    "noise\t\t00:00:30.000\t30.0\t00:00:31.000\t31.0\t00:00:01.000\t1.0\tcough\n"
)


@pytest.fixture
def imported(tmp_path):
    def read(text, *, name="export.csv", encoding="utf-8", **asked):
        if "columns" in asked:
            asked["columns"] = Columns.parse(asked["columns"])
        (tmp_path / name).write_text(text, encoding)
        return import_annotations(tmp_path / name, asked=Asked(**asked))

    return read


def times(sample):
    return sample.extra.get("start"), sample.extra.get("end")


def test_boris_states_are_actions(imported):
    done = imported(BORIS)
    first, second = done.samples
    assert done.tool == "BORIS aggregated events"
    assert (first.sample_id, first.video, first.group, first.final_score) == (
        "a_1.2-3.4",
        "a.mp4",
        "Anna",
        7.5,
    )
    assert times(first) == ("0:00:01.200000", "0:00:03.400000")
    assert first.classes == {"Behavior": "vault", "Modifiers": "tuck"}
    assert (second.video, second.final_score, second.classes["Modifiers"]) == ("b.mp4", 6.0, "pike")
    assert any("1 event(s) of a moment (POINT) are left out" in note for note in done.notes)
    assert "Comment start" in done.notes[-1] and "--columns class_NAME=COLUMN" in done.notes[-1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_boris_as_tabs_in_any_encoding(imported, encoding):
    text = BORIS.replace('"good, high"', "good").replace(",", "\t")
    assert (
        imported(text, name="e.tsv", encoding=encoding).samples
        == imported(BORIS.replace('"good, high"', "good")).samples
    )


def test_what_a_person_says_of_columns_goes_first(imported):
    done = imported(BORIS, columns="class_kind=Behavior,group=Observation id,caption=Comment start")
    assert done.samples[0].classes == {"kind": "vault", "Modifiers": "tuck"}
    assert (done.samples[0].group, done.samples[0].caption) == ("day 1", "good, high")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BORIS.replace("STATE", "POINT"), "all 3 events are of a moment"),
        (BORIS.replace("a.mp4", "a.mp4;b.mp4"), "line 2 is of several videos"),
        (
            "Observation id,Media file name,Subject,Behavior,Behavior type,Time\nx,a.mp4,A,vault,START,1.2\n",
            "single events of BORIS.*export 'aggregated events' instead",
        ),
        (BORIS.replace("1.200,3.400", "3.400,1.200"), "line 2: end '1.200' must be later than start '3.400'"),
    ],
)
def test_boris_that_cannot_be_read_says_what_to_export(imported, text, message):
    with pytest.raises(AnnotationError, match=message):
        imported(text)


@pytest.mark.parametrize("header", [ELAN_HEADER, ""])
def test_elan_tiers_with_and_without_a_header(imported, header):
    done = imported(header + ELAN_ROWS, name="e.txt", tier="routine", video="a.mp4")
    first, second = done.samples
    assert (done.tool, first.group, second.group) == ("ELAN tab-delimited text", "Anna", "Mia")
    assert (first.final_score, second.final_score) == (7.5, 6.0)
    assert times(second) == ("0:01:00.000000", "0:01:02.500000")
    assert first.extra["family"] == "tuck" and first.extra["routine"] == "first, and best"
    assert any("1 annotation(s) of other tiers are in no action" in note for note in done.notes)
    classed = imported(header + ELAN_ROWS, tier="routine", video="a.mp4", columns="class_family=family")
    assert classed.samples[0].classes == {"family": "tuck"}


def test_elan_with_a_column_for_each_tier(imported):
    text = (
        "Begin Time - msec\tEnd Time - msec\tDuration - msec\troutine\tscore\tFile Path\n"
        "1200\t3400\t2200\tfirst\t7.5\tfile:///C:/clips/a%20b.mp4\n"
    )
    (sample,) = imported(text).samples
    assert (sample.video, sample.final_score, times(sample)[1]) == ("a b.mp4", 7.5, "0:00:03.400000")


@pytest.mark.parametrize(
    ("text", "asked", "message"),
    [
        (ELAN_HEADER + ELAN_ROWS, {"video": "a.mp4"}, "has 4 tiers .routine, score, .*--tier 'routine'"),
        (ELAN_ROWS, {"video": "a.mp4", "tier": "Routine"}, "has no tier 'Routine'; its tiers: routine"),
        (ELAN_ROWS, {"tier": "routine"}, "does not say of which video it is; give its name: --video"),
        (ELAN_HEADER, {"video": "a.mp4"}, "has a header but no annotation"),
        (
            (ELAN_HEADER + ELAN_ROWS).replace("ss.msec", "x").replace("00:00:01.200", "9" * 400 + ":00:01"),
            {"video": "a.mp4"},
            "line 2: '999.*is no time",
        ),
        (ELAN_HEADER + ELAN_ROWS.replace("\t1.2\t", "\tnan\t", 1), {"video": "a.mp4"}, "'nan' is no time"),
        (
            ELAN_ROWS.replace("score", "start"),
            {"video": "a.mp4", "tier": "routine"},
            "something is called 'start'",
        ),
        ('<?xml version="1.0"?><ANNOTATION_DOCUMENT/>', {}, "ELAN's own file; export it: File, Export As"),
    ],
)
def test_elan_that_cannot_be_read_says_why(imported, text, asked, message):
    with pytest.raises(AnnotationError, match=message):
        imported(text, **asked)


def test_dartfish_has_a_position_and_a_duration_whose_unit_is_asked_for(imported):
    text = "Name;Position;Duration;Stroke;Points\nserve;1200;800;topspin;7,5\nserve;4000;900;slice;6,25\n"
    with pytest.raises(AnnotationError, match="'1200' may be seconds or frames; say which: --columns start="):
        imported(text, video="a.mp4")
    columns = "start=Position,duration=Duration,unit=ms,final_score=Points,class_stroke=Stroke"
    done = imported(text, video="a.mp4", columns=columns)
    assert [times(sample) for sample in done.samples] == [
        ("0:00:01.200000", "0:00:02.000000"),
        ("0:00:04.000000", "0:00:04.900000"),
    ]
    assert [sample.final_score for sample in done.samples] == [7.5, 6.25]
    assert done.samples[1].classes == {"stroke": "slice"}


def test_sportscode_csv_in_clock_times(imported):
    text = "Row,Start time,Duration,score\nAnna,00:00:01.20,00:00:02.20,7\nMia,00:01:00.00,00:00:02.50,6\n"
    done = imported(text, video="game.mp4", columns="group=Row")
    assert [sample.sample_id for sample in done.samples] == ["game_1.2-3.4", "game_60-62.5"]
    assert [sample.group for sample in done.samples] == ["Anna", "Mia"]


def test_a_duration_is_read_by_extraction_too(tmp_path):
    (tmp_path / "t.csv").write_text("video,from,lasts\na.mp4,1.5,2\n")
    table = read_table(tmp_path / "t.csv", Columns.parse("start=from,duration=lasts,unit=s"))
    assert list(table.times.values()) == [(1.5, 3.5)]
    for said in ("duration=lasts,unit=s", "start=from,end=x,duration=lasts,unit=s"):
        with pytest.raises(AnnotationError, match="duration is a time beside start|unit is of start"):
            Columns.parse(said)
    (tmp_path / "t.csv").write_text("video,from,lasts\na.mp4,1.5,0\n")
    with pytest.raises(AnnotationError, match="duration '0' must be more than 0"):
        read_table(tmp_path / "t.csv", Columns.parse("start=from,duration=lasts,unit=s"))
    (tmp_path / "t.csv").write_text(
        "video,start,duration,score\na.mp4,0:01.5,0:02,1\n"
    )  # a name of their own
    table = read_table(tmp_path / "t.csv")
    assert list(table.times.values()) == [(1.5, None)] and table.samples[0].extra == {"duration": "0:02"}
